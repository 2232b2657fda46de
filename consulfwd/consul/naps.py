"""Those who rest until a time, by one timer for all: there may be very many.

What belongs here: when each is let go on. Must not know why they rest.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable

Nap = asyncio.Future[None]


def end(nap: Nap | None) -> None:
    """Let one go on, if it rests still."""
    if nap is not None and not nap.done():
        nap.set_result(None)


class Naps:
    """All naps of one clock."""

    def __init__(
        self, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._due: list[tuple[float, int, Nap]] = []
        self._numbers = itertools.count()
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def begin(self, seconds: float) -> Nap:
        """Return what is done after so many seconds, or once somebody ends it."""
        loop = asyncio.get_running_loop()
        nap: Nap = loop.create_future()
        at = self._clock() + seconds
        first = not self._due or at < self._due[0][0]
        heapq.heappush(self._due, (at, next(self._numbers), nap))
        if first or self._task is None or self._task.done():
            if self._task is not None:
                self._task.cancel()
            self._task = loop.create_task(self._wake())
            self._ending.add(self._task)
            self._task.add_done_callback(self._ending.discard)
        return nap

    async def close(self) -> None:
        """End the timer. Nobody is let go on by that."""
        for one in self._ending:
            one.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _wake(self) -> None:
        while self._due:
            left = self._due[0][0] - self._clock()
            if left > 0 and not self._due[0][2].done():
                await self._sleep(left)
            else:
                end(heapq.heappop(self._due)[2])
