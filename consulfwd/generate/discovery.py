"""Who answers for Consul's domains, as its catalog tells instead of the settings.

What belongs here: which facts that takes, and what follows from them. Pure: asking is done in
`consul.following`. The DNS port is not in the catalog: it is that of the first agent configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from consulfwd.config import Settings
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.servers import MOST, host_address
from consulfwd.errors import ConsulError
from consulfwd.generate.model import NameServer

# What every server of Consul is registered as.
SERVERS = "consul"
PASSING = "passing"


def facts(settings: Settings, service: str = SERVERS) -> dict[str, Fact]:
    """Return what is to be known, by datacenter ("" is the local one).

    It is nodes with a healthy instance of `service` that answer.
    """
    datacenters = ("", *settings.consul.datacenters)
    return {name: Fact(FactKind.SERVICE, service, name) for name in datacenters}


def found(
    settings: Settings,
    wanted: Mapping[str, Fact],
    known: Mapping[Fact, Any],
    faults: Mapping[Fact, ConsulError],
) -> dict[str, list[NameServer]]:
    """Return the servers by datacenter; nobody, where Consul knows of none.

    Raises ConsulError for a datacenter that could not be asked about.
    """
    consul = settings.consul
    servers: dict[str, list[NameServer]] = {}
    for name, fact in wanted.items():
        if fact not in known:
            raise faults.get(fact) or ConsulError("Consul", 0, f"{fact} is not known")
        agents = consul.datacenters[name].agents if name else consul.agents
        healthy = [one.node_address for one in known[fact] if one.status == PASSING]
        # Whoever registers a node says what its address is: none but a host's is passed on, nor
        # this host itself, unless agents are asked here.
        loopback = any(ip_address(one.address).is_loopback for one in agents)
        addresses = dict.fromkeys(
            str(one)
            for one in map(host_address, healthy)
            if one is not None and (loopback or not one.is_loopback)
        )
        port = agents[0].dns_port
        servers[name] = [NameServer(address, port) for address in list(addresses)[:MOST]]
    return servers
