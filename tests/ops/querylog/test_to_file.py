"""Lines in a file: whose it is, what becomes of it, and what happens where it cannot be written."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from consulfwd.ops.querylog.to_file import AGAIN, ToFile
from tests.ops.querylog.notes import noted


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def names(path: Path) -> list[str]:
    return [line.split()[1] for line in path.read_text().splitlines()]


def test_a_file_is_made_for_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "queries.log"
    before = os.umask(0o077)
    try:
        sink = ToFile(path, json=False)
        assert sink.write([noted("one.consul"), noted("two.consul")]) == 0
    finally:
        os.umask(before)
    assert names(path) == ["one.consul.", "two.consul."]
    assert path.read_text().startswith("2026-11-30T02:16:40.250Z one.consul. A from 10.0.0.7 over")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    sink.close()


def test_a_file_that_is_there_is_added_to_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "queries.log"
    path.write_text("from before\n")
    path.chmod(0o600)
    sink = ToFile(path, json=True)
    assert sink.write([noted("one.consul")]) == 0
    first, second = path.read_text().splitlines()
    assert first == "from before"
    assert json.loads(second)["name"] == "one.consul."
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sink.close()


@pytest.mark.parametrize("how", ["link", "dangling", "hard", "pipe", "folder"])
def test_what_somebody_put_in_its_place_is_not_written_to(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, other = tmp_path / "queries.log", tmp_path / "other"
    if how != "dangling":
        other.write_text("another's\n")
    if how in ("link", "dangling"):
        path.symlink_to(other)
    elif how == "hard":
        path.hardlink_to(other)
    elif how == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    sink = ToFile(path, json=False)
    assert sink.write([noted()]) == 1
    assert sink.fault.startswith(f"query log: {path}: ")
    assert len(caplog.records) == 1
    assert other.exists() is (how != "dangling")
    assert how == "dangling" or other.read_text() == "another's\n"


def test_a_renamed_file_is_followed_by_a_new_one(tmp_path: Path) -> None:
    clock, path, old = Clock(), tmp_path / "queries.log", tmp_path / "queries.log.1"
    sink = ToFile(path, json=False, now=clock)
    sink.write([noted("one.consul")])
    path.rename(old)
    clock.now = 0.99
    sink.write([noted("two.consul")])
    clock.now = 1.0
    sink.write([noted("three.consul")])
    assert (names(old), names(path)) == (["one.consul.", "two.consul."], ["three.consul."])
    path.unlink()
    clock.now = 2.0
    sink.write([])  # nothing is asked: it is let go of all the same
    assert not path.exists()
    sink.write([noted("four.consul")])
    assert names(path) == ["four.consul."]
    path.rename(old)
    sink.reopen()
    sink.write([noted("five.consul")])
    assert names(path) == ["five.consul."]
    sink.close()


def test_a_full_device_is_told_once_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    sink = ToFile(Path("/dev/full"), json=False, now=clock)
    for _ in range(5):
        assert sink.ready()
        assert sink.write([noted(), noted()]) == 2
        # It is not tried all the time: until then notes wait.
        assert not sink.ready()
        clock.now += AGAIN
    assert [record.getMessage() for record in caplog.records] == [
        "query log: /dev/full: No space left on device; lines are dropped (2 so far)"
    ]
    sink.close()


def test_it_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that takes a part of what is written, then nothing, then all again."""
    caplog.set_level("INFO")
    path, room, write = tmp_path / "queries.log", 120, os.write

    def small(fd: int, data: bytes) -> int:
        left = room - os.fstat(fd).st_size
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data[:left])

    monkeypatch.setattr(os, "write", small)
    sink = ToFile(path, json=False)
    assert sink.write([noted("one.consul"), noted("two.consul"), noted("three.consul")]) == 2
    assert sink.write([noted("four.consul")]) == 1
    assert names(path) == ["one.consul."]
    room = 1 << 20
    assert sink.write([noted("five.consul")]) == 0
    assert names(path) == ["one.consul.", "five.consul."]
    assert sink.fault == ""
    told = [record.getMessage().removeprefix(f"query log: {path}") for record in caplog.records]
    assert told == [
        ": No space left on device; lines are dropped (2 so far)",
        " goes on (3 lines dropped)",
    ]
    sink.close()


def test_a_missing_folder_is_told_and_found_when_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "later" / "queries.log"
    sink = ToFile(path, json=False)
    assert sink.write([noted()]) == 1
    assert "No such file or directory" in caplog.text
    path.parent.mkdir()
    assert sink.write([noted("one.consul")]) == 0
    assert names(path) == ["one.consul."]
    sink.close()
