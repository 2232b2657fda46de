"""Octets behind replies: ignored, counted, and told now and then for who looks into it."""

from __future__ import annotations

import logging

from consulfwd.core.telling import kind
from consulfwd.core.upstreams import Upstream
from consulfwd.net.flight import Counters

log = logging.getLogger("consulfwd.resolver")

# One line in so many seconds, however many such replies come from however many upstreams.
EVERY = 60.0


class Trailing:
    """Takes note of replies with octets behind them; nothing of what was asked is told."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._quiet_until = float("-inf")

    def note(self, upstream: Upstream, octets: int, now: float) -> None:
        """Count a reply that was read and had so many octets behind it."""
        self._counters.trailing += 1
        if now >= self._quiet_until:
            self._quiet_until = now + EVERY
            log.debug(
                "%s %s: %d octets behind a reply are ignored (%d such replies so far)",
                kind(upstream), upstream.name, octets, self._counters.trailing,
            )  # fmt: skip
