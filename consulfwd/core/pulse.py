"""How long servers took to reply in the last minutes, from what was measured anyway.

Every few seconds the usual round-trip time of each is noted, None where it has not replied since.
Pure: `now` is passed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from consulfwd.core.upstreams import Upstream

# Between two values (seconds), and how many are kept.
EVERY, MOST = 5.0, 60


class Pulse:
    """The values of each server, the newest last."""

    def __init__(self) -> None:
        self._values: dict[Upstream, deque[float | None]] = {}
        self._noted_at = float("-inf")

    def look(self, upstreams: Iterable[Upstream], now: float) -> None:
        """Note the values if it is time to; called each second. Others than these are forgotten."""
        before = self._noted_at
        # The second's tick may come a moment early.
        if now - before < EVERY - 0.5:
            return
        self._noted_at = now
        values: dict[Upstream, deque[float | None]] = {}
        for one in upstreams:
            kept = values[one] = self._values.get(one) or deque(maxlen=MOST)
            kept.append(one.srtt if one.srtt and one.last_reply > before else None)
        self._values = values

    def of(self, upstream: Upstream) -> tuple[float | None, ...]:
        """Return what was noted of a server."""
        return tuple(self._values.get(upstream, ()))
