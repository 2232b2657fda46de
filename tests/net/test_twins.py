"""What is done without Python is what Python would have done, to the last counter.

The same steps are played with both (see `twins`): clients, servers that answer, lie, are silent or
gone, changes, time that passes, errors of ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from consulfwd.net.fastlane import VARIABLE, fast

# More of them in another run: TWINS="100 200 1000" is from seed 100 to 199, with 1000 steps each.
FIRST, BEYOND, STEPS = map(int, os.environ.get("TWINS", "1 4 50").split())


def played(seed: int, **environ: str) -> list[Any]:
    command = [sys.executable, "-m", "tests.net.twins", str(seed), str(STEPS)]
    out = subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, check=True
    )
    assert out.stderr == ""
    return [json.loads(line) for line in out.stdout.splitlines()]


@pytest.mark.skipif(fast is None, reason="there is no compiled one")
@pytest.mark.parametrize("seed", range(FIRST, BEYOND))
def test_both_twins_do_the_same(seed: int) -> None:
    # What is used after it was given back, or written beside, is found by the debugging allocator.
    *compiled, passed = played(seed, PYTHONMALLOC=os.environ.get("PYTHONMALLOC", "debug"))
    *pure, all_done = played(seed, **{VARIABLE: "no"})
    assert len(compiled) == len(pure) > STEPS
    for one, other in zip(compiled, pure, strict=True):
        assert one == other
    # Nor would it be worth anything if the compiled one left all to Python.
    for what, count in all_done.items():
        assert passed[what] < count
