"""Who may ask unbound, and where it listens: open to anybody, or closed to all but this host."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from consulfwd.servers.findings import Context, Hit, LintRule
from consulfwd.servers.names import is_address
from consulfwd.servers.syntax import SyntaxNode
from consulfwd.servers.unbound import model


def open_recursion(ctx: Context) -> Iterator[Hit]:
    """Anybody may ask."""
    for node in model.server(ctx, "access-control"):
        if len(node.words) > 2 and node.words[2].lower() in {"allow", "allow_snoop", "allow_setrd"}:
            try:
                everyone = ip_network(node.value).prefixlen == 0
            except ValueError:
                continue
            if everyone and _heard_off_this_host(ctx):
                what = f"access-control: {node.value} lets anybody resolve through this server"
                mend = "access-control: 10.0.0.0/8 allow (and each other network of your own)"
                yield Hit(node, what, mend)


def closed(ctx: Context) -> Iterator[Hit]:
    """Other hosts reach the server, and none of them is let in."""
    heard = [node for node in _interfaces(ctx) if not _loopback(node)]
    said = list(model.server(ctx, "access-control", "interface-action"))
    if not heard or not ctx.complete or any(_lets_in(node) for node in said):
        return
    what = f"the server listens on {heard[0].value}, and access-control lets no other host in"
    yield Hit(heard[0], what, "access-control: 10.0.0.0/8 allow (and each other network of yours)")


def _lets_in(node: SyntaxNode) -> bool:
    """Is any other host let in?"""
    try:
        here = ip_network(node.value, strict=False).is_loopback
    except ValueError:
        here = node.value == "lo"
    return not here and len(node.words) > 2 and node.words[2].lower().startswith("allow")


def _interfaces(ctx: Context) -> list[SyntaxNode]:
    return list(model.server(ctx, "interface", "ip-address"))


def _loopback(node: SyntaxNode) -> bool:
    # What is no address is the name of an interface.
    address = node.value.partition("@")[0]
    return (is_address(address) and ip_address(address).is_loopback) or address == "lo"


def _heard_off_this_host(ctx: Context) -> bool:
    """Does the server listen anywhere but on loopback, as far as it is told here?"""
    found = _interfaces(ctx)
    return not found or not all(_loopback(node) for node in found)


RULES = (
    LintRule(
        "unbound-open-recursion",
        "warning",
        "the server takes part in attacks, and tells strangers about your services",
        open_recursion,
    ),
    LintRule(
        "unbound-closed",
        "warning",
        "without access-control unbound refuses everybody but this host",
        closed,
    ),
)
