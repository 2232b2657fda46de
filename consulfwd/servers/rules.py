"""Rules about the agents a zone is sent to, whatever the server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from consulfwd.servers.findings import (
    CONSUL_PORT,
    Context,
    Hit,
    LintRule,
    WrittenUpstream,
    ZoneUpstreams,
)
from consulfwd.servers.names import consul_question, is_address, is_public
from consulfwd.servers.sending import RULES as SENDING
from consulfwd.servers.sending import listed
from consulfwd.servers.syntax import everything


def number(text: str) -> int | None:
    """Return a number as configurations write it, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def port_number(text: str) -> int | None:
    """Return a port, or None for what is none."""
    found = number(text)
    return found if found is not None and 0 < found < 65_536 else None


def no_agents(ctx: Context) -> Iterator[Hit]:
    """A zone of Consul's without any server."""
    served = {group.zone for group in ctx.groups if group.upstreams}
    for group in ctx.groups:
        if not group.upstreams:
            mend = ctx.stanza(group.zone, [("127.0.0.1", CONSUL_PORT)])
            if (domain := ctx.domain_of(group.zone)) in served and domain != group.zone:
                mend = f"take it out: {domain} is sent to agents, and all under it"
            yield Hit(group.node, f"{group.zone} is sent to nobody", mend)


def single_agent(ctx: Context) -> Iterator[Hit]:
    """Zones with one agent; the address of a cluster's service, or a host name, may be several."""
    found: dict[tuple[str, int], list[tuple[str, WrittenUpstream]]] = {}
    for group in ctx.consul_groups():
        if len({one.endpoint for one in group.upstreams}) != 1 or ctx.kubernetes:
            continue
        for agent in ctx.agents(group)[:1]:
            if is_address(agent.address) and not is_public(agent.address):
                found.setdefault(agent.endpoint, []).append((group.zone, agent))
    for zones in found.values():
        names = list(dict.fromkeys(zone for zone, _ in zones))
        _, first = zones[0]
        verb = "is" if len(names) == 1 else "are"
        what = f"{listed(names)} {verb} sent to one agent only, {first.text}"
        mend = f"add a second agent: {ctx.spelled(names[0], 'ADDRESS')}"
        if ctx.together and not ctx.says(ctx.together):
            mend += f"\nand have both asked at once: {ctx.together}"
        for _, agent in zones:
            yield Hit(agent.node, what, mend)


# What stands where people mean a port: in unbound.conf, and in dnsmasq.conf.
_BEHIND = {
    "#": " (what is behind # is a name for TLS)",
    "@": " (what is behind @ is an interface, or an address to ask from)",
}


def agent_port(ctx: Context) -> Iterator[Hit]:
    """An agent without a port, unless it was asked on port 53 and answered."""
    mends: dict[str, str] = {}  # one for all zones an agent is named for
    for group in ctx.consul_groups() if not ctx.kubernetes else ():
        for agent in ctx.agents(group):
            if agent.port is not None or not is_address(agent.address):
                continue
            if is_public(agent.address):
                continue  # no agent; agent_public says so
            reply = ctx.reply(group, agent)
            if reply is None or reply.problem:
                tried = ", where nothing answers as an agent does" if reply else ""
                behind = next((said for mark, said in _BEHIND.items() if mark in agent.text), "")
                what = f"{agent.text} has no port{behind}, so it is asked on port 53{tried}"
                mend = f"if its DNS port is 8600: {ctx.spelled(group.zone, agent.address)}"
                yield Hit(agent.node, what, mends.setdefault(agent.text, mend))


def agent_address(ctx: Context) -> Iterator[Hit]:
    """What stands for an agent is not one for this server."""
    mends: dict[str, str] = {}
    for group in ctx.groups:
        for agent in group.upstreams:
            if agent.port == 0:
                what = f"{agent.text} is not an address and port as this server writes them"
                address, port, interface = _meant(agent.text)
                example = ctx.spelled(group.zone, address, port) + interface
                if address == _ADDRESS:
                    example += " (with its address)"
                mend = mends.setdefault(agent.text, f"write it as {example}")
                yield Hit(agent.node, what, mend)


_ADDRESS = "ADDRESS"
# An address, with what parts it from its port, however it is written.
_WRITTEN = re.compile(
    r"\[?(?P<address>\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]*:[0-9a-f:.]*:[0-9a-f.]*?)"
    r"(?P<interface>%[\w.-]+)?\]?(?:[:#@]|\s+port\s+|$)(?P<port>\d{1,5})?",
    re.IGNORECASE,
)


def _meant(text: str) -> tuple[str, int, str]:
    """Return address, port and interface that are meant by what this server cannot read."""
    found = _WRITTEN.match(text[:100])
    if found is None or not is_address(found["address"]):
        return _ADDRESS, CONSUL_PORT, ""
    return found["address"], number(found["port"] or "") or CONSUL_PORT, found["interface"] or ""


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
                mend = (
                    "start it, or correct address and port, until this has an answer:"
                    f" {_by_hand(ctx, group, agent)}\nor take it out"
                )
                yield Hit(agent.node, f"{agent.text} does not answer: {reply.problem}", mend)


def agent_error(ctx: Context) -> Iterator[Hit]:
    """An agent that replied, but not with Consul's own service."""
    for group in ctx.consul_groups():
        for agent in group.upstreams:
            reply = ctx.reply(group, agent)
            if reply and reply.problem and not reply.silent and agent.port is not None:
                mend = (
                    "let its `domain` be this one, and its token read services, until this has an"
                    f" answer: {_by_hand(ctx, group, agent)}"
                )
                yield Hit(agent.node, f"{agent.text} {reply.problem}", mend)


def _by_hand(ctx: Context, group: ZoneUpstreams, agent: WrittenUpstream) -> str:
    """Return the command that asks an agent what it was asked."""
    address, port = agent.endpoint
    name = consul_question(group.zone, ctx.domain_of(group.zone) or group.zone)
    return f"dig -p {port} @{address} {name}"


def unreadable(ctx: Context) -> Iterator[Hit]:
    """What the server cannot read, though it shows what is meant."""
    for node in everything(ctx.nodes):
        if node.fault:
            yield Hit(node, node.fault, node.mend)


def _by_asking(_: Context) -> Iterable[Hit]:
    """Nothing: the server's own checker is asked in `checking`."""
    return ()


CHECKER_REFUSES = LintRule(
    "checker-refuses", "error", "the server refuses the whole file, and does not start", _by_asking
)
CHECKER_WARNS = LintRule(
    "checker-warns", "warning", "the server takes the file, but not as meant", _by_asking
)

RULES = (
    *SENDING,
    CHECKER_REFUSES,
    CHECKER_WARNS,
    LintRule("unreadable", "error", "the server refuses the whole file", unreadable),
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
