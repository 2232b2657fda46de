"""What each zone is told of the services that are followed: each change once, and all at first.

What belongs here: which services are a zone's, what it was told of them. Must not know: how they
are followed. Work is in proportion to what changed.
"""

from __future__ import annotations

from collections.abc import Iterable

from consulfwd.config.zones import ZoneSettings
from consulfwd.zones.doubts import UNHEARD
from consulfwd.zones.naming import Naming
from consulfwd.zones.seen import Catalog, Seen, Service

Which = tuple[str, str]
# Whoever names no datacenter means that of the agents, whatever it is called.
OWN = ("",)


def key_of(zone: ZoneSettings) -> Which:
    """Return by what a zone is the same one with other settings."""
    return zone.origin, zone.view or ""


class View:
    """The services of one zone. `doubt` is why one that is not among them may be there still."""

    def __init__(self, settings: ZoneSettings) -> None:
        self.settings = settings
        self.datacenters = settings.datacenters or OWN
        self.max_age = settings.max_age
        self.doubt = UNHEARD
        self._naming = Naming(settings)
        self._services: dict[Which, Service] = {}
        # In the order they changed in.
        self._changed: dict[Which, Service] = {}

    def takes(self, datacenter: str, name: str) -> bool:
        """Return whether a service is one of the zone's; `datacenter` is "" for the agents' own."""
        return datacenter in self.datacenters and self._naming.takes(name, datacenter)

    def instances(self, which: Which) -> tuple[Seen, ...]:
        """Return the instances of a service that it was told of, or is to be."""
        known = self._services.get(which)
        return () if known is None else known.instances

    def doubted(self, why: str) -> bool:
        """Note why a service that is not there may be; return whether that is another reason."""
        before, self.doubt = self.doubt, why
        return before != why

    def put(self, which: Which, instances: tuple[Seen, ...], doubt: str) -> bool:
        """Note what is known of a service; return whether that is something else than before."""
        before = self._services.get(which)
        if before is not None and before.instances is instances and before.doubt == doubt:
            return False
        self._services[which] = self._changed[which] = Service(*which, instances, doubt)
        return True

    def remove(self, which: Which) -> bool:
        """Note that a service is gone for certain; return whether it was there."""
        if self._services.pop(which, None) is None:
            return False
        self._changed[which] = Service(*which, ())
        return True

    def take(self) -> list[Service]:
        """Return what is to be told, once."""
        found, self._changed = list(self._changed.values()), {}
        return found

    def all(self) -> Catalog:
        """Return all there is."""
        self._changed = {}
        return Catalog(dict(self._services), self.doubt)


def shortest(views: Iterable[View]) -> float:
    """Return the least age (seconds) at which data are too old for any of them."""
    return min((view.max_age for view in views), default=float("inf"))
