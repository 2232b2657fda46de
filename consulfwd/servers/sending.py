"""Whether Consul's names get to agents at all: not, only some of them, or all names with them.

What belongs here: rules about what a file does not send, whatever the server. Who is sent what is
read by the servers' models; about the agents themselves is `rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from consulfwd.servers.findings import (
    CONSUL_PORT,
    Context,
    Hit,
    LintRule,
    WrittenUpstream,
    ZoneUpstreams,
)
from consulfwd.servers.names import is_address, is_reverse, within

_SHOWN = 3
_AROUND = ".*~\"'\u2018\u2019\u201c\u201d"  # what people put around a name, quotes of web pages too
# What Consul has in its domain: an example of each, by the name a zone of it would have.
_PARTS = {
    "service": "web.service.{}",
    "node": "host1.node.{}",
    "query": "web.query.{}",
    "virtual": "web.virtual.{}",
}


def endpoints(upstreams: Iterable[WrittenUpstream]) -> list[tuple[str, int]]:
    """Return the addresses and ports of servers that can be asked, each once."""
    usable = (one for one in upstreams if is_address(one.address) and one.port != 0)
    return list(dict.fromkeys(one.endpoint for one in usable))


def is_agent(ctx: Context, one: WrittenUpstream) -> bool:
    """Is a server an agent of Consul's, or consulfwd, by its address and port?"""
    return one.port == CONSUL_PORT or one.endpoint in ctx.own


def agents_of_all(ctx: Context) -> ZoneUpstreams | None:
    """Return the servers of all names, if there are agents among them, whoever asks."""
    groups = [group for group in ctx.forwarded if not group.zone]
    if not all(any(is_agent(ctx, one) for one in group.upstreams) for group in groups):
        return None
    return groups[0] if groups else None


def listed(words: Sequence[str]) -> str:
    """Return words as a sentence has them, and how many more there are."""
    shown = list(words[:_SHOWN])
    if len(words) > len(shown):
        shown.append(f"{len(words) - len(shown)} more")
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]


def _agents(upstreams: Iterable[WrittenUpstream]) -> list[tuple[str, int]]:
    """Return the agents to write into a mend: those there are, else one on this host."""
    return endpoints(upstreams) or [("127.0.0.1", CONSUL_PORT)]


def _known(ctx: Context) -> list[ZoneUpstreams]:
    return [*ctx.groups, *ctx.elsewhere]


def not_sent(ctx: Context) -> Iterator[Hit]:
    """Nothing under the domain is sent anywhere."""
    if not ctx.nodes or agents_of_all(ctx):
        return
    for domain in ctx.domains:
        if any(within(group.zone, domain) for group in (*_known(ctx), *ctx.forwarded)):
            continue
        above = _above(ctx, domain)
        if above is not None and any(is_agent(ctx, one) for one in above.upstreams):
            continue
        if hit := _missing(ctx, domain, above):
            yield hit


def _above(ctx: Context, domain: str) -> ZoneUpstreams | None:
    """Return the zone around the domain whose servers are asked instead, but for the root."""
    around = [one for one in ctx.forwarded if one.zone and within(domain, one.zone)]
    return max(around, key=lambda one: one.zone.count("."), default=None)


def _missing(ctx: Context, domain: str, above: ZoneUpstreams | None) -> Hit | None:
    """Return what is there instead; nothing where a file that was not read may have the zone."""
    zones = [one for one in ctx.forwarded if one.zone and not is_reverse(one.zone)]
    misspelt = [one for one in zones if one.zone.strip(_AROUND) == domain]
    alike = [one for one in zones if domain.split(".")[0] in one.zone and one not in misspelt]
    other = [one for one in zones if any(is_agent(ctx, server) for server in one.upstreams)]
    nobody = f"{domain} is sent to no agent"
    if misspelt:
        group = misspelt[0]
        what = f"{nobody}: {group.zone} is not how its name is written"
        return Hit(group.node, what, ctx.stanza(domain, _agents(group.upstreams)))
    if above is not None:
        servers = listed([one.text for one in above.upstreams]) if above.upstreams else "nobody"
        what = f"{nobody}: its names are asked where those of {above.zone} are, at {servers}"
        return Hit(above.node, what, ctx.stanza(domain, _agents(())))
    for group in (*alike, *other):
        relation = "another domain" if group in alike else "sent to agents instead"
        what = f"{nobody}: {group.zone} is {relation}"
        mend = ctx.stanza(domain, _agents(group.upstreams))
        sent = any(is_agent(ctx, server) for server in group.upstreams)
        if sent and group.zone not in ctx.domains:
            mend += f"\nor, if Consul's domain is {group.zone}: lint with --domain {group.zone}"
        return Hit(group.node, what, mend)
    if not ctx.complete:
        return None
    return Hit(ctx.start, f"{nobody}: no zone here is for it", ctx.stanza(domain, _agents(())))


def part_sent(ctx: Context) -> Iterator[Hit]:
    """Zones below the domain are sent to agents, the domain itself is not."""
    if agents_of_all(ctx):
        return
    for domain in ctx.domains:
        parts = [one for one in _known(ctx) if within(one.zone, domain)]
        whole = any(one.zone == domain for one in parts)
        parts = [one for one in parts if endpoints(one.upstreams)]
        above = _above(ctx, domain)
        if not parts or whole or (above and any(is_agent(ctx, one) for one in above.upstreams)):
            continue
        zones = list(dict.fromkeys(one.zone for one in parts))
        names = [
            text.format(domain)
            for kind, text in _PARTS.items()
            if not any(zone == f"{kind}.{domain}" for zone in zones)
        ]
        names.append("names of other datacenters")
        verb = "go" if len(zones) > 1 else "goes"
        what = f"only {listed(zones)} {verb} to agents: not {listed(names[:2])}"
        servers = _agents(one for group in parts for one in group.upstreams)
        yield Hit(parts[0].node, what, ctx.stanza(domain, servers))


def all_sent(ctx: Context) -> Iterator[Hit]:
    """All names are sent to agents, as nothing is said of the domain."""
    group = agents_of_all(ctx)
    if group is None or all(one.endpoint in ctx.own for one in group.upstreams):
        return
    if any(one.zone and ctx.domain_of(one.zone) for one in ctx.forwarded):
        return
    agents = [one for one in group.upstreams if is_agent(ctx, one)]
    names = listed(list(dict.fromkeys(one.text for one in agents)))
    domain = ctx.domains[0]
    mend = ctx.stanza(domain, _agents(agents)) + "\nand name your recursors for all other names"
    yield Hit(agents[0].node, f"all names, not those of {domain} alone, are sent to {names}", mend)


RULES = (
    LintRule(
        "not-sent",
        "error",
        "who asks this server gets no name of Consul's: they are asked where all others are, leak"
        " to there, and are denied",
        not_sent,
    ),
    LintRule(
        "part-sent",
        "error",
        "all under the domain is Consul's; the rest of it is asked where all other names are, leaks"
        " to there, and is denied",
        part_sent,
    ),
    LintRule(
        "all-sent",
        "warning",
        "agents without `recursors` refuse names that are not Consul's, and no name at all resolves"
        " while they are down",
        all_sent,
    ),
)
