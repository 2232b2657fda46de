"""`python -m tests.fuzz.rounds SECONDS`: the property tests again and again, each time by chance.

The ordinary run takes the same examples each time. Here each round has another seed, and what was
found before (in `.hypothesis`) comes first. A round once begun is finished; the first that fails is
the last, and its exit code is this program's.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
REAL = ("integration", "e2e")
USES = re.compile(r"^(from|import) hypothesis\b", re.MULTILINE)

Run = Callable[[list[str]], int]


def files(tests: Path = ROOT / "tests") -> list[str]:
    """The files that hold property tests and need no real servers, relative to the project."""
    return [
        str(file.relative_to(tests.parent))
        for file in sorted(tests.rglob("test_*.py"))
        if file.relative_to(tests).parts[0] not in REAL and USES.search(file.read_text("utf-8"))
    ]


def command(seed: int) -> list[str]:
    """One round."""
    return [
        *(sys.executable, "-m", "pytest", "-m", "hypothesis", "-n", "2", "--dist", "worksteal"),
        *("--exitfirst", "--quiet", f"--hypothesis-seed={seed}", *files()),
    ]


def run(words: list[str]) -> int:
    """Run one round, which prints what it finds."""
    environ = {**os.environ, "HYPOTHESIS_PROFILE": "random"}
    return subprocess.run(words, cwd=ROOT, env=environ, check=False).returncode


def rounds(seconds: float, run: Run = run, clock: Callable[[], float] = time.monotonic) -> int:
    """Run rounds until `seconds` have passed, at least one; the exit code of the last."""
    ends, number = clock() + seconds, 0
    while True:
        number += 1
        seed = secrets.randbits(32)
        print(f"round {number}, seed {seed}", flush=True)
        code = run(command(seed))
        if code:
            print(f"round {number} failed; again: HYPOTHESIS_PROFILE=random pytest", end=" ")
            print(f"--hypothesis-seed={seed} and the test's name")
            return code
        if clock() >= ends:
            return 0


if __name__ == "__main__":
    sys.exit(rounds(float(sys.argv[1])))
