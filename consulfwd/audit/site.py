"""What is known of a site, as the rules look at it.

What belongs here: the forms, and what follows from them alone (which host and network something is
in). Must not know: how Consul is asked, rules, reports. Pure. Names are as strangers registered
them: whoever shows one escapes it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import NamedTuple


class Unseen(NamedTuple):
    """What could not be looked at, and why: it is never said to be sound."""

    what: str
    why: str


class Limits(NamedTuple):
    """What counts as one place, and for how long something may be remembered (seconds)."""

    rack_key: str = "rack"
    ipv4_prefix: int = 24
    ipv6_prefix: int = 64
    # Consul's own default for how often it asks for changes of health, and what most checks have.
    service_ttl: float = 10.0
    zone_ttl: float = 60.0
    # What Consul itself calls a follower that is well (autopilot).
    last_contact: float = 0.2
    trailing_logs: int = 250


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the catalog."""

    name: str
    address: str
    meta: Mapping[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The machine: two nodes at one address are one."""
        return self.address or self.name


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a service; `checks` are its own ones, `intervals` theirs in seconds."""

    id: str
    node: Node
    address: str
    port: int
    healthy: bool
    checks: int
    intervals: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A service with all its instances; a `proxy` goes with the service it is beside."""

    name: str
    instances: tuple[Instance, ...]
    proxy: bool = False

    @property
    def healthy(self) -> tuple[Instance, ...]:
        """Those that answer."""
        return tuple(one for one in self.instances if one.healthy)


class Need(NamedTuple):
    """That a service needs another one, and who says so."""

    source: str
    target: str
    origin: str


@dataclass(frozen=True, slots=True)
class Server:
    """A server of Consul, as Raft and the leader know it; None is not known."""

    name: str
    address: str
    voter: bool = True
    leader: bool = False
    alive: bool | None = None
    healthy: bool | None = None
    last_contact: float | None = None
    last_index: int | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """A check in the configuration of an agent: how many failures it takes, and successes."""

    service: str
    kind: str
    failures: int
    successes: int
    interval: float
    deregisters: bool


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What an agent says of its own configuration; None is not known.

    `clear_http` are the addresses off the host where HTTP is spoken without TLS.
    """

    node: str
    server: bool
    datacenter: str = ""
    gossip_encrypted: bool | None = None
    acl: str | None = None
    clear_http: tuple[str, ...] | None = None
    rpc_encrypted: bool | None = None
    service_ttls: Mapping[str, float] = field(default_factory=dict)
    definitions: tuple[Definition, ...] = ()


@dataclass(frozen=True, slots=True)
class AskedAgent:
    """An agent in the settings of consulfwd: where it is, and on which node, as far as is known.

    `datacenter` is "" for the local one; `silent` says why it did not answer.
    """

    name: str
    address: str
    datacenter: str = ""
    node: str = ""
    silent: str = ""


class Target(NamedTuple):
    """Where a zone goes: what it is called, and the servers it is brought to or given from."""

    name: str
    servers: int


class Zone(NamedTuple):
    """A zone in the settings; `locked` where others may publish it, too."""

    name: str
    ttl: int
    locked: bool
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Resolver:
    """What of consulfwd's own settings matters. No `recursors` are asked where that is empty."""

    agents: tuple[AskedAgent, ...] = ()
    catalogs: frozenset[str] = frozenset()
    recursors: tuple[str, ...] = ()
    stale_for: float = 1.0
    min_ttl: float = 0.0
    zones: tuple[Zone, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """All that is known. `selected` are the services that are looked at for themselves.

    `leader` is "" where there is none and None where that is not known; `elsewhere` are services of
    other datacenters, by datacenter, with which a service may be there twice.
    """

    datacenter: str = ""
    services: Mapping[str, Service] = field(default_factory=dict)
    selected: frozenset[str] = frozenset()
    needs: tuple[Need, ...] = ()
    nodes: tuple[Node, ...] = ()
    servers: tuple[Server, ...] | None = None
    leader: str | None = None
    configs: tuple[AgentConfig, ...] = ()
    resolver: Resolver = field(default_factory=Resolver)
    elsewhere: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unseen: tuple[Unseen, ...] = ()

    def chosen(self) -> list[Service]:
        """Return the services that are looked at for themselves, by name."""
        return [
            self.services[name]
            for name in sorted(self.selected & self.services.keys())
            if not self.services[name].proxy
        ]


@functools.lru_cache(maxsize=65_536)
def network(address: str, ipv4_prefix: int, ipv6_prefix: int) -> str:
    """Return the network an address is in, "" of what is none."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    found = getattr(found, "ipv4_mapped", None) or found
    length = ipv4_prefix if found.version == 4 else ipv6_prefix
    return str(ip_network(f"{found}/{length}", strict=False))


def network_of(address: str, limits: Limits) -> str:
    """Return the same, by the limits."""
    return network(address, limits.ipv4_prefix, limits.ipv6_prefix)


def only(places: Iterable[str]) -> str:
    """Return the place that all are in; "" where they are in several, or one is not known."""
    found = set(places)
    return found.pop() if len(found) == 1 else ""
