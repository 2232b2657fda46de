"""Agents unbound is told never to ask: by their addresses, or by their family.

What holds for loopback by default is in `rules`, who may ask unbound in `access`.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import islice

from consulfwd.servers.findings import Context, Hit, LintRule
from consulfwd.servers.names import is_address
from consulfwd.servers.sending import listed
from consulfwd.servers.syntax import SyntaxNode
from consulfwd.servers.unbound import model

MAX_BARS = 1_000
MAX_AGENTS = 64


def barred(ctx: Context) -> Iterator[Hit]:
    """Agents in a network unbound asks nobody in, or of a family it does not speak."""
    bars = _bars(ctx)
    families = {version: model.last(ctx, f"do-ip{version}") for version in (4, 6)}
    held: dict[SyntaxNode, list[str]] = {}
    for group in ctx.consul_groups():
        for one in group.upstreams[:MAX_AGENTS]:
            if not is_address(one.address):
                continue
            address = ip_address(one.address.partition("%")[0])
            off = families[address.version]
            if off is not None and off.value.lower() == "no":
                what = f"{one.text} is never asked: {off.name} is off"
                yield Hit(one.node, what, f"in server: {off.name}: yes")
            elif (bar := next((bar for net, bar in bars if address in net), None)) is not None:
                held.setdefault(bar, []).append(one.text)
    for bar, agents in held.items():
        names = listed(list(dict.fromkeys(agents)))
        what = f"do-not-query-address has {names} in {bar.value}"
        yield Hit(bar, what, "take it out, or name networks without agents")


def _bars(ctx: Context) -> list[tuple[IPv4Network | IPv6Network, SyntaxNode]]:
    found = []
    for node in islice(model.server(ctx, "do-not-query-address"), MAX_BARS):
        try:
            found.append((ip_network(node.value, strict=False), node))
        except ValueError:
            continue
    return found


RULES = (
    LintRule(
        "unbound-agent-barred",
        "error",
        "unbound never asks such a server: Consul's names end in SERVFAIL where no other agent"
        " answers",
        barred,
    ),
)
