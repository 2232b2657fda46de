"""The time, as one thing all parts of a server share: tests let it pass at will."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

# One that goes on while the host sleeps: what is from before must not look fresh after it.
usual_now: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)
# <sys/timerfd.h>
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
_ABSOLUTE, _CANCEL_ON_SET = 1, 2
_NEVER = 2**62


class Clock:
    """`now()` is the time in seconds, from no particular moment on; `wall()` the time of day."""

    __slots__ = ("now", "wall")

    def __init__(self) -> None:
        self.now: Callable[[], float] = usual_now
        self.wall: Callable[[], float] = time.time


class _Timer(ctypes.Structure):
    """struct itimerspec: an interval, and when it goes off, each in seconds and nanoseconds."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every", "every_ns", "at", "at_ns"))


class ClockSet:
    """Becomes readable whenever the time of day is set (timerfd_create(2), CANCEL_ON_SET).

    It costs nothing as long as nobody does that. Raises OSError where there is no such thing.
    """

    def __init__(self, at: float = _NEVER) -> None:
        self._fd = -1
        libc: Any = ctypes.CDLL(None, use_errno=True)
        if not sys.platform.startswith("linux") or not hasattr(libc, "timerfd_create"):
            raise OSError("no timerfd_create")
        self._settime = libc.timerfd_settime
        self._at = at
        self._fd = libc.timerfd_create(time.CLOCK_REALTIME, _NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._arm()

    def _arm(self) -> None:
        timer = _Timer(0, 0, int(self._at), int(self._at % 1 * 1e9))
        self._settime(self._fd, _ABSOLUTE | _CANCEL_ON_SET, ctypes.byref(timer), None)

    def fileno(self) -> int:
        """Return the file descriptor to watch, -1 when it is closed."""
        return self._fd

    def again(self) -> None:
        """Have it become readable at the next time."""
        self._at = _NEVER
        with suppress(OSError):  # ECANCELED is how it says that the time was set
            os.read(self._fd, 8)
        self._arm()

    def close(self) -> None:
        """Let go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
