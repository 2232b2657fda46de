"""Which pool of a record is the one that is given.

What belongs here: priority, and how the record goes back to a better pool. Must not know:
addresses, why a pool is well. Pure: `now` is passed in.

The pool that is given stays while it is well and no better one may take over. Where it is not, the
best one that is well takes over at once; where none is, the last resort (`LAST`), until one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# Instead of a pool.
LAST = -1


class Preferred(NamedTuple):
    """The pool that is given (LAST: none is well), and since when each one has been well (None: it
    is not).
    """

    pool: int
    well_since: tuple[float | None, ...]


class Failback(NamedTuple):
    """When a better pool may take over: after so many seconds of being well, None by order only."""

    after: float | None


def prefer(
    before: Preferred | None,
    well: Sequence[bool],
    now: float,
    failback: Failback,
    *,
    ordered: bool = False,
) -> Preferred:
    """Return which pool is given now; `ordered` is that people want the best one at once."""
    known = before.well_since if before is not None else ()
    since = tuple(
        _since(known[at] if at < len(known) else None, one, now) for at, one in enumerate(well)
    )
    best = next((at for at, one in enumerate(well) if one), LAST)
    at = before.pool if before is not None else LAST
    stays = at != LAST and at < len(well) and well[at] and at != best
    if stays and not ordered and not _may_take_over(since[best], now, failback):
        best = at
    return Preferred(best, since)


def waiting(preferred: Preferred, failback: Failback) -> tuple[int, float | None] | None:
    """Return the better pool that waits, and when it takes over (None: by order); None: none does.

    Where it is well for long enough already it is no longer waiting.
    """
    if preferred.pool == LAST:
        return None
    for at, since in enumerate(preferred.well_since[: preferred.pool]):
        if since is not None:
            return at, None if failback.after is None else since + failback.after
    return None


def _since(before: float | None, well: bool, now: float) -> float | None:
    if not well:
        return None
    return now if before is None else before


def _may_take_over(since: float | None, now: float, failback: Failback) -> bool:
    return failback.after is not None and since is not None and now - since >= failback.after
