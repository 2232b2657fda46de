"""The times at which lookups want to be woken, on one timer of the event loop."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

from consulfwd.core.attempts import Attempts

NEVER = float("inf")
# So few are not looked through.
CLEAR_OUT = 1024


class Timers:
    """Wakes lookups: `wake` is called with each whose time has come.

    A lookup that has ended meanwhile, or wants another time by now, is left out. `clock` gives
    the time the wake-up times are in.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        wake: Callable[[Attempts, float], None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._wake = wake
        self._heap: list[tuple[float, int, Attempts]] = []
        self._sequence = count()
        self._handle: asyncio.TimerHandle | None = None
        self._at = NEVER
        # Beyond that it pays to look who is left out.
        self._most = CLEAR_OUT

    def add(self, lookup: Attempts) -> None:
        """Wake `lookup` at its `wake_at`."""
        at = lookup.wake_at
        heapq.heappush(self._heap, (at, next(self._sequence), lookup))
        if len(self._heap) > self._most:
            self._clear_out()
        if at < self._at:
            self._arm(at)

    def _clear_out(self) -> None:
        """Forget those that are left out: what is answered at once is not kept to its deadline."""
        # In place: it may be that they are woken just now.
        self._heap[:] = [one for one in self._heap if _wanted(one[2], one[0])]
        heapq.heapify(self._heap)
        self._most = max(2 * len(self._heap), CLEAR_OUT)

    def cancel(self) -> None:
        """Wake nobody any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, at: float) -> None:
        self.cancel()
        self._at = at
        self._handle = self._loop.call_later(max(at - self._clock(), 0), self._due)

    def _due(self) -> None:
        now = self._clock()
        heap = self._heap
        self._handle = None
        self._at = NEVER
        try:
            while heap and heap[0][0] <= now:
                at, _, lookup = heapq.heappop(heap)
                if _wanted(lookup, at):
                    self._wake(lookup, now)
        finally:
            # Whatever became of one, the others are woken.
            while heap and heap[0][2].outcome is not None:
                heapq.heappop(heap)
            if heap and heap[0][0] < self._at:
                self._arm(heap[0][0])


def _wanted(lookup: Attempts, at: float) -> bool:
    return lookup.outcome is None and at == lookup.wake_at
