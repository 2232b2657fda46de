"""When to act on changes that come in bursts: once they pause, but not for ever.

What belongs here: the two times. Must not know what changes, nor read a clock: `now` is passed in.
"""

from __future__ import annotations

from math import inf


class Quiescence:
    """Waits `least` seconds from the last change, `most` (4 x `least`) from the first at most.

    | state | changed(now) | fired(now) |
    |---|---|---|
    | idle: `due_at` is None | armed: due at now + least, deadline at now + most | raises |
    | armed | due at now + least, or at the deadline if that is sooner | idle; raises before due |
    """

    __slots__ = ("_deadline", "_due_at", "_least", "_most")

    def __init__(self, least: float, most: float | None = None) -> None:
        self._least = least
        self._most = 4 * least if most is None else most
        if not 0 <= self._least <= self._most < inf:
            raise ValueError(f"not 0 <= {self._least} <= {self._most} < inf")
        self._due_at: float | None = None
        self._deadline = 0.0

    @property
    def due_at(self) -> float | None:
        """When to act; None while nothing has changed."""
        return self._due_at

    def changed(self, now: float) -> None:
        """Note a change."""
        if self._due_at is None:
            self._deadline = now + self._most
        self._due_at = min(now + self._least, self._deadline)

    def fired(self, now: float) -> None:
        """Note that one acts now; later changes are new. Raises ValueError if it is not due."""
        if self._due_at is None or now < self._due_at:
            raise ValueError(f"not due at {now}, but at {self._due_at}")
        self._due_at = None
