"""What a target tells of a change beside the steps."""

from __future__ import annotations

from pathlib import Path

from consulfwd.apply.file_sink import FileChange
from consulfwd.zones.model import difference
from consulfwd.zones.target import Left, left
from tests.zones.made import records


class Partly(FileChange):
    """A change of which something could not be done."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, b"", "refuse")
        (act,) = difference({}, records({"web A": "10.0.0.1"}))
        self.left = [Left(act, "somebody was faster")]


def test_a_change_is_done_whole_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert left(FileChange(tmp_path / "x", b"", "refuse")) == ()
    assert [one.why for one in left(Partly(tmp_path / "x"))] == ["somebody was faster"]
