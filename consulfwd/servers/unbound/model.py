"""What an unbound.conf means: its attributes, and who gets Consul's names."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers.findings import Context, WrittenUpstream, ZoneUpstreams
from consulfwd.servers.names import is_address, is_reverse, normal, under
from consulfwd.servers.rules import port_number
from consulfwd.servers.syntax import SyntaxNode, find


def server(ctx: Context, *names: str) -> Iterator[SyntaxNode]:
    """Yield the attributes of the server sections that have one of the names."""
    for section in find(ctx.nodes, "server"):
        yield from section.find(*names)


def last(ctx: Context, *names: str) -> SyntaxNode | None:
    """Return the last of them, which is in force."""
    return next(reversed(list(server(ctx, *names))), None)


def has_server(ctx: Context) -> SyntaxNode | None:
    """Return the first server section: where one was read, what is missing is known."""
    return next(find(ctx.nodes, "server"), None)


def partial(ctx: Context) -> bool:
    """May attributes of the server stand in a file that could not be read?"""
    return not ctx.complete


def yes(node: SyntaxNode | None) -> bool:
    """Is a switch on?"""
    return node is not None and node.value.lower() == "yes"


def zones(nodes: tuple[SyntaxNode, ...]) -> Iterator[tuple[SyntaxNode, str]]:
    """Yield each forward or stub zone with its name."""
    for section in find(nodes, "forward-zone", "stub-zone"):
        if name := section.last("name"):
            yield section, normal(name.value)


def groups(nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]) -> list[ZoneUpstreams]:
    """Return who gets Consul's names and the reverse names."""
    found = []
    for section, name in zones(nodes):
        consul = any(under(name, domain) for domain in domains)
        addresses = section.find("forward-addr", "stub-addr", "forward-host", "stub-host")
        upstreams = tuple(upstream(node) for node in addresses)
        if consul or (is_reverse(name) and upstreams):
            found.append(ZoneUpstreams(section, name, upstreams))
    return found


def upstream(node: SyntaxNode) -> WrittenUpstream:
    """Return the server an attribute names."""
    text = node.value
    address, at, port = text.partition("#")[0].partition("@")
    read = port_number(port) if at else None
    if (at and read is None) or (node.name.endswith("-addr") and not is_address(address)):
        read = 0
    return WrittenUpstream(node, text, address, read)
