"""A zone published in a grid of a test's own, in few words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consulfwd.apply import steps
from consulfwd.apply.change import Applied, Change
from consulfwd.apply.jobs import nothing_to_verify
from consulfwd.config.zones import InfobloxTarget
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones.guards import clear_of
from consulfwd.zones.model import Act, Key, RRset, difference
from consulfwd.zones.sinks import infoblox_reading
from consulfwd.zones.sinks.infoblox import Infoblox
from consulfwd.zones.sinks.infoblox_http import Http
from consulfwd.zones.target import Base, Left, Push, left
from tests.zones.made import ORIGIN, key_text, records, shown
from tests.zones.wapi import PASSWORD, USER, Member
from tests.zones.wapi_direct import Direct
from tests.zones.wapi_rules import Grid, Object

Given = Mapping[str, str | Sequence[str]]
MARK = {"Publisher": {"value": "consulfwd"}}


def grid(*zones: str, view: str = "default") -> Grid:
    """Return a grid that has the tests' zone, and these."""
    return Grid({(view, one): "zone_auth" for one in (ORIGIN, *zones)})


class Clock:
    """Time that passes by sleeping, and at once."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def pause(self, seconds: float) -> None:
        self.sleep(seconds)


@dataclass
class Work:
    """One push as the steps know it."""

    change: Change
    check: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    reload: tuple[tuple[str, ...], ...] = ()
    verify: Callable[[], str] = nothing_to_verify

    def changes(self) -> list[Change]:
        return [self.change]


@dataclass
class Site:
    """A target, and the members of the grid that it is told of."""

    members: Sequence[Member]
    folder: Path
    # Where ca.pem is, by which members over TLS are verified.
    certificates: Path
    origin: str = ORIGIN
    clock: Clock = field(default_factory=Clock)
    settings: Mapping[str, Any] = field(default_factory=dict)
    # Over TLS, or in this process: what is between is the same to both (see `wapi_direct`).
    served: bool = False
    left: Sequence[Left] = ()

    def __post_init__(self) -> None:
        if not self.served:
            for number, one in enumerate(self.members, 1):
                one.port = number
        self.password_file.write_text(f"{PASSWORD}\n", "utf-8")
        given: dict[str, Any] = {
            "urls": tuple(one.url for one in self.members),
            "user": USER,
            "password_file": self.password_file,
            "ca_file": self.certificates / "ca.pem",
            "timeout": 5.0,
            "reread": 0.0,
            **self.settings,
        }
        self.target = Infoblox(
            InfobloxTarget(**given),
            names.from_text(self.origin),
            clock=self.clock,
            sleep=self.clock.pause,
            connect=Http if self.served else Direct.to(self.members),
        )

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    @property
    def grid(self) -> Grid:
        return self.members[0].grid

    def acts(self, base: Base, wanted: Given | Mapping[Key, RRset]) -> list[Act]:
        """Return what makes a zone of it; names where others' records are stay as they are."""
        acts = difference(base.ours, _wire(wanted))
        return clear_of(base.foreign, names.from_text(self.origin), acts).acts

    def push(
        self,
        acts: Sequence[Act],
        base: Base,
        may: Callable[[], str] = lambda: "",
    ) -> Applied:
        """Carry acts out. Raises ApplyError."""
        change = self.target.change(Push(base, acts, may=may))
        try:
            return steps.apply(Work(change), sleep=self.clock.sleep, clock=self.clock)
        finally:
            self.left = left(change)

    def round(self, wanted: Given | Mapping[Key, RRset]) -> Base:
        """Read, plan, push and read again; return what was read in the end."""
        base = self.target.read()
        if acts := self.acts(base, wanted):
            self.push(acts, base)
            return self.target.read()
        return base

    def rounds(self, wanted: Given | Mapping[Key, RRset], most: int = 4) -> list[ApplyError]:
        """Make rounds until one leaves nothing to do; return how others failed."""
        failed: list[ApplyError] = []
        for _ in range(most):
            self.left = ()
            try:
                base = self.round(wanted)
            except ApplyError as error:
                failed.append(error)
                continue
            if not self.left:
                assert base.ours == _wire(wanted)
                return failed
        raise AssertionError(f"it did not come about: {failed}")

    def held(self) -> dict[str, list[str]]:
        """Return what the grid holds: {"web record:a": values}."""
        return held(self.grid)


def held(grid: Grid, view: str = "default") -> dict[str, list[str]]:
    """Return what a grid holds in a view: {"web record:a": values}."""
    data = {"record:a": "ipv4addr", "record:aaaa": "ipv6addr", "record:cname": "canonical",
            "record:txt": "text", "record:ptr": "ptrdname"}  # fmt: skip
    found = {}
    for (name, kind), objects in grid.records(view).items():
        values = [str(one.get(data.get(kind, "target"), "")) for one in objects]
        found[f"{name.removesuffix(f'.{ORIGIN}')} {kind}"] = sorted(values)
    return found


def foreign(grid: Grid, kind: str, name: str, **data: Any) -> Object:
    """Put a record of others' into a grid; return it."""
    ref = grid.create(kind, {"name": f"{name}.{ORIGIN}" if name else ORIGIN, **data})
    return grid.objects[ref]


def fill(grid: Grid, number: int, prefix: str = "n", **given: Any) -> None:
    """Put addresses at so many names into a grid, others' unless they are given our mark."""
    grid.fill("record:a", ({"name": f"{prefix}{one}.{ORIGIN}", "ipv4addr": "192.0.2.1", **given}
                           for one in range(number)))  # fmt: skip


def small_pages(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lists come in pages of 10."""
    grid.limit = 10
    monkeypatch.setattr(infoblox_reading, "PAGE", grid.limit)


def texts(base: Base) -> dict[str, str]:
    """Return what is ours, as text."""
    return shown(base.ours)


def foreign_keys(base: Base) -> list[str]:
    """Return where others' records are."""
    return [key_text(key) for key in sorted(base.foreign, key=Key.order)]


class NeverEmpty:
    """Watches that names which had records always have some, and others' stay as they are."""

    def __init__(self, grid: Grid, *keep: str) -> None:
        self.keep = {f"{one}.{ORIGIN}" for one in keep}
        self.others = _others(grid)
        grid.watches.append(self)

    def __call__(self, grid: Grid) -> None:
        there = {one["name"] for one in grid.objects.values()}
        assert self.keep <= there, f"without records: {self.keep - there}"
        assert _others(grid) == self.others


def _others(grid: Grid) -> list[Object]:
    return [one for one in grid.objects.values() if one["extattrs"] != MARK]


def _wire(wanted: Given | Mapping[Key, RRset]) -> Mapping[Key, RRset]:
    if all(isinstance(one, Key) for one in wanted):
        return wanted  # type: ignore[return-value]
    return records(wanted)  # type: ignore[arg-type]
