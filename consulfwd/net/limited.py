"""What the log says of clients that asked too much: now and then, whoever and however many.

What belongs here is when it is told, and how. Who is over is `core.limits`' and `core.shield`'s.
"""

from __future__ import annotations

import logging
from ipaddress import ip_address

from consulfwd.core.alarms import Alarms
from consulfwd.core.limits import Limiter

log = logging.getLogger("consulfwd.limits")


class Limited:
    """Told at once, then at growing intervals while it lasts."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._alarms = Alarms()
        self._over = self._shielded = 0
        # Up to where it was told.
        self._told_over = self._told_shielded = 0

    def look(self, shielded: int, now: float) -> None:
        """Tell what is to be told; `shielded` counts questions not asked, since the start."""
        over = self._limiter.over_in_all
        if over > self._over and self._alarms.wrong("over", now):
            log.warning(
                "queries over the limits of their clients: %d, the last one from %s"
                " (limits.per_client, limits.per_network)",
                over - self._told_over,
                ip_address(self._limiter.last),
            )
            self._told_over = over
        if shielded > self._shielded and self._alarms.wrong("shielded", now):
            log.warning(
                "questions about unknown names not asked, as too many are in flight: %d"
                " (limits.unknown)",
                shielded - self._told_shielded,
            )
            self._told_shielded = shielded
        self._over, self._shielded = over, shielded
