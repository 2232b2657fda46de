"""Agents from the catalog: who is asked, given the seeds and what Consul says of its servers.

What belongs here: which addresses are believed, when one comes or goes, in which order they are
asked. Must not know: how Consul is asked, or how DNS is. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from consulfwd.config import Agent, Endpoint, Settings

MOST = 100
# So many replies in a row must leave a server out before it is no longer asked.
MISSES = 2

Address = IPv4Address | IPv6Address


class Change(NamedTuple):
    """Who came and who went, as they are called in messages."""

    came: tuple[str, ...]
    went: tuple[str, ...]


def addresses(parsed: object) -> list[str]:
    """Return the servers' addresses in a reply of /v1/health/service/consul, healthy or not.

    What is not the address of one host is left out. Raises ValueError when the reply is not of
    Consul's form.
    """
    if not isinstance(parsed, list):
        raise ValueError("the reply is not a list of servers")
    found = []
    for entry in parsed:
        fields = entry if isinstance(entry, dict) else {}
        service, node = fields.get("Service"), fields.get("Node")
        if not isinstance(service, dict) or not isinstance(node, dict):
            raise ValueError("the reply is not a list of servers")
        # A server without an address of its own has its node's.
        address = host_address(service.get("Address") or node.get("Address"))
        if address is not None:
            found.append(str(address))
    return found


class Roster:
    """One list of agents: its seeds in their order, then those of the catalog.

    The others' order differs between hosts, so that not all ask the same one, and stays the same
    on one `host`. They have the first seed's ports, certificates and token.
    """

    def __init__(
        self, seeds: Sequence[Agent], host: str, listening: Iterable[Endpoint] = ()
    ) -> None:
        self._host = host
        self._misses: dict[str, int] = {}
        self.use(seeds, listening)

    def use(self, seeds: Sequence[Agent], listening: Iterable[Endpoint] = ()) -> None:
        """Take other seeds, and where consulfwd itself listens. What was learned is kept."""
        self.seeds = tuple(seeds)
        port = seeds[0].dns_port
        self._seeded = {host_address(seed.address) for seed in seeds}
        self._loopback = any(one is not None and one.is_loopback for one in self._seeded)
        self._listening = {ip_address(one.host) for one in listening if one.port == port}
        self._misses = {one: missed for one, missed in self._misses.items() if self._wanted(one)}

    def heard(self, listed: Sequence[str]) -> Change:
        """Take the addresses of a reply; an empty one is not believed."""
        wanted = dict.fromkeys(one for one in listed if self._wanted(one))
        before = {agent.name for agent in self.others()}
        if listed:
            missed = {address: misses + 1 for address, misses in self._misses.items()}
            kept = {address: misses for address, misses in missed.items() if misses < MISSES}
            self._misses = kept | dict.fromkeys(wanted, 0)
        after = {agent.name for agent in self.others()}
        return Change(tuple(sorted(after - before)), tuple(sorted(before - after)))

    def others(self) -> tuple[Agent, ...]:
        """Return the agents that are not seeds, in their order on this host."""
        ordered = sorted(self._misses, key=self._weight)
        room = max(MOST - len(self.seeds), 0)
        return tuple(self.seeds[0].replace(address=one) for one in ordered[:room])

    def agents(self) -> tuple[Agent, ...]:
        """Return everyone in the order they are to be asked."""
        return *self.seeds, *self.others()

    def _wanted(self, address: str) -> bool:
        found = host_address(address)
        if found is None or found in self._seeded or found in self._listening:
            return False
        # A server on all addresses of a family is also found on that family's loopback.
        everywhere = ip_address("::" if found.version == 6 else "0.0.0.0")
        return not found.is_loopback or (self._loopback and everywhere not in self._listening)

    def _weight(self, address: str) -> bytes:
        # Rendezvous hashing: each server is first on as many hosts as any other.
        return hashlib.blake2b(f"{self._host} {address}".encode(), digest_size=8).digest()


class Directory:
    """Every list of agents that is taken from the catalog, by datacenter ("" is the local one)."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._rosters: dict[str, Roster] = {}

    def use(self, settings: Settings) -> None:
        """Take other settings. Lists that still have one of their seeds keep what they learned."""
        old, self._rosters = self._rosters, {}
        for name, agents, from_catalog in _lists(settings):
            if not from_catalog:
                continue
            roster = old.get(name)
            if roster is not None and not _places(roster.seeds).isdisjoint(_places(agents)):
                roster.use(agents, settings.listen)
            else:
                roster = Roster(agents, self._host, settings.listen)
            self._rosters[name] = roster

    def __iter__(self) -> Iterator[tuple[str, Roster]]:
        return iter(self._rosters.items())

    def in_force(self, settings: Settings) -> Settings:
        """Return the settings with everyone who is asked in the place of the seeds."""
        if not self._rosters:
            return settings
        consul = settings.consul
        found = {name: roster.agents() for name, roster in self._rosters.items()}
        datacenters = {
            name: datacenter.replace(agents=found.get(name, datacenter.agents))
            for name, datacenter in consul.datacenters.items()
        }
        return settings.replace(
            consul=consul.replace(agents=found.get("", consul.agents), datacenters=datacenters)
        )


def _lists(settings: Settings) -> Iterator[tuple[str, tuple[Agent, ...], bool]]:
    consul = settings.consul
    yield "", consul.agents, consul.from_catalog
    for name, datacenter in consul.datacenters.items():
        yield name, datacenter.agents, datacenter.from_catalog


def _places(agents: Iterable[Agent]) -> set[str]:
    return {agent.name for agent in agents}


def host_address(text: object) -> Address | None:
    """Return the address of one host that queries can be sent to, or None."""
    if not isinstance(text, str) or "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None) or address
    unusable = mapped.is_unspecified or mapped.is_multicast or str(mapped) == "255.255.255.255"
    return None if unusable or (mapped.version == 6 and mapped.is_link_local) else mapped
