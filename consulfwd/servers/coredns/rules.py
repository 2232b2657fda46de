"""What bites in a Corefile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from consulfwd.servers.findings import Context, Hit, LintRule, WrittenUpstream, ZoneUpstreams
from consulfwd.servers.names import is_address, normal, under
from consulfwd.servers.rules import number
from consulfwd.servers.syntax import SyntaxNode

DEFAULT_EDNS = 1232
PROXY_GONE = (1, 5)
CACHE_FLOOR_S = 5
MAX_GROUPS = 10_000
_SCHEME = re.compile(r"[a-z0-9+]+://")


def _zone(word: str) -> str:
    """Return the zone of a server block's key."""
    plain = _SCHEME.sub("", word.rstrip(",").lower())
    name, colon, port = plain.rpartition(":")
    return normal(name if colon and port.isdigit() else plain)


def _upstream(node: SyntaxNode, text: str) -> WrittenUpstream:
    plain = text.partition("://")[2] or text
    plain = plain.partition("%")[0]
    if is_address(plain):
        return WrittenUpstream(node, text, plain, None)
    address, _, port = plain.rpartition(":")
    address = address.strip("[]")
    if is_address(address):
        read = number(port)
        return WrittenUpstream(node, text, address, 0 if read is None else read)
    return WrittenUpstream(node, text, plain, None)  # a file such as /etc/resolv.conf


def _forwards(
    nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]
) -> Iterator[tuple[SyntaxNode, SyntaxNode, str]]:
    """Yield server block, forward statement, and the zone of Consul's whose names it sends."""

    def consul(words: Iterable[str]) -> list[str]:
        zones = dict.fromkeys(map(_zone, words))
        return [zone for zone in zones if any(under(zone, domain) for domain in domains)]

    for block in nodes:
        own = consul(block.words) if block.body else []
        for node in block.find("forward", "proxy"):
            for zone in consul(node.words[1:2]) if _zone(node.value) else own:
                yield block, node, zone


def groups(nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]) -> list[ZoneUpstreams]:
    """Return who gets Consul's names."""
    found = []
    before: SyntaxNode | None = None
    upstreams: tuple[WrittenUpstream, ...] = ()
    for _, node, zone in islice(_forwards(nodes, domains), MAX_GROUPS):
        if node is not before:
            before = node
            upstreams = tuple(_upstream(node, word) for word in node.words[2:])
        found.append(ZoneUpstreams(node, zone, upstreams))
    return found


def _blocks(ctx: Context) -> Iterator[SyntaxNode]:
    """The server blocks that send Consul's names to somebody."""
    for block in ctx.nodes:
        if block.body and any(True for _ in _forwards((block,), ctx.domains)):
            yield block


def _caches(ctx: Context) -> Iterator[SyntaxNode]:
    """The caches Consul's names pass."""
    for block in _blocks(ctx):
        for node in block.find("cache"):
            words = node.words[2:] if number(node.value) is not None else node.words[1:]
            zones = [normal(word) for word in words]
            if not zones or any(under(d, zone) or ctx.domain_of(zone) for zone in zones
                                for d in ctx.domains):  # fmt: skip
                yield node


def cache_floor(ctx: Context) -> Iterator[Hit]:
    """A least TTL, which is there by default."""
    for node in _caches(ctx):
        kept = {
            kind: least
            for kind in ("success", "denial")
            if (least := _least(node, kind)) and not _disabled(node, kind, ctx)
        }
        if kept:
            what = f"answers are kept for {max(kept.values())} s at least, those of TTL 0 too"
            mend = "within cache { }: success 9984 30 0, and denial 9984 5 0"
            yield Hit(node.last(next(iter(kept))) or node, what, mend)


def _least(cache: SyntaxNode, kind: str) -> int:
    """Return the seconds answers (success) or denials are kept at least."""
    found = cache.last(kind)
    words = found.words if found else ()
    written = [number(word) for word in words[2:4]]
    most = written[0] if written else number(cache.value)
    least = written[1] if len(written) > 1 else CACHE_FLOOR_S
    least = CACHE_FLOOR_S if least is None else least
    return least if most is None else min(least, most)


def _disabled(cache: SyntaxNode, kind: str, ctx: Context) -> bool:
    for node in cache.find("disable"):
        zones = [normal(word) for word in node.words[2:]]
        covers = not zones or all(any(under(d, zone) for zone in zones) for d in ctx.domains)
        if node.value == kind and covers:
            return True
    return False


def serve_stale(ctx: Context) -> Iterator[Hit]:
    """Expired answers before fresh ones."""
    for node in _caches(ctx):
        found = node.last("serve_stale")
        if found and "verify" not in found.words:
            what = "expired answers are given before the agents are asked"
            yield Hit(found, what, "serve_stale 1h verify")


def no_errors(ctx: Context) -> Iterator[Hit]:
    """Failures that nobody is told of."""
    for block in _blocks(ctx):
        if not any(block.find("errors")):
            yield Hit(block, "errors is missing in this server block", "add errors")


def max_fails(ctx: Context) -> Iterator[Hit]:
    """Agents that are never found to be down."""
    for group in ctx.consul_groups():
        found = group.node.last("max_fails")
        if found and number(found.value) == 0:
            what = "an agent that fails is never left out"
            yield Hit(found, what, "take it out, or max_fails 2")


def bufsize(ctx: Context) -> Iterator[Hit]:
    """Agents asked with too little room for long answers."""
    for block in _blocks(ctx):
        for node in block.find("bufsize"):
            size = number(node.value)
            if size is not None and size < DEFAULT_EDNS:
                what = f"agents are asked for answers of {size} octets at most"
                yield Hit(node, what, f"bufsize {DEFAULT_EDNS}")


def proxy(ctx: Context) -> Iterator[Hit]:
    """A plugin that is gone."""
    for block in ctx.nodes if ctx.version >= PROXY_GONE else ():
        for node in block.find("proxy"):
            mend = "forward with the same words"
            yield Hit(node, "CoreDNS 1.5 and later do not start with proxy", mend)


RULES = (
    LintRule(
        "coredns-cache-floor",
        "warning",
        "instances that are gone stay in answers that long, new ones stay out",
        cache_floor,
    ),
    LintRule(
        "coredns-serve-stale",
        "warning",
        "clients get instances that are gone although the agents are well",
        serve_stale,
    ),
    LintRule("coredns-no-errors", "warning", "failing agents show up in no log", no_errors),
    LintRule(
        "coredns-max-fails",
        "warning",
        "queries go on to an agent that is down, and wait for its timeout",
        max_fails,
    ),
    LintRule(
        "coredns-bufsize",
        "warning",
        "agents leave out the instances that do not fit and do not say so, unless"
        " enable_truncate is set there",
        bufsize,
    ),
    LintRule("coredns-proxy", "error", "the server refuses the whole file", proxy),
)
