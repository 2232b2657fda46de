"""Several servers for the same thing, tried in order.

What belongs here: which is tried first, and what failing lately means. Must not know what they are
asked, nor a clock: the time is an argument. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.config.addresses import Endpoint

# Seconds for which one that failed is tried after the others.
FAILING_FOR = 60.0


class Primaries:
    """Servers, in the order of the settings but for those that failed lately."""

    def __init__(self, servers: Sequence[Endpoint]) -> None:
        self._servers = tuple(servers)
        self._failed: dict[Endpoint, float] = {}

    def order(self, now: float, first: Endpoint | None = None) -> list[Endpoint]:
        """Return all of them in the order they are to be tried; `first` is in use just now."""
        failing = {one for one, until in self._failed.items() if until > now}
        return sorted(self._servers, key=lambda one: (one in failing, one != first))

    def failed(self, server: Endpoint, now: float) -> None:
        """Note that one could not do what it was asked for."""
        self._failed[server] = now + FAILING_FOR

    def worked(self, server: Endpoint) -> None:
        """Note that one could: whatever it was that failed is over."""
        self._failed.pop(server, None)
