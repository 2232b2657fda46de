"""What Consul says, for one zone after the other.

What belongs here: between the feed of all zones and the source of one. Must not know rounds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from consulfwd.config import Agent
from consulfwd.config.zones import ZoneSettings
from consulfwd.zones.feed import Feed
from consulfwd.zones.publish.telling import of_services
from consulfwd.zones.seen import Catalog
from consulfwd.zones.zone import Zone

log = logging.getLogger("consulfwd.publish")


class Sources:
    """The feed, and who is told that there is news."""

    def __init__(self, agents: Sequence[Agent], zones: Sequence[ZoneSettings]) -> None:
        self._events: list[asyncio.Event] = []
        self.feed = Feed(agents, zones, self._changed, _tell)

    def of(self, zone: ZoneSettings) -> ZoneSource:
        """Return what Consul says for a zone."""
        source = ZoneSource(self.feed, zone)
        self._events.append(source.changed)
        return source

    def leave(self, source: ZoneSource) -> None:
        """Tell it nothing more."""
        self._events.remove(source.changed)

    def _changed(self) -> None:
        for event in self._events:
            event.set()


class ZoneSource:
    """One zone's (see `tools.Source`)."""

    def __init__(self, feed: Feed, zone: ZoneSettings) -> None:
        self.changed = asyncio.Event()
        self._feed = feed
        self._zone = zone

    async def ready(self, timeout: float) -> bool:
        """Return whether all is known within this time."""
        return await self._feed.ready(timeout)

    def catalog(self) -> Catalog:
        """Return all there is."""
        return self._feed.catalog(self._zone)

    def feed(self, zone: Zone, now: float) -> str:
        """Tell the zone what changed; return why there may be something to push."""
        services, doubt = self._feed.take(self._zone)
        lifted = zone.doubted(doubt)
        moved = zone.changed(services, now)
        return of_services(one.name for one in services) if moved or lifted else ""


def _tell(text: str) -> None:
    log.warning("%s", text)
