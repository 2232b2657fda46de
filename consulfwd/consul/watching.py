"""What those who watch need of whoever makes use of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from consulfwd.core.freshness import Freshness


class Watching(Protocol):
    """Who is told what watches saw (see `net.reuse`)."""

    freshness: Freshness
    wake: Callable[[], None]

    def drop(self, keys: Iterable[bytes], *, changed: bool) -> None:
        """Let these questions be asked again: at once if `changed`, else when their TTL is over."""

    def use(self, agents: Mapping[str, bool]) -> None:
        """Take note of the agents there are, and which are off this host.

        Nothing hangs on any other from now on.
        """

    def proved(self, carrier: str, at: float) -> None:
        """Note that an agent heard of every change up to `at`."""

    def lost(self, carrier: str) -> None:
        """Note that an agent can carry no watches for now."""
