"""Asks what Consul itself is like: its agents' own configuration, its servers, its datacenters.

What belongs here: what is asked for that. Must not know: services, rules.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from consulfwd.audit import reading
from consulfwd.audit.inquiry import STALE, Inquiry, told
from consulfwd.audit.settings import resolver
from consulfwd.audit.site import AgentConfig, AskedAgent, Server
from consulfwd.config import Agent
from consulfwd.errors import ConsulError

NO_NAMES: list[str] = []
_UNHEALTHY = 429


async def agents(inquiry: Inquiry) -> tuple[list[AskedAgent], list[AgentConfig]]:
    """Ask each agent in the settings for itself."""
    plain = resolver(inquiry.settings).agents
    order = list(inquiry.settings.consul.agents)
    for name in sorted(inquiry.settings.consul.datacenters):
        order += inquiry.settings.consul.datacenters[name].agents
    said = await asyncio.gather(*(_self(inquiry, one) for one in order))
    agents: list[AskedAgent] = []
    configs: dict[str, AgentConfig] = {}
    for one, config in zip(plain, said, strict=True):
        if isinstance(config, ConsulError):
            silent = told(config) if not config.status else ""
            agents.append(replace(one, silent=silent))
            what = f"the configuration of {one.name} (encryption, ACLs, TTLs, thresholds)"
            inquiry.note(what, told(config))
            continue
        agents.append(replace(one, node=config.node))
        if not one.datacenter:
            configs[config.node] = config
    known = [configs[name] for name in sorted(configs)]
    for config in known:
        for what, value in (
            ("gossip encryption", config.gossip_encrypted),
            ("the ACLs' default", config.acl),
            ("where HTTP is spoken", config.clear_http),
            ("whether RPC is encrypted", config.rpc_encrypted),
        ):
            if value is None:
                inquiry.note(f"{what} of {config.node}", "its agent does not say")
    return agents, known


async def _self(inquiry: Inquiry, agent: Agent) -> AgentConfig | ConsulError:
    try:
        reply = await inquiry.of(agent, "/v1/agent/self", {})
        return reading.agent_config(reply.json())
    except ConsulError as error:
        return error
    except ValueError as error:
        return ConsulError(agent.name, 0, f"not of Consul's form: {error}")


async def servers(inquiry: Inquiry) -> tuple[Server, ...] | None:
    """Return the servers there are, None where nobody tells."""
    raft = await inquiry.attempt(
        "which servers vote", "/v1/operator/raft/configuration", lambda one: one, None
    )
    if raft is None:
        return await inquiry.attempt("the servers", "/v1/status/peers", reading.peers, None)
    try:
        return reading.servers(raft, await _autopilot(inquiry))
    except ValueError as error:
        inquiry.note("the servers", f"the reply is not of Consul's form: {error}")
        return None


async def _autopilot(inquiry: Inquiry) -> object:
    """Return how the leader finds the servers; 429 says that not all are well."""
    error: ConsulError | None = None
    for agent in inquiry.settings.consul.agents:
        try:
            path = "/v1/operator/autopilot/health"
            reply = await inquiry.of(agent, path, also=(_UNHEALTHY,))
            found = reply.json()
            if isinstance(found, dict) and found.get("Servers"):
                return found
            error = ConsulError(agent.name, 0, "the leader has not looked yet")
        except ConsulError as failed:
            error = error or failed
    if error is not None:
        inquiry.note("how far followers are behind", told(error))
    return None


async def elsewhere(
    inquiry: Inquiry, local: str
) -> tuple[str, dict[str, frozenset[str]]]:
    """Return the name of the local datacenter, and the services of each other one."""
    names = await inquiry.attempt(
        "other datacenters", "/v1/catalog/datacenters", _datacenters, NO_NAMES, params={}
    )
    # The nearest comes first.
    own = local or inquiry.settings.consul.datacenter or (names[0] if names else "")
    found: dict[str, frozenset[str]] = {}
    for name in names:
        if name != own:
            said = await inquiry.attempt(
                f"the services of {name}",
                "/v1/catalog/services",
                lambda one: frozenset(reading.service_names(one)),
                None,
                params={**STALE, "dc": name},
            )
            if said is not None:
                found[name] = said
    return own, found


def _datacenters(parsed: object) -> list[str]:
    if not isinstance(parsed, list) or not all(reading.text(one) for one in parsed):
        raise ValueError("no list of names")
    return parsed[:1_000]
