"""Each situation with what it comes to: exit code, first line and figures, as in `cases.txt`.

The file is written anew by `python -m tests.checks.test_cases`, and what changed in it is read.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from consulfwd.checks.outcome import text
from tests.checks.said import Said, well_formed
from tests.checks.situations import SITUATIONS

FILE = Path(__file__).with_name("cases.txt")
PLUGINS = ("resolve", "service", "agents", "zone", "failover", "audit")


def said(name: str, verbose: int = 0) -> Said:
    """What the plug-in of a situation says in it."""
    outcome = SITUATIONS[name]()
    label = name.partition(":")[0].upper()
    return Said(int(outcome.status), text(label, outcome, verbose))


def told(name: str) -> str:
    """The same as it stands in the file: the lines below are indented."""
    found = said(name)
    first, *below = found.text.splitlines()
    return "\n".join([f"## {name}", f"{found.code} {first}", *(f"  {one}" for one in below), ""])


def _cases() -> dict[str, str]:
    parts = FILE.read_text("utf-8").split("## ")[1:]
    return {one.partition("\n")[0]: "## " + one.removesuffix("\n") for one in parts}


CASES = _cases() if FILE.exists() else {}


@pytest.mark.parametrize("name", SITUATIONS)
def test_case(name: str) -> None:
    assert told(name) == CASES.get(name)


@pytest.mark.parametrize("name", SITUATIONS)
def test_its_form_is_that_of_the_guidelines(name: str) -> None:
    for verbose in (0, 1):
        well_formed(said(name, verbose))


def test_no_case_is_left_over() -> None:
    assert set(CASES) == set(SITUATIONS)
    assert len(CASES) >= 180
    assert {one.partition(":")[0] for one in CASES} == set(PLUGINS)


if __name__ == "__main__":
    FILE.write_text("".join(told(name) + "\n" for name in SITUATIONS), "utf-8")
