"""What a Corefile means: its server blocks, and who gets Consul's names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from consulfwd.servers.findings import Context, WrittenUpstream, ZoneUpstreams
from consulfwd.servers.names import is_address, normal, under
from consulfwd.servers.rules import number
from consulfwd.servers.syntax import SyntaxNode

MAX_GROUPS = 10_000
_SCHEME = re.compile(r"[a-z0-9+]+://")
# An address with its port as other servers write it.
_OTHERWISE = re.compile(r"[\da-f:.]+[#@]\d+", re.IGNORECASE)
FORWARDS = ("forward", "proxy", "fanout")


def zone_of(word: str) -> str:
    """Return the zone of a server block's key."""
    plain = _SCHEME.sub("", word.rstrip(",").lower())
    name, colon, port = plain.rpartition(":")
    return normal(name if colon and port.isdigit() else plain)


def _upstream(node: SyntaxNode, text: str) -> WrittenUpstream:
    plain = text.partition("://")[2] or text
    if _OTHERWISE.fullmatch(plain):
        return WrittenUpstream(node, text, plain, 0)
    plain = plain.partition("%")[0]
    if is_address(plain):
        return WrittenUpstream(node, text, plain, None)
    address, _, port = plain.rpartition(":")
    address = address.strip("[]")
    read = number(port)
    if is_address(address):
        return WrittenUpstream(node, text, address, 0 if read is None else read)
    if address and read is not None:
        return WrittenUpstream(node, text, address, read)  # a host name
    return WrittenUpstream(node, text, plain, None)  # a file such as /etc/resolv.conf


def forwards(
    nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]
) -> Iterator[tuple[SyntaxNode, SyntaxNode, str]]:
    """Yield server block, forward statement, and the zone of Consul's whose names it sends."""

    def consul(words: Iterable[str]) -> list[str]:
        zones = dict.fromkeys(map(zone_of, words))
        return [zone for zone in zones if any(under(zone, domain) for domain in domains)]

    for block in nodes:
        own = (consul(block.words) or _rewritten(block, domains)) if block.body else []
        for node in block.find(*FORWARDS):
            for zone in consul(node.words[1:2]) if zone_of(node.value) else own:
                if not excepted(node, zone):
                    yield block, node, zone


def excepted(forward: SyntaxNode, zone: str) -> bool:
    """Is a zone left out by a forward statement?"""
    return any(under(zone, zone_of(one)) for part in forward.find("except")
               for one in part.words[1:])  # fmt: skip


def _rewritten(block: SyntaxNode, domains: tuple[str, ...]) -> list[str]:
    """Return the domains of Consul's whose names a block makes of others before it sends them.

    Without those that a forward statement of the block names.
    """
    named = [zone for node in block.find(*FORWARDS) if (zone := zone_of(node.value))]
    words = [normal(word).lstrip(".") for node in block.find("rewrite") for word in node.words[2:]]
    return [one for one in domains if one and any(under(word, one) for word in words)
            and not any(under(one, zone) for zone in named)]  # fmt: skip


def groups(nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]) -> list[ZoneUpstreams]:
    """Return who gets Consul's names."""
    found = []
    before: SyntaxNode | None = None
    upstreams: tuple[WrittenUpstream, ...] = ()
    for _, node, zone in islice(forwards(nodes, domains), MAX_GROUPS):
        if node is not before:
            before = node
            upstreams = tuple(_upstream(node, word) for word in node.words[2:])
        found.append(ZoneUpstreams(node, zone, upstreams))
    return found


def blocks(ctx: Context) -> Iterator[SyntaxNode]:
    """The server blocks that send Consul's names to somebody."""
    for block in ctx.nodes:
        if block.body and any(True for _ in forwards((block,), ctx.domains)):
            yield block
