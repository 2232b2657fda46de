"""What people said of addresses, whatever checks say.

What belongs here: which force is of which address, and until when. Must not know: checks, answers.
Pure: the time of day is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from consulfwd.failover.model import IP, Force

MOST = 100
UP, DOWN = "up", "down"


def is_of(glob: str, name: str, pool: str, ip: IP) -> bool:
    """Return whether a glob is of an address: of its record, RECORD/POOL or RECORD/ADDRESS."""
    return any(fnmatchcase(one, glob) for one in (name, f"{name}/{pool}", f"{name}/{ip}"))


def in_force(forces: Iterable[Force], wall: float) -> tuple[Force, ...]:
    """Return those that are not over."""
    return tuple(one for one in forces if one.until is None or one.until > wall)


def added(forces: Iterable[Force], force: Force) -> tuple[Force, ...]:
    """Return forces with another one, which stands instead of an earlier one of the same glob.

    Raises ValueError where there are too many.
    """
    found = (*(one for one in forces if one.glob != force.glob), force)
    if len(found) > MOST:
        raise ValueError(f"{MOST} are in force already: take some back")
    return found


def without(forces: Iterable[Force], glob: str) -> tuple[Force, ...]:
    """Return forces without those whose own glob is this one, or is meant by it."""
    return tuple(one for one in forces if one.glob != glob and not fnmatchcase(one.glob, glob))


def of(forces: Iterable[Force], name: str, pool: str, ip: IP) -> Force | None:
    """Return the force that counts for an address: the one that was said last."""
    found = [one for one in forces if is_of(one.glob, name, pool, ip)]
    return found[-1] if found else None


def ends(forces: Iterable[Force]) -> float | None:
    """Return when the next of them is over (time of day), None: none will be by itself."""
    return min((one.until for one in forces if one.until is not None), default=None)
