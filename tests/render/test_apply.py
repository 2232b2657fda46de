"""From rendered text to a server that uses it, and back from every step that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consulfwd.errors import ApplyError
from consulfwd.render.apply import File, Job, Report, apply, apply_all, changed, difference
from consulfwd.render.commands import shell

OLD, NEW = b"old \xff\r\n", "new\n"
MODE = 0o640


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A place where something stands, in a directory with nothing else in it."""
    path = tmp_path / "etc" / "consul.conf"
    path.parent.mkdir()
    path.write_bytes(OLD)
    path.chmod(MODE)
    return path


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def here(folder: Path) -> dict[str, tuple[bytes, int, int, int]]:
    """All that is in a directory: content, mode, owner and group."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_uid, path.stat().st_gid)
        for path in folder.iterdir()
    }


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Where the scripts write what they do."""
    return tmp_path / "told"


def says(tmp_path: Path, name: str, more: str = "") -> tuple[str, ...]:
    """A command that notes its name and what stands in the place."""
    told = tmp_path / "told"
    place = tmp_path / "etc" / "consul.conf"
    text = f'echo "{name}: $(tr -d "\\377\\r" < {place})" >> {told}\n{more}'
    return (script(tmp_path / name, text),)


def test_what_changed_is_checked_replaced_reloaded_and_verified(
    tmp_path: Path, place: Path, told: Path, clock: Clock
) -> None:
    job = Job(
        (File(place, NEW),),
        check=(*says(tmp_path, "check"), "{file}"),
        whole=says(tmp_path, "whole"),
        reload=(says(tmp_path, "first"), says(tmp_path, "second")),
        verify=lambda: "" if told.read_text().count("second") else "not yet",
    )
    assert changed(job) == list(job.files)
    report = apply(job, sleep=clock.sleep, clock=clock)
    assert report == Report((place,), (place.with_name("consul.conf.bak"),), True, 0.0)
    assert told.read_text() == "check: old \nwhole: new\nfirst: new\nsecond: new\n"
    assert place.read_text() == NEW
    assert place.stat().st_mode & 0o7777 == MODE
    assert place.with_name("consul.conf.bak").read_bytes() == OLD
    assert len(here(place.parent)) == 2
    assert changed(job) == []


def test_nothing_is_done_when_nothing_changed(tmp_path: Path, place: Path, told: Path) -> None:
    job = Job((File(place, "same\n"),), reload=(says(tmp_path, "reload"),))
    place.write_text("same\n")
    assert apply(job) == Report()
    assert not told.exists()
    assert set(here(place.parent)) == {"consul.conf"}
