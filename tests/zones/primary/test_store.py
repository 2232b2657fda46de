"""The journal on disk: restarts, power cuts, damage, takeovers, no room."""

from __future__ import annotations

import logging
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from consulfwd.errors import ApplyError
from consulfwd.zones.model import difference
from consulfwd.zones.primary import store as module
from consulfwd.zones.primary.store import Store
from consulfwd.zones.primary.versions import LEAP, Version, Writer
from consulfwd.zones.serials import newer
from tests.zones.made import records
from tests.zones.primary.pulled import APEX, WIRE, Contents, some_records


def opened(path: Path) -> Store:
    found = Store(path, WIRE)
    found.open()
    return found


def become(held: Store, after: Contents, wall: float = 0, number: int = 0) -> int:
    """Let it hold these records; return the serial."""
    acts = difference(held.versions.content.records, after)
    held.put(acts, APEX, wall, Writer("me", number))
    assert held.versions.serial is not None
    return held.versions.serial


def state(held: Store) -> tuple[object, ...]:
    versions = held.versions
    return versions.now, versions.writer, dict(versions.content.records), list(versions.deltas)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "zones" / "svc.journal"


def test_a_restart_changes_nothing(path: Path) -> None:
    rng = random.Random(1)
    held = opened(path)
    assert held.versions.now is None
    for number in range(6):
        become(held, some_records(rng, 10), number=number)
        before = state(held)
        held.close()
        octets = path.read_bytes()
        held = opened(path)
        assert state(held) == before
        assert path.read_bytes() == octets
    held.close()


def test_only_one_writes(path: Path) -> None:
    held = opened(path)
    become(held, records({"web A": "10.0.0.1"}))
    with pytest.raises(ApplyError, match="another consulfwd serves this zone"):
        opened(path)
    looking = Store(path, WIRE)
    looking.look()
    assert state(looking) == state(held)
    with pytest.raises(ApplyError, match="not open for writing"):
        become(looking, {})
    held.close()
    opened(path).close()


def test_a_power_cut_leaves_the_old_or_the_new(path: Path, tmp_path: Path) -> None:
    """The file as it is after each write, and cut within the last one."""
    rng = random.Random(2)
    held = opened(path)
    become(held, some_records(rng, 5))
    for _ in range(3):
        old, size = state(held), path.stat().st_size
        become(held, some_records(rng, 5))
        new, octets = state(held), path.read_bytes()
        for cut in {size, len(octets), *(rng.randint(size, len(octets)) for _ in range(6))}:
            copy = tmp_path / "copy"
            copy.write_bytes(octets[:cut])
            after = opened(copy)
            assert state(after) == (new if cut == len(octets) else old)
            # And it goes on from there.
            serial = become(after, records({"web A": "10.0.0.1"}))
            after.close()
            again = opened(copy)
            assert again.versions.serial == serial
            assert newer(serial, old[0].serial)  # type: ignore[attr-defined]
            again.close()
    held.close()


