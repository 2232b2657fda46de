"""What is due when, for many instances.

What belongs here: times, the earliest first. Must not know what they are for. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from math import inf

from consulfwd.zones.seen import Whose


class Due:
    """What is due when: of each kind one time for each instance, the earliest.

    What turns out to be due later then is put again, so that what is put again and again takes up
    no more room.
    """

    __slots__ = ("_heap", "_times")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Whose]] = []
        self._times: dict[tuple[int, Whose], float] = {}

    def put(self, what: int, whose: Whose, when: float, now: float) -> None:
        """Have it due then, unless that is past."""
        if now < when < self._times.get((what, whose), inf):
            self._times[what, whose] = when
            heappush(self._heap, (when, what, whose))

    def next(self) -> float | None:
        """Return when something is due, None for never."""
        return self._heap[0][0] if self._heap else None

    def past(self, now: float) -> Iterator[tuple[int, Whose]]:
        """Yield what is due."""
        while self._heap and self._heap[0][0] <= now:
            when, what, whose = heappop(self._heap)
            if self._times.get((what, whose)) == when:
                del self._times[what, whose]
                yield what, whose
