"""What bites in a Corefile."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.servers.coredns import model
from consulfwd.servers.coredns.zones import RULES as ZONES
from consulfwd.servers.findings import Context, Hit, LintRule
from consulfwd.servers.names import normal, under
from consulfwd.servers.rules import number
from consulfwd.servers.syntax import SyntaxNode

DEFAULT_EDNS = 1232
PROXY_GONE = (1, 5)
CACHE_FLOOR_S = 5


def _caches(ctx: Context) -> Iterator[SyntaxNode]:
    """The caches Consul's names pass."""
    for block in model.blocks(ctx):
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
            mend = "cache 30 {\n    success 9984 30 0\n    denial 9984 5 0\n}"
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
    for block in model.blocks(ctx):
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
    for block in model.blocks(ctx):
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
    *ZONES,
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
