"""How much older than the clock says what is known from before: the time of day has leapt ahead.

The clock everything goes by goes on while a host sleeps, but not while a virtual machine is paused,
or lies in a snapshot. What goes on then is the time of day, once somebody has set it right. Pure:
both times are passed in.
"""

from __future__ import annotations

# The time of day is set right by less than this (seconds) all the time.
LEAP = 2.0
# A time of day before this one (2025-01-01, UTC) is wrong: setting it right is no time that passed.
SENSIBLE = 1_735_689_600.0


class Leaps:
    """Holds the time of day (`wall`, seconds since 1970) against the clock that is gone by.

    Small steps ahead add up until they are a leap. One back is no time at all, and where the time
    of day goes on from.
    """

    __slots__ = ("_ahead",)

    def __init__(self, now: float, wall: float) -> None:
        self._ahead = wall - now

    def look(self, now: float, wall: float) -> float:
        """Return for how many seconds nothing has been going on here, beyond what `now` tells.

        A time of day that was evidently wrong, and is set right, has not leapt: a host without a
        battery for its clock begins in 1970. One that began at the end of what it remembers, as
        systemd has it, looks like a pause, and may: what it costs is that what was asked since it
        began is asked once more.
        """
        expected = now + self._ahead
        leapt = wall - expected
        if 0 <= leapt <= LEAP:
            return 0.0
        self._ahead = wall - now
        return leapt if leapt > 0 and expected >= SENSIBLE else 0.0