def test_damage_is_told_and_a_new_journal_begun(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = opened(path)
    first = become(held, records({"web A": "10.0.0.1"}))
    size = path.stat().st_size
    become(held, records({"web A": "10.0.0.2"}))
    last = become(held, records({"web A": "10.0.0.3"}))
    held.close()
    octets = bytearray(path.read_bytes())
    octets[size + 60] ^= 1
    path.write_bytes(octets)
    with caplog.at_level(logging.WARNING):
        held = opened(path)
    assert "is damaged; it is kept as svc.journal.damaged" in caplog.text
    assert (path.parent / "svc.journal.damaged").read_bytes() == octets
    # What there was before is a base for the next change, and not served: others have later ones.
    assert held.versions.content.records == records({"web A": "10.0.0.1"})
    assert held.versions.behind
    held.versions.given(last)
    serial = become(held, records({"web A": "10.0.0.3"}))
    assert serial == last + LEAP
    assert not held.versions.behind
    assert held.versions.since(first) is None
    before = state(held)
    held.close()
    held = opened(path)
    assert state(held) == before
    held.close()


def test_a_file_that_is_no_journal(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    path.write_text("something else\n")
    held = opened(path)
    assert "it is no journal" in caplog.text
    assert held.versions.now is None
    assert path.read_text() == "something else\n"
    become(held, {})
    assert (path.parent / "svc.journal.damaged").read_text() == "something else\n"
    held.close()


def test_a_disk_that_is_full(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = opened(path)
    become(held, records({"web A": "10.0.0.1"}))
    before, octets = state(held), path.read_bytes()
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if not held_back:
            raise OSError(28, "No space left on device")
        held_back.pop()
        return write(descriptor, data[:7])

    for allowed in range(3):
        held_back = [True] * allowed
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(ApplyError, match="No space left on device"):
                become(held, records({"web A": "10.0.0.2"}))
        assert state(held) == before
        assert path.read_bytes() == octets
    become(held, records({"web A": "10.0.0.2"}))
    before = state(held)
    held.close()
    held = opened(path)
    assert state(held) == before
    held.close()


@pytest.mark.parametrize("call", ["fsync", "fdatasync", "ftruncate", "replace"])
def test_a_fault_at_any_step(path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step fails once, and what is on disk is the old or the new; later ones go well."""

    def fault(*args: object) -> None:
        raise OSError(5, "Input/output error")

    held = opened(path)
    become(held, records({"web A": "10.0.0.1"}))
    old = state(held)
    with monkeypatch.context() as patch:
        if call == "replace":
            patch.setattr(Path, "replace", fault)
            held.versions.given(1 << 20)
        else:
            patch.setattr(os, call, fault)
            patch.setattr(os, "fdatasync", fault)
        with pytest.raises(ApplyError, match="Input/output error"):
            become(held, records({"web A": "10.0.0.2"}))
    assert state(held) == old
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    after = opened(copy)
    assert after.versions.content.records in (
        records({"web A": "10.0.0.1"}), records({"web A": "10.0.0.2"}),
    )  # fmt: skip
    after.close()
    become(held, records({"web A": "10.0.0.3"}))
    new = state(held)
    held.close()
    held = opened(path)
    assert state(held)[:3] == new[:3]
    held.close()


def test_a_journal_stays_within_its_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOM", 4000)
    held = opened(path)
    rng = random.Random(3)
    for _ in range(80):
        become(held, some_records(rng, 3))
        limit = max(4000, 3 * vars(held)["_whole"])
        assert path.stat().st_size <= limit
    # Some older ones are known still, after a restart too.
    assert len(held.versions.deltas) > 1
    before = state(held)
    held.close()
    held = opened(path)
    assert state(held) == before
    held.close()


def test_fifty_takeovers(tmp_path: Path) -> None:
    """Two hosts in turn, each told what was given out last; some end before they have said so."""
    rng = random.Random(4)
    stores = [opened(tmp_path / name / "svc.journal") for name in ("one", "other")]
    told: tuple[int, str, int] | None = None
    last = 0
    contents: dict[int, Contents] = {}
    for turn in range(50):
        held = stores[turn % 2]
        if told is not None:
            held.versions.given(*told)
        for _ in range(rng.randint(0 if contents else 1, 3)):
            after = some_records(rng, 5)
            serial = become(held, after, wall=rng.choice((0, 1000)), number=turn + 1)
            assert not contents or newer(serial, last)
            last, contents[serial] = serial, dict(after)
            if told is None or rng.random() < 0.8:
                told = serial, held.versions.digest, turn + 1
        # A difference from a serial is one from what that serial was, whoever gave it out.
        for serial, before in contents.items():
            if found := held.versions.since(serial):
                acts = difference(before, held.versions.content.records)
                assert sorted(found[1]) == sorted(acts)
        if rng.random() < 0.3:
            path = held.path
            held.close()
            stores[turn % 2] = opened(path)
    for held in stores:
        held.close()


def test_a_takeover_without_a_change_is_no_new_version(tmp_path: Path) -> None:
    rng = random.Random(5)
    one, other = (opened(tmp_path / name / "svc.journal") for name in ("one", "other"))
    content = some_records(rng, 10)
    serial = become(one, content, wall=1000)
    other.versions.given(serial, one.versions.digest)
    assert become(other, content, wall=2000) == serial
    assert other.versions.mark == one.versions.mark
    assert not other.versions.behind
    one.close()
    other.close()


def test_links_are_not_followed(path: Path) -> None:
    path.parent.mkdir()
    elsewhere = path.with_name("elsewhere")
    elsewhere.write_bytes(b"")
    path.symlink_to(elsewhere)
    with pytest.raises(ApplyError, match="cannot be opened"):
        opened(path)


class Killed(BaseException):
    """Nothing that comes next is done."""


class Machine:
    """Calls to the system, of which one is the last: it is not done, or by half."""

    def __init__(self, patch: pytest.MonkeyPatch, last: int = -1, *, half: bool = False) -> None:
        self.calls = 0
        self._open: list[int] = []
        for name in ("open", "close", "write", "fsync", "fdatasync", "ftruncate", "lseek"):
            patch.setattr(os, name, self._wrapped(name, vars(os)[name], last, half))
        for name in ("replace", "unlink"):
            patch.setattr(Path, name, self._wrapped(name, vars(Path)[name], last, half))

    def _wrapped(self, name: str, real: Any, last: int, half: bool) -> Any:
        def call(*args: Any, **ways: Any) -> Any:
            number, self.calls = self.calls, self.calls + 1
            if 0 <= last <= number:
                if name == "write" and half and number == last:
                    real(args[0], args[1][: len(args[1]) // 2])
                raise Killed
            if name in ("fsync", "fdatasync"):
                return None
            found = real(*args, **ways)
            if name == "open":
                self._open.append(found)
            elif name == "close":
                self._open.remove(args[0])
            return found

        return call

    def over(self) -> None:
        """What the system closes for one that is killed; by then its calls are real again."""
        for descriptor in self._open:
            os.close(descriptor)


def life(path: Path, served: list[tuple[object, ...]], wanted: list[Contents]) -> None:
    """What becomes of a zone, by differences, anew, and shortened."""
    rng = random.Random(7)
    held = opened(path)
    for turn in range(6):
        after = some_records(rng, 3)
        wanted.append(after)
        if turn == 3:
            # Another one was there meanwhile.
            held.versions.given(5_000)
        become(held, after)
        served.append(state(held))
    held.close()


def test_killed_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there afterwards is what was served, or what was just about to be."""
    monkeypatch.setattr(module, "ROOM", 1_500)
    with monkeypatch.context() as patch:
        machine = Machine(patch)
        life(tmp_path / "whole" / "svc.journal", [], [])
    assert machine.calls > 40
    for last in range(machine.calls):
        for half in (False, True):
            path = tmp_path / f"{last}-{half}" / "svc.journal"
            served: list[tuple[object, ...]] = []
            wanted: list[Contents] = []
            with monkeypatch.context() as patch:
                machine = Machine(patch, last, half=half)
                with pytest.raises(Killed):
                    life(path, served, wanted)
            machine.over()
            held = opened(path)
            now = held.versions.now
            if served:
                before = served[-1][0]
                # Never an older one, and nothing of another one in it.
                assert now is not None
                assert isinstance(before, Version)
                assert now == before or newer(now.serial, before.serial)
                known = served[-1][2] if now == before else wanted[-1]
                assert held.versions.content.records == known
            elif now is not None:
                assert held.versions.content.records == wanted[0]
            # And it goes on.
            serial = become(held, records({"web A": "10.0.0.1"}))
            assert now is None or newer(serial, now.serial)
            held.close()
