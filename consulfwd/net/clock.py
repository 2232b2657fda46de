"""The time, as one thing all parts of a server share: tests let it pass at will."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """`now()` is the time in seconds, from no particular moment on."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now: Callable[[], float] = time.monotonic
