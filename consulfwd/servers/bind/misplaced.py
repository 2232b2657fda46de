"""What stands where named.conf has no place for it: in zones of a type, in the options.

BIND refuses the file; what is meant is read, and marked. Missing semicolons and stray words are
for `written`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches

from consulfwd.servers.names import is_address
from consulfwd.servers.spelling import NEAR, Speller
from consulfwd.servers.syntax import SyntaxNode, word_set

# All a zone of type forward may have, in any version.
_FORWARD = word_set("type forward forwarders delegation-only template include")
TYPES = word_set(
    "primary master secondary slave mirror hint stub static-stub forward redirect delegation-only",
)
# Some that may stand once in their block.
_SINGLE = word_set(
    "type forward forwarders directory recursion dnssec-validation validate-except blackhole",
    "clients-per-query max-cache-ttl min-cache-ttl allow-query allow-query-cache allow-recursion",
    "match-clients match-destinations stale-answer-enable deny-answer-addresses edns-udp-size",
)
# What stands beside the options, and may not stand in them.
_BESIDE = word_set("zone view acl logging options key controls")


def placed(node: SyntaxNode, speller: Speller) -> Iterator[SyntaxNode]:
    """Yield a statement of the top as it was meant; what was in it by mistake comes behind it."""
    if node.name == "zone":
        yield _zone(node)
    elif node.name == "view":
        yield replace(node, body=tuple(_once(_in_view(node, speller))))
    elif node.name == "options":
        inside = [one for one in node.body if one.name not in _BESIDE]
        yield replace(node, body=tuple(_once(_spelt(one, speller) for one in inside)))
        for one in node.body:
            if one.name in _BESIDE:
                fault = one.fault or f"{one.name} stands within the options"
                moved = replace(one, fault=fault, mend="}; before it")
                yield from placed(moved, speller)
    else:
        yield node


def _in_view(view: SyntaxNode, speller: Speller) -> Iterator[SyntaxNode]:
    for one in view.body:
        yield _zone(one) if one.name == "zone" else _spelt(one, speller)


def _once(body: Iterable[SyntaxNode]) -> Iterator[SyntaxNode]:
    """Yield statements, those marked that are there already and may not be."""
    seen: set[str] = set()
    for one in body:
        if one.name in _SINGLE and one.name in seen and not one.fault:
            one = replace(one, fault=f"{one.name} stands twice", mend="take one of the two out")
        seen.add(one.name)
        yield one


def _spelt(one: SyntaxNode, speller: Speller) -> SyntaxNode:
    known = None if one.fault else speller.meant(one.name)
    if known is None:
        return one
    fault = f"named does not know {one.words[0]!a}"
    return replace(one, words=(known, *one.words[1:]), fault=fault, mend=f"it is {known}")


def _zone(zone: SyntaxNode) -> SyntaxNode:
    """Mark what a zone may not have, and what it must have and has not."""
    zone = replace(zone, body=tuple(_once(zone.body))) if zone.body else zone
    kind = zone.last("type")
    if kind is not None and kind.value.lower() not in TYPES and zone.last("forwarders", "forward"):
        fault = f"named knows no zone of type {kind.value[:40]!a}"
        meant = replace(kind, words=("type", "forward"), fault=fault, mend="type forward;")
        zone = replace(zone, body=tuple(meant if one is kind else one for one in zone.body))
        kind = meant
    if kind is None:
        if zone.last("in-view", "template", "include") or not zone.last("forwarders", "forward"):
            return zone
        meant = SyntaxNode(zone.file, zone.line, ("type", "forward"))
        fault = zone.fault or f"the zone {zone.value} has no type"
        return replace(zone, body=(*zone.body, meant), fault=fault, mend="type forward;")
    if kind.value.lower() == "forward":
        body = (_apart(_unless(one, zone)) for one in zone.body)
        return replace(zone, body=tuple(body))
    if kind.value.lower() == "static-stub":
        return replace(zone, body=tuple(_portless(one) for one in zone.body))
    return zone


def _unless(one: SyntaxNode, zone: SyntaxNode) -> SyntaxNode:
    if one.fault or not one.words or one.name in _FORWARD:
        return one
    if get_close_matches(one.name, ("forward", "forwarders"), 1, NEAR):
        known = "forwarders" if one.body else "forward"
        fault = f"named does not know {one.words[0][:40]!a}"
        return replace(one, words=(known, *one.words[1:]), fault=fault, mend=f"it is {known}")
    fault = f"{one.words[0][:40]} is not allowed in the zone {zone.value[:60]}, of type forward"
    return replace(one, fault=fault, mend="take it out")


def _apart(block: SyntaxNode) -> SyntaxNode:
    """Part servers that stand behind one another, with commas or with nothing between them."""
    alone = all(len(one.words) == 1 and "," not in one.words[0] for one in block.body)
    if block.name != "forwarders" or alone:
        return block
    body: list[SyntaxNode] = []
    for one in block.body:
        words = [word for text in one.words for word in text.split(",") if word]
        starts = [at for at, word in enumerate(words) if is_address(word)]
        if len(starts) < 2 or starts[0]:
            body.append(one)
            continue
        fault = "servers have a ; behind each of them"
        ends = [*starts[1:], len(words)]
        parts = [tuple(words[at:end]) for at, end in zip(starts, ends, strict=True)]
        mend = " ".join(f"{' '.join(part)};" for part in parts[:8])
        body.append(replace(one, words=parts[0], fault=fault, mend=mend))
        body += [replace(one, words=part) for part in parts[1:]]
    return replace(block, body=tuple(body))


def _portless(block: SyntaxNode) -> SyntaxNode:
    if block.name != "server-addresses":
        return block
    body = []
    for one in block.body:
        if len(one.words) > 1 and one.words[1].lower() == "port":
            fault = "server-addresses have no ports: port 53 is asked"
            mend = f"type forward; forward only; forwarders {{ {' '.join(one.words)}; }};"
            one = replace(one, fault=fault, mend=mend)
        body.append(one)
    return replace(block, body=tuple(body))
