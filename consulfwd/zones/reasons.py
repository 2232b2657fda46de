"""Why an instance is in a zone or not, and a name: what a person asks who misses a host.

What belongs here: finding what is meant by a word, and what is decided of that, with the reason.
Must not know: targets, how Consul is asked, words for whole answers. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import NamedTuple

from consulfwd.config.zones import ZoneSettings
from consulfwd.dns import const, names
from consulfwd.errors import WireError
from consulfwd.zones.claims import Group, told
from consulfwd.zones.globs import Globs
from consulfwd.zones.looking_up import (
    address_in,
    address_text,
    at,
    clearer,
    fading,
    is_about,
    order,
)
from consulfwd.zones.memory import Memory
from consulfwd.zones.model import ADDRESSES, Records
from consulfwd.zones.naming import HOSTS, Naming
from consulfwd.zones.seen import Health, Offer, Seen, Whose
from consulfwd.zones.spots import Spot, quoted, spot_of
from consulfwd.zones.steady import Grade, Standing
from consulfwd.zones.zone import Zone


class Instance(NamedTuple):
    """One instance: `address` is what records lead to, `why` what keeps it out, or is odd.

    `at` are the names that lead to it: none of one that is not offered.
    """

    whose: Whose
    health: Health
    address: str
    port: int
    tags: tuple[str, ...]
    at: tuple[bytes, ...]
    why: tuple[str, ...]


class Meant(NamedTuple):
    """What a word is about: names of the zone, instances, and what else is to be said of both."""

    names: tuple[bytes, ...]
    instances: tuple[Instance, ...]
    said: tuple[str, ...]


class Reasons:
    """What is decided in a zone, and why, as it has seen things."""

    def __init__(self, zone: Zone, memory: Memory) -> None:
        self._zone = zone
        self._settings: ZoneSettings = zone.settings
        self._naming: Naming = zone.naming
        self._objections = zone.objections()
        self._penalties = {one.whose: one.penalty for one in memory.penalised}

    def of(self, word: str) -> Meant:
        """Return what is meant by a name, a service, a node, an instance's ID or an address."""
        plain, name = word.removesuffix("."), self._name(word)
        groups = self._zone.groups_of(name) if name else []
        known = {one.lower(): one for one in self._zone.names()}
        if not groups and plain.lower() in known:
            # One that can have no name.
            groups = [Group(known[plain.lower()])]
        services = sorted({one.service for one in groups})
        found = [one for one in self._of_services(services) if self._is_in(one, groups, name)]
        addresses = self._addresses(name) if name else set()
        if addresses:
            found = [one for one in found if one.address in addresses]
        named = bool(groups) or self._has(name) or name in self._zone.moving
        if not found and not named:
            found = [one for one in self._of_services(self._zone.names()) if _is(one, plain)]
        there = {name} if named and name else {one for each in found for one in self._own(each)}
        return Meant(
            tuple(sorted(there, key=order)),
            tuple(found),
            tuple(self._said(word, name, groups, found)),
        )

    def at(self, name: bytes) -> Records:
        """Return what the zone is to hold at a name."""
        return at(self._zone.wanted, name)

    def left(self, word: str, held: Records) -> set[bytes]:
        """Return names at which a target holds what is meant, whatever Consul says by now."""
        name, address = self._name(word), address_in(word)
        found = {key.name for key in held if key.name == name}
        if address:
            data = ip_address(address).packed
            pointing = names.reverse_name(ip_address(address))
            found |= {
                key.name
                for key, rrset in held.items()
                if key.name == pointing or (key.type in ADDRESSES and data in rrset.data)
            }
        return found

    def _own(self, one: Instance) -> Iterator[bytes]:
        """Yield the names that lead to an instance, or would if it were offered."""
        yield from one.at
        if not self._naming.reverse:
            offer = Offer(one.address, one.address, one.port, one.tags)
            for group in self._naming.groups(one.whose, offer):
                owner = self._naming.owner(group)
                if isinstance(owner, bytes) and group.service in self._services_at(owner):
                    yield owner

    def _services_at(self, name: bytes) -> set[str]:
        return {one.service for one in self._zone.groups_of(name)}

    def _name(self, word: str) -> bytes:
        """Return a word as a name of the zone, b"" if it cannot be one."""
        plain, origin = word.lower().removesuffix("."), self._settings.origin
        below = plain == origin or plain.endswith(f".{origin}")
        try:
            return names.from_text(plain if below else f"{plain}.{origin}")
        except WireError:
            return b""

    def _addresses(self, name: bytes) -> set[str]:
        """Return those of a name that is that of an address: by itself, of any service."""
        if self._naming.reverse:
            pointed = names.reverse_address(name)
            return set() if pointed is None else {str(pointed)}
        labels = names.labels_of(name)
        if labels[1:] != [HOSTS, *names.labels_of(self._naming.origin)]:
            return set()
        found = at(self._zone.wanted, name)
        data = [one for key in found if key.type in ADDRESSES for one in found[key].data]
        return {str(ip_address(one)) for one in data}

    def _has(self, name: bytes) -> bool:
        return bool(name) and bool(at(self._zone.wanted, name))

    def _of_services(self, services: Iterable[str]) -> Iterator[Instance]:
        for service in services:
            standings = self._zone.standings(service)
            offered: dict[Whose, set[Group]] = {}
            for group, members in self._zone.offered(service).items():
                for member in members:
                    offered.setdefault(member.whose, set()).add(group)
            for each in self._zone.given(service):
                for seen in each.instances:
                    if seen.whose in standings:
                        groups = offered.get(seen.whose, set())
                        yield self._instance(seen, standings[seen.whose], groups)

    def _owners(self, seen: Seen, groups: Iterable[Group], spot: Spot | str) -> Iterator[bytes]:
        """Yield the names that lead to an instance, by which it is offered."""
        if isinstance(spot, str):
            return
        if self._naming.reverse:
            if groups and spot.type != const.CNAME:
                yield names.reverse_name(ip_address(spot.data))
            return
        lost = [one.why for one in self._objections if one.subject == quoted(seen.whose.service)]
        for group in groups:
            owner = self._naming.owner(group)
            if isinstance(owner, bytes) and not any(is_about(one, owner) for one in lost):
                yield owner

    def _instance(self, seen: Seen, standing: Standing, groups: set[Group]) -> Instance:
        offer = standing.member.offer
        spot = spot_of(offer, self._settings.address, self._settings.tagged)
        subject = told(seen.whose)
        why = [one.why for one in self._zone.held(seen.whose.service) if one.subject == subject]
        if not groups and not why:
            why = [self._graded(seen, standing)]
        if standing.grade is Grade.SUPPRESSED and self._penalties.get(seen.whose):
            why.append(fading(self._settings.damping, self._penalties[seen.whose]))
        why += [one.why for one in self._objections if one.subject == subject]
        at = [one for one in self._owners(seen, groups, spot) if self._has(one)]
        if not at and not why:
            service = quoted(seen.whose.service)
            why = [one.why for one in self._objections if one.subject == service]
        return Instance(
            seen.whose,
            seen.health,
            address_text(spot),
            offer.port,
            offer.tags,
            tuple(sorted(at, key=order)),
            tuple(dict.fromkeys(map(clearer, why))),
        )

    def _graded(self, seen: Seen, standing: Standing) -> str:
        if standing.grade is Grade.DOWN and seen.health is Health.WARNING:
            return "its checks warn, and the zone has `warning: withdraw`"
        if standing.grade is Grade.DOWN and seen.health is Health.PASSING:
            return "it was unhealthy just now"
        return standing.grade.value

    def _is_in(self, one: Instance, groups: Iterable[Group], name: bytes) -> bool:
        """Return whether an instance goes by one of these, or is at this name all the same."""
        offer = Offer(one.address, one.address, one.port, one.tags)
        mine = self._naming.groups(one.whose, offer)
        return name in one.at or any(each in mine for each in groups)

    def _said(
        self, word: str, name: bytes, groups: list[Group], found: list[Instance]
    ) -> Iterator[str]:
        zone, settings = self._zone, self._settings
        services = sorted({one.service for one in groups})
        subjects = {quoted(one) for one in services} | {"an alias"}
        if moving := zone.moving.said(name):
            yield moving
        for one in self._objections:
            if one.subject in subjects or (name and is_about(one.why, name)):
                yield clearer(str(one))
        for service in services:
            for each in zone.given(service):
                if each.doubt:
                    yield f"{quoted(service)}: nothing of it is withdrawn: {each.doubt}"
        if zone.doubt:
            yield f"no name goes just now: {zone.doubt}"
        if found or self._has(name) or moving:
            return
        tags = Globs(settings.tags)
        for group in groups:
            if group.tag and group.tag not in tags:
                yield f"{quoted(group.tag)} is not among the `tags` of the zone's settings"
            elif group.tag:
                yield f"no instance of {quoted(group.service)} has the tag {quoted(group.tag)}"
        if not groups:
            yield from self._unknown(word)

    def _unknown(self, word: str) -> Iterator[str]:
        settings = self._settings
        plain = word.removesuffix(".").lower().removesuffix(f".{settings.origin}")
        taken = Globs(settings.services)
        labels = plain.split(".")
        parts = (plain, labels[0].removeprefix("_"), labels[-1])
        left_out = [one for one in dict.fromkeys(parts) if one and one not in taken]
        if left_out and not address_in(word):
            yield f"{quoted(left_out[0])} is not among the `services` of the zone's settings"
        where = ", ".join(settings.datacenters) or "the agents' own datacenter"
        yield (
            f"Consul has no service, node, instance or address {quoted(word)} that the zone takes"
            f" ({where}), or the token may not see it"
        )


def _is(one: Instance, word: str) -> bool:
    """Return whether an instance has this ID or address, or is on this node."""
    node = one.whose.node.lower()
    ours = {node, node.partition(".")[0], one.whose.id.lower()}
    return word.lower() in ours or (one.address == address_in(word) != "")
