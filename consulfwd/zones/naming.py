"""The names of a zone: which ones a service has, and how they are written.

What belongs here: names, and whether they can be. Must not know: records, health. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.config.zones import ZoneSettings
from consulfwd.dns import const, names
from consulfwd.errors import WireError
from consulfwd.zones.claims import Group
from consulfwd.zones.globs import Globs
from consulfwd.zones.model import Apex
from consulfwd.zones.seen import Offer, Whose
from consulfwd.zones.spots import Spot, is_label, quoted

HOSTS = b"addr"
_HEX = frozenset(b"0123456789abcdef")
_REVERSE = (b"\x07in-addr\x04arpa\0", b"\x03ip6\x04arpa\0")


def apex_of(settings: ZoneSettings) -> Apex:
    """Return what the zone says of itself."""
    origin = settings.origin
    servers = tuple(names.from_text(one) for one in settings.ns or (origin,))
    soa = settings.soa
    return Apex(
        names.from_text(soa.primary) if soa.primary else servers[0],
        names.from_text(soa.mail or f"hostmaster.{origin}"),
        soa.refresh, soa.retry, soa.expire, soa.minimum, settings.ttl, servers,
    )  # fmt: skip


class Naming:
    """The names of one zone."""

    def __init__(self, settings: ZoneSettings) -> None:
        self._settings = settings
        self.origin = names.from_text(settings.origin)
        self._services = Globs(settings.services)
        self._tags = Globs(settings.tags)
        self._ttls = [(Globs((glob,)), ttl) for glob, ttl in settings.ttls.items()]
        self.reverse = settings.names_in is not None or self.origin.endswith(_REVERSE)
        self._names_in = names.from_text(settings.names_in) if settings.names_in else b""

    def takes(self, service: str, datacenter: str) -> bool:
        """Return whether a service has names here at all."""
        wanted = self._settings.datacenters
        return service in self._services and (not wanted or datacenter.lower() in wanted)

    def groups(self, whose: Whose, offer: Offer) -> tuple[Group, ...]:
        """Return the names by which an instance is offered, its service's own first."""
        service = whose.service
        if self.reverse:
            return (Group(service),)
        tags = {one.lower() for one in offer.tags if one in self._tags}
        found = [Group(service), *(Group(service, one) for one in sorted(tags) if one)]
        if self._settings.datacenter_names and whose.datacenter:
            found.append(Group(service, "", whose.datacenter.lower()))
        return tuple(found)

    def owner(self, group: Group, *, srv: bool = False) -> bytes | str:
        """Return the wire form of a group's name, or of that of its SRV records; or why not."""
        try:
            labels = [_label(one, "name") for one in group.service.split(".")]
            more = group.tag or group.datacenter
            part = _label(more, "label of a name") if more else b""
            if srv:
                labels = [b"_" + labels[0], *labels[1:], b"_" + (part or b"tcp")]
            elif part:
                labels = [part, *labels] if group.tag else [*labels, part]
            if self._settings.srv and is_host(labels):
                # Were it there before the address is, it would be led to by that one's SRV records.
                return f"{labels[0].decode()}.{HOSTS.decode()} is the name of an address"
            return self.below(names.join(labels))
        except WireError as error:
            return str(error)

    def pointed_to(self, service: str) -> bytes | str:
        """Return what PTR records of a service's addresses hold, or why they cannot."""
        if not self._names_in:
            return "names_in must say where the names are that a reverse zone's records have"
        try:
            labels = [_label(one, "name") for one in service.split(".")]
            return _behind(names.join(labels), self._names_in)
        except WireError as error:
            return str(error)

    def below(self, relative: bytes) -> bytes:
        """Return the name with the origin behind it. Raises WireError if that is too long."""
        return _behind(relative, self.origin)

    def ttl(self, service: str) -> int:
        """Return the TTL of a service's records."""
        return next((ttl for globs, ttl in self._ttls if service in globs), self._settings.ttl)

    def host(self, spot: Spot) -> bytes:
        """Return the name that SRV records lead to, by the address alone: it never changes."""
        if spot.type == const.CNAME:
            return spot.data
        return self.below(names.join([spot.data.hex().encode(), HOSTS]))


def is_host(labels: Sequence[bytes]) -> bool:
    """Return whether labels below the origin are such as SRV records lead to: an address."""
    if len(labels) != 2 or labels[1] != HOSTS or len(labels[0]) not in (8, 32):
        return False
    return _HEX.issuperset(labels[0])


def _behind(relative: bytes, origin: bytes) -> bytes:
    found = relative[:-1] + origin
    if len(found) > names.MAX_NAME:
        raise WireError(f"the name is longer than {names.MAX_NAME} octets")
    return found


def _label(text: str, what: str) -> bytes:
    # Some letters outside ASCII become such of it where they are folded.
    label = text.lower().encode() if text.isascii() else b""
    if not is_label(label):
        raise WireError(f"{quoted(text)} is no {what}")
    return label
