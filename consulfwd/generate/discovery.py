"""Who answers for Consul's domains, as its catalog tells instead of the settings.

What belongs here: which facts that takes, and what follows from them. Pure: asking is done in
`consul.following`. The DNS port is not in the catalog: it is that of the first agent configured.

Whoever may register a service can be in the catalog as a server of Consul; among Raft's peers are
servers alone. So of the service `consul` only those are named who are among these as well, or in
the settings, as it is with agents that are asked (`consul.servers`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

from consulfwd.config import Agent, Settings
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.servers import MOST, host_address
from consulfwd.errors import ConsulError
from consulfwd.generate.model import NameServer

# What every server of Consul is registered as.
SERVERS = "consul"
PASSING = "passing"


class Wanted(NamedTuple):
    """What is to be known of a datacenter: a service's instances, and who Raft's peers are.

    There are no `peers` to know where somebody chose the service: its nodes are meant.
    """

    service: Fact
    peers: Fact | None

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All of them."""
        return (self.service,) if self.peers is None else (self.service, self.peers)


def wanted(settings: Settings, service: str = SERVERS) -> dict[str, Wanted]:
    """Return what is to be known, by datacenter ("" is the local one).

    It is nodes with a healthy instance of `service` that answer.
    """
    found: dict[str, Wanted] = {}
    for name in ("", *settings.consul.datacenters):
        peers = Fact(FactKind.PEERS, "", name) if service == SERVERS else None
        found[name] = Wanted(Fact(FactKind.SERVICE, service, name), peers)
    return found


def found(
    settings: Settings,
    wanted: Mapping[str, Wanted],
    known: Mapping[Fact, Any],
    faults: Mapping[Fact, ConsulError],
) -> dict[str, list[NameServer]]:
    """Return the servers by datacenter; nobody, where Consul knows of none.

    Raises ConsulError for a datacenter that could not be asked about.
    """
    left_out = strangers(settings, wanted, known)
    servers: dict[str, list[NameServer]] = {}
    for name, one in wanted.items():
        for fact in one.facts:
            if fact not in known:
                raise faults.get(fact) or ConsulError("Consul", 0, f"{fact} is not known")
        if one.peers is not None and not known[one.peers]:
            raise ConsulError("Consul", 0, f"{one.peers}: nobody is named")
        agents = _agents(settings, name)
        addresses = dict.fromkeys(_healthy(agents, known[one.service]))
        port = agents[0].dns_port
        named = [each for each in addresses if each not in left_out.get(name, ())]
        servers[name] = [NameServer(address, port) for address in named[:MOST]]
    return servers


def strangers(
    settings: Settings, wanted: Mapping[str, Wanted], known: Mapping[Fact, Any]
) -> dict[str, list[str]]:
    """Return who is in the catalog as a server and is none, by datacenter, as far as is known."""
    found: dict[str, list[str]] = {}
    for name, one in wanted.items():
        peers = known.get(one.peers) if one.peers is not None else None
        if peers and one.service in known:
            agents = _agents(settings, name)
            meant = {str(host_address(agent.address)) for agent in agents} | set(peers)
            addresses = dict.fromkeys(_healthy(agents, known[one.service]))
            if listed := [each for each in addresses if each not in meant]:
                found[name] = listed
    return found


def _agents(settings: Settings, datacenter: str) -> tuple[Agent, ...]:
    consul = settings.consul
    return consul.datacenters[datacenter].agents if datacenter else consul.agents


def _healthy(agents: tuple[Agent, ...], instances: Any) -> Iterator[str]:
    """Return the addresses of the nodes of healthy instances.

    Whoever registers a node says what its address is: none but a host's is passed on, nor this host
    itself, unless agents are asked here.
    """
    loopback = any(ip_address(one.address).is_loopback for one in agents)
    for one in instances:
        address = host_address(one.node_address) if one.status == PASSING else None
        if address is not None and (loopback or not address.is_loopback):
            yield str(address)
