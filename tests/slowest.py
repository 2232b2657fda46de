"""What a whole run of the tests came to: each part's count and time, and the slowest tests.

`python -m tests.slowest FILE...` reads what `pytest --junitxml=FILE` wrote; a file's name is the
part's. Of a test's time its waiting for a turn is not part (see `load_lock`).
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

MANY = 20


class Timed(NamedTuple):
    """One test, and for how many seconds it ran and waited."""

    name: str
    ran_s: float
    waited_s: float


def tests(file: Path) -> Iterator[Timed]:
    """The tests that a report of pytest's tells of."""
    for case in ET.parse(file).getroot().iter("testcase"):
        waited = sum(
            float(one.get("value", "0"))
            for one in case.iter("property")
            if one.get("name") == "waited"
        )
        name = f"{case.get('classname', '').removeprefix('tests.')}::{case.get('name')}"
        yield Timed(name, max(float(case.get("time", "0")) - waited, 0.0), waited)


def summary(files: Sequence[Path], many: int = MANY) -> list[str]:
    """Lines for people: the parts, then the slowest tests of all."""
    lines, found = [], []
    for file in files:
        part = list(tests(file))
        suite = next(ET.parse(file).getroot().iter("testsuite"))
        bad = sum(int(suite.get(kind, "0")) for kind in ("failures", "errors"))
        failed = f", {bad} failed" if bad else ""
        took = float(suite.get("time", "0"))
        lines.append(f"{file.stem:12} {len(part):5} tests in {took:5.0f} s{failed}")
        found += part
    lines.append(f"the slowest {many}:")
    for one in sorted(found, key=lambda one: -one.ran_s)[:many]:
        turn = f" (and waited {one.waited_s:.0f} s for its turn)" if one.waited_s >= 0.5 else ""
        lines.append(f"  {one.ran_s:6.1f} s  {one.name}{turn}")
    return lines


if __name__ == "__main__":
    print("\n".join(summary([Path(name) for name in sys.argv[1:]])))
