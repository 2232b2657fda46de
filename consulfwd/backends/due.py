"""When the command that is told of changes runs, and what it is told.

What belongs here: one run at a time; changes that come together, and what failed, told as one.
Must not know: clocks, processes, Consul. Pure: `now` (seconds) is passed in.

    due.seen(backends, now)          whenever there is another set
    change = due.begin(now)          once `due_at` has come; None: nothing is to be told after all
    due.ended(well, now)             before the next `begin`

A run is told of what changed since the last one that ended well, so that none is lost by one that
failed. The first one comes at once.
"""

from __future__ import annotations

from typing import Protocol

from consulfwd.backends.model import Backend, Change, difference

# Pauses (seconds) before what failed runs again: the first, then each twice the one before.
RETRY, RETRY_MAX = 5.0, 300.0
Set = tuple[Backend, ...]


class Pace(Protocol):
    """When changes that come together have come (`keep.quiescence`)."""

    @property
    def due_at(self) -> float | None:
        """When to act."""
        ...

    def changed(self, now: float) -> None:
        """Note a change."""
        ...

    def fired(self, now: float) -> None:
        """Note that one acts."""
        ...


class Due:
    """What is to be told, and when. `told` is the set of which the last good run knows."""

    def __init__(self, pace: Pace) -> None:
        self.told: Set | None = None
        self.pause = RETRY
        self._pace = pace
        self._now: Set | None = None
        self._given: Set | None = None
        self._running = False
        self._at: float | None = None

    @property
    def due_at(self) -> float | None:
        """When to begin; None while nothing is to be told, or a run is not over."""
        if self._running:
            return None
        return self._at if self._pace.due_at is None else self._pace.due_at

    def seen(self, backends: Set, now: float) -> None:
        """Take the set there is now."""
        first = self._now is None
        if backends == self._now:
            return
        self._now = backends
        if first:
            self._at = now
        else:
            self._pace.changed(now)

    def begin(self, now: float) -> Change | None:
        """Return what to tell; None where what changed has changed back."""
        if self._running or self.due_at is None or now < self.due_at or self._now is None:
            raise ValueError(f"not due at {now}, but at {self.due_at}")
        if self._pace.due_at is not None:
            self._pace.fired(now)
        self._at = None
        if self._now == self.told:
            return None
        self._given, self._running = self._now, True
        return difference(self.told or (), self._now)

    def ended(self, well: bool, now: float) -> None:
        """Note how the run ended: one that failed is due again."""
        if not self._running:
            raise ValueError("nothing runs")
        self._running = False
        if well:
            self.told, self.pause = self._given, RETRY
            return
        self._at = now + self.pause
        self.pause = min(2 * self.pause, RETRY_MAX)
