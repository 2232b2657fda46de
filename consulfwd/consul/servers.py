"""Agents from the catalog: who is asked, given the seeds and what Consul says of its servers.

What belongs here: which addresses are believed, when one comes or goes, in which order they are
asked. Must not know: how Consul is asked, or how DNS is. Pure.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from consulfwd.config import Agent, Endpoint, Settings
from consulfwd.consul.health import entries

MOST = 100
# So many replies in a row must leave a server out before it is no longer asked.
MISSES = 2
# So long (seconds) it holds who Raft's peers are, unless there is somebody else in the catalog.
NAMED_FOR = 60.0

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
    try:
        listed = entries(parsed)
    except ValueError:
        listed = None
    # Of its own service Consul writes no empty list as null.
    if listed is None or parsed is None:
        raise ValueError("the reply is not a list of servers")
    # A server without an address of its own has its node's.
    found = (host_address(one.own_address or one.node.get("Address")) for one in listed)
    return [str(address) for address in found if address is not None]


def peers(parsed: object) -> frozenset[str]:
    """Return the servers' addresses in a reply of /v1/status/peers: where Raft has them.

    A server is in the catalog by the same address. Raises ValueError when the reply is not of
    Consul's form.
    """
    if not isinstance(parsed, list) or not all(isinstance(one, str) for one in parsed):
        raise ValueError("the reply is not a list of peers")
    hosts = (host_address(one.rpartition(":")[0].strip("[]")) for one in parsed)
    return frozenset(str(host) for host in hosts if host is not None)


class Roster:
    """One list of agents: its seeds in their order, then those of the catalog that Raft knows.

    Whoever may register a service can be in the catalog as a server; among Raft's peers are servers
    alone. Only who was named there when it was last asked is taken.

    The others' order differs between hosts, so that not all ask the same one, and stays the same
    on one `host`. They have the first seed's ports, certificates and token.
    """

    def __init__(
        self, seeds: Sequence[Agent], host: str, listening: Iterable[Endpoint] = ()
    ) -> None:
        self._host = host
        self._misses: dict[str, int] = {}
        self._named: frozenset[str] = frozenset()
        self._named_at = float("-inf")
        self.use(seeds, listening)

    def use(self, seeds: Sequence[Agent], listening: Iterable[Endpoint] = ()) -> None:
        """Take other seeds, and where consulfwd itself listens. What was learned is kept."""
        self.seeds = tuple(seeds)
        port = seeds[0].dns_port
        self._seeded = {host_address(seed.address) for seed in seeds}
        self._loopback = any(one is not None and one.is_loopback for one in self._seeded)
        self._listening = {ip_address(one.host) for one in listening if one.port == port}
        self._misses = {one: missed for one, missed in self._misses.items() if self._wanted(one)}

    def in_doubt(self, listed: Iterable[str], now: float) -> bool:
        """Return whether it is to be asked who Raft's peers are, before these are taken."""
        known = now - self._named_at < NAMED_FOR and not self.strangers(listed)
        return not known and any(self._wanted(one) for one in listed)

    def named(self, addresses: frozenset[str], now: float) -> None:
        """Take the addresses of Raft's peers; nobody at all is not believed."""
        if addresses:
            self._named, self._named_at = addresses, now

    def strangers(self, listed: Iterable[str]) -> list[str]:
        """Return those of the catalog that are not taken, since Raft does not know them."""
        found = dict.fromkeys(one for one in listed if self._wanted(one))
        return [one for one in found if one not in self._named]

    def heard(self, listed: Sequence[str]) -> Change:
        """Take the addresses of the catalog; an empty list is not believed."""
        wanted = [one for one in listed if one in self._named and self._wanted(one)]
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
        # A socket leads to nobody but the seed.
        like = self.seeds[0].replace(http_socket=None)
        return tuple(like.replace(address=one) for one in ordered[:room])

    def agents(self) -> tuple[Agent, ...]:
        """Return everyone in the order they are to be asked."""
        return *self.seeds, *self.others()

    def _wanted(self, address: str) -> bool:
        found = host_address(address)
        if found is None or found in self._seeded or found in self._listening:
            return False
        if not found.is_loopback:
            return True
        # A server on all addresses of a family is also found on that family's loopback.
        everywhere = ip_address("::" if found.version == 6 else "0.0.0.0")
        return self._loopback and everywhere not in self._listening

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
    return _host_address(text) if isinstance(text, str) else None


@functools.lru_cache(maxsize=4096)
def _host_address(text: str) -> Address | None:
    # The same are looked at again and again, and strangers may register thousands.
    if "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None) or address
    unusable = mapped.is_unspecified or mapped.is_multicast or str(mapped) == "255.255.255.255"
    return None if unusable or (mapped.version == 6 and mapped.is_link_local) else mapped
