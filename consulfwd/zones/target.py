"""Where zones go: what a target holds now, and what brings a plan into force there.

What belongs here: the protocol. Must not know any kind of target. A target is asked and changed in
a thread: it may block, and it bounds its own time. All of it may raise ApplyError, which says what
is wrong and how to mend it: what could not be read for sure is never taken for empty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from consulfwd.apply.change import Change
from consulfwd.zones.model import Act, Records


@dataclass(frozen=True, slots=True)
class Base:
    """What a target holds now.

    `mark` is another one whenever anybody changed it (its serial, a checksum), "" where there is
    nothing yet. `ours` may be changed by us; `foreign` are others' records at or below the origin,
    as far as they can be in the way of ours. `serial` is that of the zone where there is one.
    """

    mark: str
    ours: Records
    foreign: Records = field(default_factory=dict)
    serial: int | None = None


class Push(NamedTuple):
    """What is to be done to a target that holds `base`: all of it, or nothing.

    `may` is asked just before anything is written: it returns why that may not be done any more
    (the lock is lost), "" if it may. `holder` and `number` say who writes, by which lock (see
    `consul.lock.Held`): a target that remembers a higher number refuses.
    """

    base: Base
    acts: Sequence[Act]
    holder: str = ""
    number: int = 0
    may: Callable[[], str] = lambda: ""


class Target(Protocol):
    """One place where a zone is published."""

    @property
    def where(self) -> str:
        """What it is called in messages: unique among the targets of a zone."""

    def read(self) -> Base:
        """Return what it holds now."""

    def change(self, push: Push) -> Change:
        """Return what brings a plan into force there; nothing is done yet.

        It refuses, naming what is foreign, where the target does not hold the base any more.
        """

    def close(self) -> None:
        """Give up connections and the like."""


class Left(NamedTuple):
    """An act that could not be done, by itself, and why; it is planned anew the next time."""

    act: Act
    why: str


@runtime_checkable
class Partial(Protocol):
    """A change of a target that takes records one by one: one that is refused costs itself."""

    @property
    def left(self) -> Sequence[Left]:
        """What was not done though the change is in force, once it is put in place."""


def left(change: Change) -> Sequence[Left]:
    """Return what a change in force left undone: nothing, where it is all or nothing.

    Who published must not take the target for what was planned then, but read it anew.
    """
    return change.left if isinstance(change, Partial) else ()
