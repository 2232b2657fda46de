"""What dnsmasq answers itself: names under Consul's domain for which no agent is asked."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers.dnsmasq.model import split
from consulfwd.servers.findings import Context, Hit, LintRule
from consulfwd.servers.names import is_address, normal, within
from consulfwd.servers.rules import number
from consulfwd.servers.sending import listed
from consulfwd.servers.syntax import SyntaxNode, find

# Options that give a name an answer; what stands before the first comma is the name.
_NAMES = ("host-record", "cname", "srv-host", "txt-record", "mx-host", "dns-rr", "caa-record")


def address(ctx: Context) -> Iterator[Hit]:
    """Consul's names answered here."""
    for node in find(ctx.nodes, "address"):
        for zone in split(node.value)[0]:
            if ctx.domain_of(zone):
                what = f"all under {zone} is answered with a fixed address, whatever server= says"
                yield Hit(node, what, "take it out")
    for node in find(ctx.nodes, "auth-zone"):
        zone = normal(node.value.split(",")[0])
        if zone and any(within(zone, one) or within(one, zone) for one in ctx.domains):
            what = f"dnsmasq answers for {zone} itself, from what it knows of hosts and leases"
            yield Hit(node, what, "take it out")


def written_out(ctx: Context) -> Iterator[Hit]:
    """Names under the domain that are written here."""
    found: dict[str, list[SyntaxNode]] = {}
    for node in find(ctx.nodes, *_NAMES):
        for name in _names(node):
            if ctx.domain_of(name):
                found.setdefault(name, []).append(node)
    what = f"answered here, whatever agents know of it: {listed(list(found))}" if found else ""
    for nodes in found.values():
        for node in nodes:
            yield Hit(node, what, "take it out")


def alias(ctx: Context) -> Iterator[Hit]:
    """Aliases for names of Consul's, which dnsmasq would have to have itself."""
    here = {name for node in find(ctx.nodes, "host-record") for name in _names(node)}
    for node in find(ctx.nodes, "cname"):
        names, target = _aliases(node)
        if names and ctx.domain_of(target) and target not in here:
            what = f"{names[0]} is an alias for {target}, which dnsmasq has to ask for"
            yield Hit(node, what, f"take it out, and use {target} itself")


def _names(node: SyntaxNode) -> list[str]:
    """Return the names an option gives an answer."""
    if node.name == "cname":
        return _aliases(node)[0]
    words = [one.strip() for one in node.value.split(",")]
    if node.name != "host-record":
        return [normal(words[0])]
    return [normal(one) for one in words if not is_address(one) and number(one) is None]


def _aliases(node: SyntaxNode) -> tuple[list[str], str]:
    """Return the aliases, and the name they are for."""
    words = [normal(one) for one in node.value.split(",")]
    if len(words) > 2 and number(words[-1]) is not None:
        words.pop()  # a TTL
    return words[:-1], words[-1]


RULES = (
    LintRule("dnsmasq-address", "error", "no agent is asked", address),
    LintRule(
        "dnsmasq-own-name",
        "error",
        "dnsmasq asks nobody for what it has itself: instances that come and go do not show",
        written_out,
    ),
    LintRule(
        "dnsmasq-alias",
        "error",
        "dnsmasq follows an alias only to names it has itself (hosts, leases, host-record)",
        alias,
    ),
)
