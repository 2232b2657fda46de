"""The time, as one thing all parts of a server share: tests let it pass at will."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

# One that goes on while the host sleeps: what is from before must not look fresh after it.
_now: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)


class Clock:
    """`now()` is the time in seconds, from no particular moment on."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now: Callable[[], float] = _now
