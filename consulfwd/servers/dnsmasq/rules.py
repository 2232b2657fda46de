"""What bites in dnsmasq.conf."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from consulfwd.servers.dnsmasq.model import STANDARD, split, upstream
from consulfwd.servers.dnsmasq.own import RULES as OWN
from consulfwd.servers.dnsmasq.serving import RULES as SERVING
from consulfwd.servers.findings import (
    CONSUL_PORT,
    Context,
    Hit,
    LintRule,
)
from consulfwd.servers.names import normal, under
from consulfwd.servers.rules import number
from consulfwd.servers.sending import listed
from consulfwd.servers.syntax import find, last

DEFAULT_EDNS = 1232
_USED = frozenset({"A", "SRV", "TXT", "33", "1", "16"})  # what Consul answers with


def dnssec(ctx: Context) -> Iterator[Hit]:
    """Validation, where names go to an agent without a domain of their own."""
    found = last(ctx.nodes, "dnssec")
    if found is None:
        return
    for node in find(ctx.nodes, "server"):
        zones, rest = split(node.value)
        if not zones and rest and upstream(node, rest).port == CONSUL_PORT:
            what = f"answers of {rest} are validated"
            yield Hit(node, what, f"server=/{ctx.domains[0]}/{rest}")
    for node in find(ctx.nodes, "trust-anchor"):
        for word in node.value.split(",")[:2]:
            if ctx.domain_of(normal(word)):
                yield Hit(node, f"a trust anchor for {normal(word)}", "take it out")


def leak(ctx: Context) -> Iterator[Hit]:
    """Consul's names for the standard servers."""
    for node in find(ctx.nodes, "server", "local"):
        zones, rest = split(node.value)
        if rest == STANDARD:
            for zone in zones:
                if ctx.domain_of(zone):
                    what = f"{zone} is sent to the standard servers"
                    yield Hit(node, what, f"server=/{zone}/127.0.0.1#{CONSUL_PORT}")


def ttl_floor(ctx: Context) -> Iterator[Hit]:
    """A least TTL."""
    found = last(ctx.nodes, "min-cache-ttl")
    if found and number(found.value) != 0:
        what = f"min-cache-ttl={found.value} keeps answers past their TTL, TTL 0 too"
        yield Hit(found, what, "take it out")


def stale_cache(ctx: Context) -> Iterator[Hit]:
    """Expired answers before fresh ones."""
    if found := last(ctx.nodes, "use-stale-cache"):
        what = "expired answers are given before the agents are asked, those of TTL 0 too"
        yield Hit(found, what, "take it out")


def filterwin2k(ctx: Context) -> Iterator[Hit]:
    """SRV questions are not passed on."""
    if found := last(ctx.nodes, "filterwin2k"):
        yield Hit(found, "every SRV question is answered with nothing", "take it out")
    for node in find(ctx.nodes, "filter-rr"):
        types = [one.strip().upper() for one in node.value.split(",")]
        if lost := [one for one in types if one in _USED]:
            yield Hit(node, f"{listed(lost)} records are taken out of answers", "take it out")
    if found := last(ctx.nodes, "filter-a"):
        yield Hit(found, "A records are taken out of answers", "take it out")


def rebind(ctx: Context) -> Iterator[Hit]:
    """Private addresses refused."""
    found = last(ctx.nodes, "stop-dns-rebind")
    allowed: list[str] = []
    for node in find(ctx.nodes, "rebind-domain-ok"):
        # One domain may go without slashes.
        allowed += [normal(part) for part in node.value.strip("/").split("/")]
    for domain in ctx.domains if found and (allowed or ctx.complete) else ():
        if found and not any(under(domain, one) for one in allowed if one):
            what = f"answers with private addresses are refused, under {domain} too"
            yield Hit(found, what, f"rebind-domain-ok=/{domain}/")


def refused_answers(ctx: Context) -> Iterator[Hit]:
    """Answers with addresses that are taken for a provider's."""
    for node in find(ctx.nodes, "bogus-nxdomain", "ignore-address"):
        try:
            network = ip_network(node.value, strict=False)
        except ValueError:
            continue
        # That of one host is hardly a service's.
        if network.is_private and network.num_addresses > 1:
            done = "count as no such name" if node.name == "bogus-nxdomain" else "are passed over"
            yield Hit(node, f"answers with addresses in {node.value} {done}", "take it out")


def packet_size(ctx: Context) -> Iterator[Hit]:
    """Agents asked with too little room for long answers."""
    found = last(ctx.nodes, "edns-packet-max")
    size = number(found.value) if found else None
    if found and size is not None and size < DEFAULT_EDNS:
        what = f"agents are asked for answers of {size} octets at most"
        yield Hit(found, what, f"take it out, or edns-packet-max={DEFAULT_EDNS} or more")


def no_recursion(ctx: Context) -> Iterator[Hit]:
    """Answers with a TTL that dnsmasq does not keep, as they come without RA."""
    cache = last(ctx.nodes, "cache-size")
    if cache and number(cache.value) == 0:
        return
    for group in ctx.consul_groups():
        for agent in group.upstreams:
            reply = ctx.reply(group, agent)
            if reply and not reply.problem and not reply.recursion and reply.ttl:
                what = f"{agent.text} answers with TTL {reply.ttl}, but without RA"
                mend = "give the agent recursors in Consul's configuration"
                yield Hit(agent.node, what, mend)


RULES = (
    *SERVING,
    *OWN,
    LintRule(
        "dnsmasq-dnssec",
        "error",
        "Consul's answers are not signed and end in SERVFAIL; dnsmasq does not validate what goes"
        " to a server of its own domain",
        dnssec,
    ),
    LintRule("dnsmasq-leak", "error", "names of your network leak, and are denied there", leak),
    LintRule(
        "dnsmasq-ttl-floor",
        "warning",
        "instances that are gone stay in answers that long, new ones stay out",
        ttl_floor,
    ),
    LintRule(
        "dnsmasq-stale-cache",
        "warning",
        "clients get instances that are gone although the agents are well",
        stale_cache,
    ),
    LintRule(
        "dnsmasq-filterwin2k",
        "error",
        "services have A and SRV records: who asks for what is filtered finds none",
        filterwin2k,
    ),
    LintRule(
        "dnsmasq-rebind",
        "error",
        "services have private addresses: their names do not resolve",
        rebind,
    ),
    LintRule(
        "dnsmasq-refused-answers",
        "error",
        "services have private addresses: their names do not resolve",
        refused_answers,
    ),
    LintRule(
        "dnsmasq-edns-packet-max",
        "warning",
        "agents leave out the instances that do not fit and do not say so, unless"
        " enable_truncate is set there",
        packet_size,
    ),
    LintRule(
        "dnsmasq-no-ra",
        "warning",
        "dnsmasq keeps only answers that say recursion is available: each question goes to the"
        " agent",
        no_recursion,
    ),
)
