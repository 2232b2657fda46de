"""The records of one service: which names it has, and what is at them.

What belongs here: the layout of a zone, for each service by itself, and what of it cannot be had.
Must not know: health, what is published, what other services there are. Pure.

| Name below the origin | Records |
|---|---|
| `SERVICE` | A, AAAA; CNAME where there is a host name only; TXT |
| `TAG.SERVICE`, `SERVICE.DATACENTER` | A, AAAA, CNAME |
| `_SERVICE._tcp`, `_SERVICE._TAG` | SRV |
| `HEX.addr` | A, AAAA: what SRV records lead to; the digits are those of the address |
| an address, in a reverse zone | PTR |
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address

from consulfwd.config.zones import ZoneSettings
from consulfwd.dns import const, names
from consulfwd.errors import WireError
from consulfwd.zones.claims import Claim, Contribution, Group, Member, Objection, Rank, told
from consulfwd.zones.globs import Globs
from consulfwd.zones.model import RRset
from consulfwd.zones.naming import Naming
from consulfwd.zones.seen import Whose
from consulfwd.zones.spots import Spot, quoted, spot_of

PRIORITY = 1
# What an RRset may take up, owners and all: a message that changes it holds less than 64 KiB.
LARGEST = 48_000
MOST_TEXT = 2_048


class Layout:
    """The records of one zone, service by service."""

    def __init__(self, settings: ZoneSettings, naming: Naming) -> None:
        self._settings = settings
        self._naming = naming
        self._txt = Globs(settings.txt)

    def of(self, service: str, members: Mapping[Group, Sequence[Member]]) -> Contribution:
        """Return what a service has in the zone where these are offered under its names."""
        making = _Making(self._naming, self._settings, service)
        for group in sorted(members):
            if self._naming.reverse:
                making.pointers(members[group])
            elif members[group]:
                making.group(group, members[group], self._txt)
        return making.done()

    def aliases(self) -> Contribution:
        """Return the names that the settings have stand for others."""
        claims: dict[bytes, Claim] = {}
        objections = []
        aliases = {} if self._naming.reverse else self._settings.aliases
        for name, target in sorted(aliases.items()):
            try:
                owner = self._naming.below(names.from_text(name))
                found = self._naming.below(names.from_text(target))
            except WireError as error:
                objections.append(Objection(f"the alias {quoted(name)}", str(error)))
                continue
            if self._leads_back(name):
                objections.append(Objection(f"the alias {quoted(name)}", "it leads to itself"))
            else:
                sets = {const.CNAME: RRset(self._settings.ttl, frozenset((found,)))}
                claims[owner] = Claim(Rank.ALIAS, sets)
        return Contribution("", claims, tuple(objections))

    def _leads_back(self, name: str) -> bool:
        seen = set()
        at: str | None = name
        while at is not None and at not in seen:
            seen.add(at)
            at = self._settings.aliases.get(at)
        return at is not None


class _Making:
    """One service's records on their way."""

    def __init__(self, naming: Naming, settings: ZoneSettings, service: str) -> None:
        self._naming, self._settings, self._service = naming, settings, service
        self._ttl = naming.ttl(service)
        self._claims: dict[bytes, Claim] = {}
        self._objections: dict[Objection, None] = {}
        self._spots: dict[Whose, Spot | None] = {}

    def done(self) -> Contribution:
        return Contribution(self._service, self._claims, tuple(self._objections))

    def _object(self, subject: str, why: str) -> None:
        self._objections[Objection(subject, why)] = None

    def _spot(self, member: Member) -> Spot | None:
        if member.whose not in self._spots:
            spot = spot_of(member.offer, self._settings.address, self._settings.tagged)
            if isinstance(spot, str):
                self._object(told(member.whose), spot)
            self._spots[member.whose] = None if isinstance(spot, str) else spot
        return self._spots[member.whose]

    def group(self, group: Group, members: Sequence[Member], txt: Globs) -> None:
        owner = self._naming.owner(group)
        if isinstance(owner, str):
            self._object(quoted(self._service), owner)
            return
        found = [(member, spot) for member in members if (spot := self._spot(member))]
        sets = self._addresses(owner, found)
        if not group.tag and not group.datacenter and (texts := self._texts(members, txt)):
            if const.CNAME in sets:
                self._object(quoted(self._service), "no TXT records beside a CNAME record")
            else:
                self._put(sets, owner, const.TXT, texts)
        if sets:
            rank = Rank.PART if group.tag else Rank.SERVICE
            if group.datacenter:
                rank = Rank.DATACENTER
            self._claims[owner] = Claim(rank, sets)
        if self._settings.srv and not group.datacenter:
            self._services(group, found)

    def _addresses(
        self, owner: bytes, found: Sequence[tuple[Member, Spot]]
    ) -> dict[int, RRset]:
        sets: dict[int, RRset] = {}
        for type_ in (const.A, const.AAAA):
            self._put(sets, owner, type_, (spot.data for _, spot in found if spot.type == type_))
        hosts = sorted({spot.data for _, spot in found if spot.type == const.CNAME})
        if hosts and not sets:
            if hosts[0] == owner:
                self._object(quoted(self._service), "its address is its own name")
            else:
                self._put(sets, owner, const.CNAME, hosts[:1])
        for member, spot in found:
            if spot.type == const.CNAME and spot.data not in _data(sets, const.CNAME):
                said = names.to_text(spot.data)
                if spot.data != owner:
                    self._object(told(member.whose), f"the host name {said} is beside others")
        return sets

    def _texts(self, members: Iterable[Member], txt: Globs) -> set[bytes]:
        texts = set()
        for member in members:
            for key, value in sorted(member.offer.meta.items()):
                if key in txt:
                    text = f"{key}={value}".encode("utf-8", "replace")
                    if len(text) > MOST_TEXT:
                        why = f"the text of {quoted(key)} is longer than {MOST_TEXT} octets"
                        self._object(told(member.whose), why)
                    else:
                        texts.add(strings(text))
        return texts

    def _services(self, group: Group, found: Sequence[tuple[Member, Spot]]) -> None:
        ported = [each for each in found if each[0].offer.port]
        if not ported:
            return
        if group.tag == "tcp":
            self._object(quoted(self._service), "SRV records at its tag tcp would be all of its")
            return
        owner = self._naming.owner(group, srv=True)
        if isinstance(owner, str):
            self._object(quoted(self._service), f"SRV records: {owner}")
            return
        data = set()
        for member, spot in ported:
            port, weight = member.offer.port, max(0, min(member.offer.weight, 65_535))
            if not 0 < port < 65_536:
                self._object(told(member.whose), f"{port} is no port")
                continue
            try:
                host = self._naming.host(spot)
            except WireError as error:
                self._object(told(member.whose), f"SRV records: {error}")
                continue
            data.add(struct.pack("!HHH", PRIORITY, weight, port) + host)
            if spot.type != const.CNAME:
                rrset = RRset(self._settings.ttl, frozenset((spot.data,)))
                self._claims[host] = Claim(Rank.HOST, {spot.type: rrset})
        sets: dict[int, RRset] = {}
        self._put(sets, owner, const.SRV, data)
        if sets:
            self._claims[owner] = Claim(Rank.PART, sets)

    def pointers(self, members: Iterable[Member]) -> None:
        data = self._naming.pointed_to(self._service)
        if isinstance(data, str):
            self._object(quoted(self._service), data)
            return
        for member in members:
            spot = self._spot(member)
            if spot is not None and spot.type != const.CNAME:
                at = names.reverse_name(ip_address(spot.data))
                if names.is_under(at, self._naming.origin):
                    rrset = RRset(self._ttl, frozenset((data,)))
                    self._claims[at] = Claim(Rank.HOST, {const.PTR: rrset})

    def _put(
        self, sets: dict[int, RRset], owner: bytes, type_: int, data: Iterable[bytes]
    ) -> None:
        kept, left = [], LARGEST
        found, most = sorted(set(data)), self._settings.most_records
        for one in found[:most]:
            left -= len(owner) + 10 + len(one)
            if left >= 0:
                kept.append(one)
        if len(kept) < len(found):
            over = f"{len(found) - len(kept)} of {len(found)} {const.type_text(type_)} records"
            why = f"are more than most_records ({most})"
            if left < 0:
                why = "do not fit into a message"
            self._object(quoted(self._service), f"{over} {why}")
        if kept:
            sets[type_] = RRset(self._ttl, frozenset(kept))


def _data(sets: Mapping[int, RRset], type_: int) -> frozenset[bytes]:
    return sets[type_].data if type_ in sets else frozenset()


def strings(text: bytes) -> bytes:
    """Return the data of a TXT record, strings of 255 octets (RFC 1035 section 3.3.14)."""
    parts = [text[at : at + 255] for at in range(0, len(text), 255)] or [b""]
    return b"".join(bytes((len(one),)) + one for one in parts)
