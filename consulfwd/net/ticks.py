"""The second's tick, and a longer one while nobody asks anything.

What belongs here: when the next tick is. Must not know what is done at one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consulfwd.net import mishaps
from consulfwd.net.clock import Clock
from consulfwd.net.warmth import EPOCH

# After so many ticks in a row with nothing to do the next one is so many epochs later.
CALM, REST = 3, 5


class Ticks:
    """Has `tick` called each second: with how late that is, in seconds; it returns whether all was
    quiet.

    While it is, ticks are further apart, and `rest` is called with each of those. Who comes then
    has the missing one made first (`wake`).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        tick: Callable[[float], bool],
        rest: Callable[[], None],
    ) -> None:
        self.resting = self.waking = False
        self._loop = loop
        self._clock = clock
        self._tick = tick
        self._rest = rest
        self._calm = 0
        self._due = clock.now()
        self._timer: asyncio.TimerHandle | None = None

    def late(self, now: float) -> float:
        """Return how much later (seconds) it is than when the next tick was to be; 0: it is not."""
        return max(now - self._due, 0.0)

    def go(self) -> None:
        """Make a tick now; the next one follows by itself."""
        now = self._clock.now()
        late = self.late(now)
        # First, so that whatever goes wrong in the tick goes wrong once.
        self._arm(now, EPOCH)
        if not self._tick(late):
            self._calm = 0
            return
        self._calm += 1
        if self._calm >= CALM:
            self._arm(now, REST * EPOCH)
            self.resting = True
            self._rest()

    def wake(self) -> None:
        """Go on each second: somebody asks. Whatever goes wrong costs no query."""
        if not self.resting or self._timer is None:
            return
        self._calm = 0
        self.waking = True
        try:
            self.go()
        except Exception as error:
            mishaps.note(self._loop, "what is done each second failed", error)
        finally:
            self.waking = False

    def cancel(self) -> None:
        """Make no more ticks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.resting = False

    def _arm(self, now: float, seconds: float) -> None:
        self.cancel()
        self._due = now + seconds
        self._timer = self._loop.call_later(seconds, self.go)
