"""What is written wrong in dnsmasq.conf, though it shows what is meant: read as meant, and marked.

dnsmasq does not start with such a line. What is right and bites all the same is for the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from consulfwd.servers.dnsmasq.names import OPTIONS, SWITCHES
from consulfwd.servers.names import is_address
from consulfwd.servers.spelling import Speller
from consulfwd.servers.syntax import SyntaxNode

_DOMAIN = re.compile(r"(?=.{0,255}[a-z_])[\w.-]{1,255}", re.IGNORECASE)
_PARTS = re.compile(r"[,\s]+")
_MAX_PARTS = 16


def joined(nodes: Iterable[SyntaxNode]) -> list[SyntaxNode]:
    """Return the options as they were meant; what is wrong with them is their `fault`."""
    speller = Speller(OPTIONS)
    return [one for node in nodes for one in _meant(node, speller)]


def _meant(node: SyntaxNode, speller: Speller) -> Iterator[SyntaxNode]:
    if known := speller.meant(node.name):
        fault = f"dnsmasq does not know {node.words[0]!a}"
        node = replace(node, words=(known, *node.words[1:]), fault=fault)
        node = replace(node, mend="=".join(node.words))
    if node.name in SWITCHES and len(node.words) > 1:
        fault = f"{node.name} takes no value"
        node = replace(node, words=node.words[:1], fault=fault, mend=node.name)
    if node.name not in {"server", "local", "address"}:
        yield node
        return
    domain, slash, rest = node.value.partition("/")
    if slash and "/" not in rest and _DOMAIN.fullmatch(domain):
        value = f"/{domain}/{rest}"
        fault = f"{node.name}={node.value[:60]}: the domain has no slash before it"
        node = replace(node, words=(node.name, value), fault=fault, mend=f"{node.name}={value}")
    yield from _each(node)


def _each(node: SyntaxNode) -> Iterator[SyntaxNode]:
    """Yield a line for each of its servers, where it has too many."""
    before, slash, rest = node.value.rpartition("/")
    parts = _PARTS.split(rest.strip())[:_MAX_PARTS]
    if len(parts) < 2 or not all(is_address(re.split("[#@%]", one)[0]) for one in parts):
        yield node
        return
    fault = f"{node.name} takes one server, and has {len(parts)}"
    values = [f"{before}{slash}{one}" for one in parts]
    mend = "\n".join(f"{node.name}={value}" for value in values)
    for number, value in enumerate(values):
        one = replace(node, words=(node.name, value))
        yield one if number else replace(one, fault=fault, mend=mend)
