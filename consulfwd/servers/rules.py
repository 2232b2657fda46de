"""Rules about the agents a zone is sent to, whatever the server."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers.findings import CONSUL_PORT, Context, Hit, LintRule
from consulfwd.servers.names import is_address, is_public


def number(text: str) -> int | None:
    """Return a number as configurations write it, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def no_agents(ctx: Context) -> Iterator[Hit]:
    """A zone of Consul's without any server."""
    for group in ctx.groups:
        if not group.upstreams:
            example = ctx.spell("127.0.0.1", CONSUL_PORT)
            yield Hit(group.node, f"{group.zone} is sent to nobody", f"name agents: {example}")


def single_agent(ctx: Context) -> Iterator[Hit]:
    """A zone with one agent."""
    for group in ctx.consul_groups():
        if len({one.endpoint for one in group.upstreams}) == 1 and (agents := ctx.agents(group)):
            what = f"{group.zone} is sent to one agent only, {agents[0].text}"
            example = ctx.spell("ADDRESS", CONSUL_PORT)
            yield Hit(agents[0].node, what, f"add a second agent: {example}")


def agent_port(ctx: Context) -> Iterator[Hit]:
    """An agent without a port, unless it was asked on port 53 and answered."""
    for group in ctx.consul_groups():
        for agent in ctx.agents(group):
            if agent.port is not None or not is_address(agent.address):
                continue
            if is_public(agent.address):
                continue  # no agent; agent_public says so
            reply = ctx.reply(group, agent)
            if reply is None or reply.problem:
                what = f"{agent.text} has no port, so it is asked on port 53"
                mend = f"write {ctx.spell(agent.address, CONSUL_PORT)}"
                yield Hit(agent.node, what, mend)


def agent_address(ctx: Context) -> Iterator[Hit]:
    """What stands for an agent is not one for this server."""
    for group in ctx.groups:
        for agent in group.upstreams:
            if agent.port == 0:
                what = f"{agent.text} is not an address and port as this server writes them"
                mend = f"write it as {ctx.spell('127.0.0.1', CONSUL_PORT)}"
                yield Hit(agent.node, what, mend)


def agent_public(ctx: Context) -> Iterator[Hit]:
    """Consul's names sent to a resolver on the Internet."""
    for group in ctx.consul_groups():
        for agent in ctx.agents(group):
            if agent.port in {None, 53, 853} and is_public(agent.address):
                what = f"{group.zone} is sent to {agent.text}, a public resolver"
                yield Hit(agent.node, what, "take it out, and name agents only")


def agent_silent(ctx: Context) -> Iterator[Hit]:
    """An agent that was asked and did not reply."""
    for group in ctx.consul_groups():
        for agent in group.upstreams:
            reply = ctx.reply(group, agent)
            if reply and reply.silent and (agent.port is not None or agent.endpoint in ctx.own):
                mend = "start it, correct address and port, or take it out"
                yield Hit(agent.node, f"{agent.text} does not answer: {reply.problem}", mend)


def agent_error(ctx: Context) -> Iterator[Hit]:
    """An agent that replied, but not with Consul's own service."""
    for group in ctx.consul_groups():
        for agent in group.upstreams:
            reply = ctx.reply(group, agent)
            if reply and reply.problem and not reply.silent:
                mend = "check its domain, and what ACLs allow it to answer"
                yield Hit(agent.node, f"{agent.text} {reply.problem}", mend)


RULES = (
    LintRule(
        "no-agents",
        "error",
        "without servers the names are looked up elsewhere, or not at all",
        no_agents,
    ),
    LintRule(
        "single-agent",
        "warning",
        "when it is restarted or hangs, no name of Consul's can be resolved",
        single_agent,
    ),
    LintRule(
        "agent-port",
        "warning",
        "Consul answers DNS on port 8600 unless its configuration says otherwise",
        agent_port,
    ),
    LintRule(
        "agent-address",
        "error",
        "the server refuses the file, or never asks this agent",
        agent_address,
    ),
    LintRule(
        "agent-public",
        "error",
        "names of your network leak, and that resolver denies them",
        agent_public,
    ),
    LintRule(
        "agent-silent",
        "error",
        "each name waits for this agent's timeout before another one is asked",
        agent_silent,
    ),
    LintRule(
        "agent-error",
        "warning",
        "every agent knows Consul's own service; one that does not cannot answer for others",
        agent_error,
    ),
)
