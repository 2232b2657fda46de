"""When one target is attended to: after news, after a failure, now and then.

What belongs here: the times, and what was last found out about the target. Pure: `now` is passed
in. Must not know what is done there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Protocol, runtime_checkable

from consulfwd.zones.budget import Allowance
from consulfwd.zones.plan import Plan
from consulfwd.zones.target import Target

# Pauses (seconds) before what failed is tried again: the first, then each twice the one before.
RETRY, RETRY_MAX = 5.0, 300.0
# How often a target is looked at though nothing changed (seconds): others may have been there.
LOOK = 300.0


@runtime_checkable
class Told(Protocol):
    """A target that counts serials by itself, and must know what others gave out meanwhile."""

    def given(self, serial: int, digest: str = "", number: int = 0) -> None:
        """Note the serial that was published last, what tells its content, and by which lock."""


@runtime_checkable
class Leading(Protocol):
    """A target that answers by itself, and only while this publisher is the one that writes."""

    def lead(self) -> None:
        """Begin to answer."""

    def rest(self) -> None:
        """Answer nothing any more: another publisher is known to write."""

    @property
    def behind(self) -> bool:
        """Whether others gave out a later version, and nobody says what was in it."""


@dataclass
class Place:
    """One target of a zone. Times are of the caller's clock.

    | what happens | it is attended to |
    |---|---|
    | `call`: there may be something to push | at once, but `interval` after it `wrote` |
    | `hurry`: something moved | at once |
    | `failed`, all of it or a part | after a pause that doubles; after a `call` RETRY later |
    | `attended` | after `look` seconds, or the next `call` |
    """

    target: Target
    interval: float
    # Whether its serials are of our own making.
    counts: bool = False
    look: float = LOOK
    plan: Plan | None = None
    serial: int | None = None
    mark: str = ""
    # What was last pushed, and when (time of day).
    what: str = ""
    pushed: float = 0.0
    fault: str = ""
    # The time of day.
    failing_since: float = 0.0
    # Why nothing is done, which is no failure.
    waiting: str = ""
    # For how many looks that is so.
    waited: int = 0
    complete: bool = False
    allowance: Allowance | None = None
    why: set[str] = field(default_factory=set)
    _called: bool = False
    _not_before: float = -inf
    _paced: float = -inf
    _next: float = -inf
    _pause: float = RETRY

    @property
    def where(self) -> str:
        """What the target is called."""
        return self.target.where

    def call(self, why: str) -> None:
        """Have it attended to; `why` is what the next push is for."""
        self.why.add(why)
        self._called = True

    def hurry(self, why: str) -> None:
        """Have it attended to, however soon that is after the last time."""
        self.call(why)
        self._paced = -inf

    def due(self) -> float:
        """Return when it is to be attended to."""
        return max(-inf if self._called else self._next, self._not_before, self._paced)

    def begun(self) -> frozenset[str]:
        """Note that it is attended to now; return why."""
        self._called = False
        why, self.why = frozenset(self.why), set()
        return why

    def wrote(self, now: float) -> None:
        """Note that something was written."""
        self._paced = now + self.interval

    def attended(self, now: float) -> None:
        """Note that all is well."""
        self.fault, self.failing_since, self.waiting, self.waited = "", 0.0, "", 0
        self.complete = True
        self._pause = RETRY
        self._next = now + self.look

    def waits(self, until: float, why: str, what: str) -> None:
        """Note `what` speaks against doing anything yet; `why` it will be done, then."""
        self.why.add(why)
        self.waiting, self.waited = what, self.waited + 1
        self._next = until

    def failed(self, now: float, fault: str, why: frozenset[str]) -> float:
        """Note that it failed, and why it was attended to; return the pause until the next."""
        self.fault, self.waiting = fault, ""
        self.why |= why
        pause, self._pause = self._pause, min(2 * self._pause, RETRY_MAX)
        self._next = now + pause
        self._not_before = max(self._not_before, now + min(pause, RETRY))
        return pause
