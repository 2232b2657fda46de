"""How much older than the clock says what is known from before: the time of day has leapt ahead.

The clock everything goes by goes on while a host sleeps, but not while a virtual machine is paused,
or lies in a snapshot. What goes on then is the time of day, once somebody has set it right. Pure:
both times are passed in.
"""

from __future__ import annotations

# The time of day is set right by less than this (seconds) all the time.
LEAP = 2.0
# How long (seconds) a step back is remembered.
SOON = 60.0
# A time of day before this one (2025-01-01, UTC) is wrong: setting it right is no time that passed.
SENSIBLE = 1_735_689_600.0


class Leaps:
    """Holds the time of day (`wall`, seconds since 1970) against the clock that is gone by.

    Small steps ahead add up until they are a leap. One back is no time at all, and where the time
    of day goes on from; as much ahead again soon after is none either: two programs may set it in
    turn.
    """

    __slots__ = ("_ahead", "_back", "_back_at")

    def __init__(self, now: float, wall: float) -> None:
        self._ahead = wall - now
        self._back = self._back_at = 0.0

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
        if leapt < 0:
            self._back, self._back_at = self._back - leapt, now
            return 0.0
        if now - self._back_at > SOON:
            self._back = 0.0
        new = max(leapt - self._back, 0.0)
        self._back = max(self._back - leapt, 0.0)
        return new if new > LEAP and expected >= SENSIBLE else 0.0
