"""Catalogs for tests, in few words: "web 10.0.0.1:80 primary" is an instance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from consulfwd.config.zones import ZoneSettings
from consulfwd.dns import const, names
from consulfwd.zones import rdata
from consulfwd.zones.model import Key, Records, RRset
from consulfwd.zones.seen import Catalog, Health, Offer, Seen, Service, Whose

ORIGIN = "svc.example.com"
_HEALTH = {"!": Health.CRITICAL, "~": Health.WARNING, "-": Health.MAINTENANCE}


def settings(**values: Any) -> ZoneSettings:
    """Return settings; what is due by itself is off, unless it is given."""
    given: dict[str, Any] = {
        "origin": ORIGIN, "removal_delay": 0, "srv": False, "most_records": 10_000, **values
    }  # fmt: skip
    return ZoneSettings(**given)


def instance(service: str, text: str, datacenter: str = "") -> Seen:
    """Return an instance: "NODE ADDRESS[:PORT] [TAG...]"; ! ~ - before it say how it is."""
    health = _HEALTH.get(text[0], Health.PASSING)
    node, place, *tags = text.lstrip("!~-").split()
    address, _, port = place.rpartition(":") if place.count(":") == 1 else (place, "", "0")
    offer = Offer(own=address, of_node="192.0.2.1", port=int(port), tags=tuple(tags))
    return Seen(Whose(datacenter, service, node, f"{service}-{node}"), offer, health)


def service(name: str, *instances: str, doubt: str = "", datacenter: str = "") -> Service:
    """Return a service of such instances."""
    made = tuple(instance(name, one, datacenter) for one in instances)
    return Service(datacenter, name, made, doubt)


def catalog(*services: Service, doubt: str = "") -> Catalog:
    """Return a catalog of these services."""
    return Catalog({(one.datacenter, one.name): one for one in services}, doubt)


def shown(records: Records) -> dict[str, str]:
    """Return records as {"web A": "10.0.0.1 10.0.0.2"}, below the origin."""
    return {key_text(key): set_text(key, records[key]) for key in sorted(records, key=Key.order)}


def key_text(key: Key) -> str:
    """Return a key as "web A"."""
    name = names.to_text(key.name).removesuffix(f".{ORIGIN}.")
    return f"{name} {const.type_text(key.type)}"


def set_text(key: Key, rrset: RRset | None) -> str:
    """Return an RRset's data as text, sorted."""
    if rrset is None:
        return ""
    return " ".join(rdata.to_text(key.type, one) for one in sorted(rrset.data))


def records(given: Mapping[str, str | Iterable[str]], ttl: int = 30) -> dict[Key, RRset]:
    """Return records of {"web A": "10.0.0.1 10.0.0.2"}; data with spaces are given as a list."""
    found = {}
    for where, data in given.items():
        name, type_text = where.split()
        rtype = const.type_number(type_text)
        assert rtype is not None
        owner = names.from_text(name if name.endswith(".") else f"{name}.{ORIGIN}")
        each = data.split() if isinstance(data, str) else data
        wire = frozenset(rdata.from_text(rtype, one) for one in each)
        found[Key(owner, rtype)] = RRset(ttl, wire)
    return found
