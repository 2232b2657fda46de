"""For how long a check may take, counted from the start of its process.

What belongs here: the clock. Must not know what is done meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

# What is asked gives up so long (seconds) before the end, as it knows better why.
MARGIN = 0.1


class Deadline:
    """Ends `timeout` seconds after the process began, `age` seconds ago.

    `doing` is what goes on, for the message of a check that did not end in time; `judged` says that
    this is what is checked: that it takes too long is no failure of the check.
    """

    def __init__(
        self, timeout: float, age: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.timeout = timeout
        self.doing = ""
        self.judged = False
        self._clock = clock
        self._end = clock() + timeout - age

    def within(self, seconds: float) -> Deadline:
        """Return one for a part of the check: after so many seconds at the latest."""
        return Deadline(min(seconds, self.patience), clock=self._clock)

    @property
    def left(self) -> float:
        """Seconds until the end, 0 after it."""
        return max(0.0, self._end - self._clock())

    @property
    def patience(self) -> float:
        """Seconds that whoever is asked may take, so that why it failed can be told in time."""
        return max(0.0, self.left - MARGIN)


def age() -> float:
    """Return for how many seconds this process has been there, as the kernel counts.

    Python's own start and imports are in it, and on a slow disk they are much of it. 0 where it
    cannot be told.
    """
    try:
        # The name before it may hold anything, brackets too: proc(5).
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        begun = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - begun)
    except (OSError, ValueError, IndexError):
        return 0.0
