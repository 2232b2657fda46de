"""Who answers for Consul's domains, as its catalog tells instead of the settings.

What belongs here: which facts that takes, and what follows from them. Pure: asking is done in
`consul.following`. The DNS port is not in the catalog: it is that of the first agent configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consulfwd.config import Settings
from consulfwd.consul.facts import Fact, Kind
from consulfwd.errors import ConsulError
from consulfwd.render.model import Server

# What every server of Consul is registered as.
SERVERS = "consul"
PASSING = "passing"


def facts(settings: Settings, service: str = SERVERS) -> dict[str, Fact]:
    """Return what is to be known, by datacenter ("" is the local one).

    It is nodes with a healthy instance of `service` that answer.
    """
    return {name: Fact(Kind.SERVICE, service, name) for name in ("", *settings.consul.datacenters)}


def found(
    settings: Settings,
    wanted: Mapping[str, Fact],
    known: Mapping[Fact, Any],
    faults: Mapping[Fact, ConsulError],
) -> dict[str, list[Server]]:
    """Return the servers by datacenter; nobody, where Consul knows of none.

    Raises ConsulError for a datacenter that could not be asked about.
    """
    consul = settings.consul
    servers: dict[str, list[Server]] = {}
    for name, fact in wanted.items():
        if fact not in known:
            raise faults.get(fact) or ConsulError("Consul", 0, f"{fact} is not known")
        agents = consul.datacenters[name].agents if name else consul.agents
        healthy = [one for one in known[fact] if one.status == PASSING]
        addresses = dict.fromkeys(one.node_address for one in healthy)
        servers[name] = [Server(address, agents[0].dns_port) for address in addresses]
    return servers
