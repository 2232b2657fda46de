"""What is in the catalog, as it was said last, and a digest of that.

What belongs here: which services there are, in which datacenters. Must not know what becomes of
them. Pure; a change costs what it changes.
"""

from __future__ import annotations

from hashlib import sha256

from consulfwd.zones.seen import Service

Which = tuple[str, str]
_DIGEST = 32


class Listed:
    """The services of a zone that are in the catalog."""

    def __init__(self) -> None:
        # By a digest of what was said of it.
        self.services: dict[Which, int] = {}
        self._given: dict[Which, Service] = {}
        self._datacenters: dict[str, set[str]] = {}
        self._digest = 0

    @property
    def digest(self) -> str:
        """What tells all that was said from anything else."""
        return f"{self._digest:0{2 * _DIGEST}x}"

    def names(self) -> list[str]:
        """Return the services there are, sorted."""
        return sorted({name for _, name in self.services})

    def datacenters(self, name: str) -> list[str]:
        """Return those that a service is in, sorted."""
        return sorted(self._datacenters.get(name, ()))

    def given(self, which: Which) -> Service | None:
        """Return what was said last of a service, None for nothing."""
        return self._given.get(which)

    def put(self, service: Service, *, there: bool) -> bool:
        """Note what is said of a service; return whether it is there, or not, since now."""
        which = service.datacenter, service.name
        was = which in self.services
        self._digest -= self.services.pop(which, 0)
        if there:
            self._given[which] = service
            self.services[which] = found = _digest(service)
            self._digest += found
            if not was:
                self._datacenters.setdefault(service.name, set()).add(service.datacenter)
        else:
            self._given.pop(which, None)
            if was:
                self._datacenters[service.name].discard(service.datacenter)
                if not self._datacenters[service.name]:
                    del self._datacenters[service.name]
        self._digest %= 1 << 256
        return there != was


def _digest(service: Service) -> int:
    said = [
        (*one.whose, one.health.value, one.offer.own, one.offer.of_node, one.offer.port,
         one.offer.tags, sorted(one.offer.meta.items()), sorted(one.offer.tagged.items()),
         one.offer.weight)
        for one in service.instances
    ]  # fmt: skip
    text = repr((service.datacenter, service.name, said))
    return int.from_bytes(sha256(text.encode("utf-8", "replace")).digest(), "big")
