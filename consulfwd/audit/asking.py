"""Asks Consul what the rules look at.

What belongs here: what is asked, all in all, and what is said of what is missing. Must not know:
rules, reports. Everything is asked of the first agent that answers (`inquiry`), stale, which works
without a leader; its own configuration each agent is asked for itself. Without the list of services
there is nothing to look at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from consulfwd.audit import cluster, followed, reading
from consulfwd.audit.finding import counted
from consulfwd.audit.inquiry import Inquiry
from consulfwd.audit.settings import resolver
from consulfwd.audit.site import AgentConfig, Limits, Need, Node, Service, Site
from consulfwd.config import Settings
from consulfwd.errors import ConsulError

# All of it may take so long (seconds) by default.
WHOLE_S = 60.0
NO_NODES: list[Node] = []
NO_NEEDS: list[Need] = []


class Options(NamedTuple):
    """What is looked at: services by glob, limits, needs that a file declares, seconds at most."""

    services: tuple[str, ...] = ("*",)
    limits: Limits = Limits()
    needs: tuple[Need, ...] = ()
    timeout: float = WHOLE_S


async def look(settings: Settings, options: Options) -> Site:
    """Return the site.

    Raises ConsulError where nobody tells which services there are, UsageError for a glob that none
    of them has.
    """
    inquiry = Inquiry(settings, options.timeout)
    try:
        return await _site(inquiry, options)
    finally:
        await inquiry.close()


async def _site(inquiry: Inquiry, options: Options) -> Site:
    reply = await inquiry.get("/v1/catalog/services")
    try:
        names = reading.service_names(reply.json())
    except ValueError as error:
        raise ConsulError(reply.agent, 0, str(error)) from None
    if not names:
        # Consul itself is always there.
        why = "it lists no service, not even its own: may the token read services?"
        raise ConsulError(inquiry.settings.consul.agents[0].name, 0, why)
    agents, configs = await cluster.agents(inquiry)
    local = configs[0].datacenter if configs else ""
    found = await asyncio.gather(
        inquiry.attempt("the nodes", "/v1/catalog/nodes", reading.nodes, NO_NODES),
        inquiry.attempt("intentions", "/v1/connect/intentions", _intentions, NO_NEEDS),
        inquiry.attempt("whether there is a leader", "/v1/status/leader", _leader, None),
        cluster.servers(inquiry),
        cluster.elsewhere(inquiry, local),
    )
    nodes, intentions, leader, servers, (datacenter, elsewhere) = found
    needs = [*intentions, *options.needs]
    services, selected, needs = await followed.services(inquiry, options.services, names, needs)
    _gaps(inquiry, options.limits.rack_key, nodes, services, selected, configs)
    return Site(
        datacenter=datacenter,
        services=services,
        selected=frozenset(selected),
        needs=tuple(sorted(set(needs))),
        nodes=tuple(nodes) or _nodes_of(services.values()),
        servers=servers,
        leader=leader,
        configs=tuple(configs),
        resolver=replace(resolver(inquiry.settings), agents=tuple(agents)),
        elsewhere=elsewhere,
        unseen=inquiry.unseen,
    )


def _gaps(
    inquiry: Inquiry,
    rack_key: str,
    nodes: Iterable[Node],
    services: Mapping[str, Service],
    selected: Iterable[str],
    configs: Iterable[AgentConfig],
) -> None:
    """Note what the rules cannot know by what was read."""
    for one in sorted(inquiry.filtered):
        inquiry.note(f"a part of what {one} holds", "ACLs hide it from this token")
    if inquiry.mute and any(one.acl in ("allow", "deny") for one in configs):
        why = "Consul before 1.10 does not say what ACLs hide"
        inquiry.note("whether all services and nodes are seen", why)
    everyone = [*nodes, *(one.node for each in services.values() for one in each.instances)]
    named = {one.name for one in everyone if one.meta.get(rack_key)}
    if bare := len({one.name for one in everyone} - named):
        why = f"no metadata {rack_key} (--rack-key)"
        inquiry.note(f"the rack of {counted(bare, 'node')}", why)
    asked = {one.node for one in configs}
    unknown = {
        name
        for name in selected
        for one in services[name].instances
        if one.checks and one.node.name not in asked
    }
    if unknown:
        why = "they are in the configuration of agents that were not asked, or of no agent"
        many = counted(len(unknown), "service")
        inquiry.note(f"the thresholds of the checks of {many}", why)


def _intentions(parsed: object) -> list[Need]:
    return list(reading.intentions(parsed))


def _leader(parsed: object) -> str | None:
    return parsed if isinstance(parsed, str) else None


def _nodes_of(services: Iterable[Service]) -> tuple[Node, ...]:
    found = {one.node.name: one.node for each in services for one in each.instances}
    return tuple(found[name] for name in sorted(found))
