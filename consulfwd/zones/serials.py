"""Serials of zones: which is newer, and which comes next (RFC 1982, RFC 1035 section 3.3.13).

What belongs here: arithmetic. Must not know where serials are kept. Pure: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable

_HALF, _ALL = 1 << 31, 1 << 32


def newer(one: int, than: int) -> bool:
    """Return whether a serial is newer than another, as a secondary sees it."""
    return 0 < (one - than) % _ALL < _HALF


def following(known: Iterable[int | None], time_of_day: float) -> int:
    """Return a serial that is newer than each of the known ones, as far as there is such a one.

    It is the time in seconds where that is newer, so that it goes up even where nothing is
    remembered, else one more than the newest. Where some are half the numbers apart, none is newer
    than all: then the first one given counts.
    """
    found = [one for one in known if one is not None]
    newest = found[0] if found else None
    for one in found[1:]:
        if newest is not None and newer(one, newest):
            newest = one
    # 0 means to some servers that there is no serial.
    now = int(time_of_day) % _ALL or 1
    if newest is None or newer(now, newest):
        return now
    return (newest + 1) % _ALL or 1
