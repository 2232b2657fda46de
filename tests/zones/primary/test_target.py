"""The primary as a target, through the steps by which any change is applied."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from consulfwd.apply import steps
from consulfwd.apply.change import Applied, Command
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Act, difference
from consulfwd.zones.primary.store import Store
from consulfwd.zones.primary.target import Change, Primary
from consulfwd.zones.primary.versions import Version
from consulfwd.zones.target import Base, Push
from tests.zones.made import records
from tests.zones.primary.pulled import APEX, WIRE, Site

WEB = records({"web A": "10.0.0.1"})
BOTH = records({"web A": "10.0.0.1 10.0.0.2", "db A": "10.0.0.3"})


class Work:
    """A push to the primary alone."""

    check: Command = ()
    whole: Command = ()
    reload: tuple[Command, ...] = ()

    def __init__(self, change: Change, verify: Callable[[], str] = lambda: "") -> None:
        self._change = change
        self.verify = verify

    def changes(self) -> Sequence[Change]:
        return (self._change,)


class Held:
    """A primary, what it announced, and pushing to it."""

    def __init__(self, path: Path) -> None:
        self.announced: list[Version] = []
        self.store = Store(path, WIRE)
        self.store.open()
        self.wall = 1000.0
        self.primary = Primary(self.store, WIRE, APEX, self.announced.append, lambda: self.wall)

    def push(
        self,
        after: dict[object, object] | object = None,
        *,
        acts: Sequence[Act] = (),
        number: int = 0,
        may: Callable[[], str] = lambda: "",
        verify: Callable[[], str] = lambda: "",
    ) -> Applied:
        base = self.primary.read()
        if after is not None:
            acts = difference(base.ours, after)  # type: ignore[arg-type]
        change = self.primary.change(Push(base, acts, "me", number, may))
        return steps.apply(Work(change, verify), sleep=lambda seconds: None, clock=self.ticking())

    def ticking(self) -> Callable[[], float]:
        times = iter(range(0, 1000, 2))
        return lambda: float(next(times))

    def soa(self) -> str:
        return Site(self.store.versions).ask("svc.example.com", "SOA")


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    found = Held(tmp_path / "svc.journal")
    yield found
    found.primary.close()


def test_a_push_is_served_and_told_of(held: Held) -> None:
    assert held.primary.read() == Base("", {}, {}, None)
    assert held.push(WEB).places == ("the primary of svc.example.com.",)
    first = held.primary.read()
    assert (first.ours, first.serial) == (WEB, 1000)
    assert " 1000 " in held.soa()
    held.push(BOTH)
    assert held.primary.read().ours == BOTH
    assert [one.serial for one in held.announced] == [1000, 1001]
    # Who has a base keeps it.
    assert first.ours == WEB
    assert held.primary.read() is held.primary.read()


def test_nothing_to_do_is_no_new_version(held: Held) -> None:
    held.push(WEB)
    held.wall = 5000
    for _ in range(3):
        assert held.push(WEB) == Applied()
    assert len(held.announced) == 1
    assert held.primary.read().serial == 1000


def test_what_is_due_without_a_record_that_differs(held: Held) -> None:
    # A zone that has none yet is one all the same.
    assert held.push({}).places
    assert held.push({}) == Applied()
    # Its servers, say, are others now.
    held.primary.apex = APEX._replace(refresh=1)
    assert held.push({}).places
    assert held.push({}) == Applied()
    # Secondaries have what another publisher gave out.
    held.primary.given(9_000)
    assert "SERVFAIL" in held.soa()
    assert held.push({}).places
    assert held.push({}) == Applied()
    assert [one.serial for one in held.announced] == [1000, 1001, 9_100]


def test_a_base_that_is_not_there_any_more(held: Held) -> None:
    base = held.primary.read()
    held.push(WEB)
    acts = difference({}, BOTH)
    with pytest.raises(ApplyError, match=r"it holds 1000-\w+ now, not nothing"):
        held.primary.change(Push(base, acts))


def test_a_lock_that_is_lost(held: Held) -> None:
    with pytest.raises(ApplyError, match="the lock is another's"):
        held.push(WEB, may=lambda: "the lock is another's")
    assert held.primary.read().mark == ""
    assert held.announced == []


def test_an_older_lock_does_not_write(held: Held, tmp_path: Path) -> None:
    held.push(WEB, number=7)
    held.push(BOTH, number=8)
    with pytest.raises(ApplyError, match=r"me \(lock 8\) has written it since, and this is lock 7"):
        held.push(WEB, number=7)
    held.primary.close()
    again = Held(tmp_path / "svc.journal")
    with pytest.raises(ApplyError, match="lock 8"):
        again.push(WEB, number=7)
    again.push(WEB, number=8)
    again.primary.close()


def test_the_way_back_is_a_later_version(held: Held) -> None:
    held.push(WEB)
    base = held.primary.read()
    with pytest.raises(ApplyError, match="rolled back, what stood there before is in force"):
        held.push(BOTH, verify=lambda: "nobody has it")
    after = held.primary.read()
    assert after.ours == base.ours
    assert [one.serial for one in held.announced] == [1000, 1001, 1002]
    found = held.store.versions.since(1000)
    assert found is not None
    assert found[1] == []


def test_the_way_back_from_the_first_version(held: Held) -> None:
    with pytest.raises(ApplyError):
        held.push(WEB, verify=lambda: "nobody has it")
    assert held.primary.read().ours == {}


def test_what_cannot_be_written_is_not_served(
    held: Held, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    held.push(WEB)

    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    with caplog.at_level(logging.WARNING), monkeypatch.context() as patch, suppress(ApplyError):
        patch.setattr("os.write", full)
        held.push(BOTH)
    assert held.primary.read().ours == WEB
    assert " 1000 " in held.soa()
    assert len(held.announced) == 1


@pytest.mark.parametrize("where", ["example.com. A", "svc.example.com. NS", "xsvc.example.com. A"])
def test_records_that_are_not_the_zones(held: Held, where: str) -> None:
    data = ["10.0.0.1"] if where.endswith("A") else ["ns."]
    with pytest.raises(ApplyError, match="records of another zone, or of its apex"):
        held.push(records({where: data}))
