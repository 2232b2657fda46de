"""docs/case-two-sites.md: its picture and its times are those of a run, and as decided."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any


def drawing(project: Path) -> Any:
    """The script as a module."""
    loader = SourceFileLoader("draw_failover", str(project / "scripts" / "draw-failover"))
    module = ModuleType("draw_failover")
    module.__file__ = loader.path
    exec(loader.get_code("draw_failover"), module.__dict__)  # type: ignore[arg-type]
    return module


def test_the_picture_is_current(project: Path) -> None:
    command = [sys.executable, str(project / "scripts" / "draw-failover"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_happens_when_is_what_is_said(project: Path) -> None:
    document = (project / "docs" / "case-two-sites.md").read_text()
    found = re.findall(r"^\| (\d+):(\d\d) \| ([^|]+) \| ([^|]+) \|$", document, re.MULTILINE)
    said = {int(minutes) * 60 + int(seconds): does for minutes, seconds, _, does in found}
    made = drawing(project)
    run, played = made.recorded(), made.play()

    def moves(given: list[tuple[int | None, int]]) -> list[int]:
        assert len(given) == made.END
        return [at for at in range(1, made.END) if given[at][0] != given[at - 1][0]]

    assert moves(run.given) == [at for at, does in said.items() if "is answered with" in does]
    assert {made.DEAD[0], made.DEAD[1], *made.CUT} <= said.keys()
    ill = [round(at) for at, result in run.checks if result is made.Result.FAIL]
    assert {ill[0], ill[2]} <= said.keys()
    # Real checks come a little before each interval is over, and begin at any time of it.
    both = zip(moves(run.given), moves(played.given), strict=True)
    apart = [abs(at - other) for at, other in both]
    assert len(apart) == 2
    assert max(apart) <= 12
    # Whoever kept an answer of before has dropped it when the name moves.
    moved = moves(run.given)[0]
    assert max(at + ttl for at, (_, ttl) in enumerate(run.given[:moved])) <= moved + 1


def test_a_ttl_is_what_the_other_document_says(project: Path) -> None:
    played = drawing(project).play()
    well = [ttl for _, ttl in played.given[:60]]
    assert (min(well), max(well)) == (20, 29)
    document = (project / "docs" / "failover-records.md").read_text()
    assert "| 10 s | 3 | 20 to 30 s | 30 s, and `timeout` |" in document
