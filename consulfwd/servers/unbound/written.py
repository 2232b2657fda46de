"""What is written wrong in unbound.conf, though it shows what is meant: read as meant, and marked.

unbound does not start with such a file. What is right and bites all the same is for the rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from consulfwd.errors import LintError
from consulfwd.servers.spelling import Speller
from consulfwd.servers.syntax import SyntaxNode, last, word_set
from consulfwd.servers.unbound.names import ATTRIBUTES, FORWARD, SECTIONS, STUB

# Attributes of one value; another one on the line is taken for the name of an attribute.
_ONE_VALUE = word_set(
    "forward-addr forward-host stub-addr stub-host name forward-first stub-first interface",
    "ip-address private-address private-domain domain-insecure do-not-query-localhost",
    "do-not-query-address discard-timeout port",
)
_SWITCHES = word_set(
    "do-not-query-localhost do-ip4 do-ip6 do-udp do-tcp forward-first forward-tls-upstream",
    "forward-tcp-upstream forward-no-cache stub-first stub-prime stub-tls-upstream prefetch",
    "stub-tcp-upstream qname-minimisation serve-expired val-permissive-mode unblock-lan-zones",
)
_MEANT = {"true": "yes", "on": "yes", "1": "yes", "false": "no", "off": "no", "0": "no"}
_ZONES = {"forward-zone": ("forward-", FORWARD), "stub-zone": ("stub-", STUB)}
Section = tuple[SyntaxNode, list[SyntaxNode]]


def joined(nodes: Iterable[SyntaxNode]) -> list[SyntaxNode]:
    """Return the sections, each with its attributes. An included file goes on with the section."""
    sections: list[Section] = []
    speller, of_sections = Speller(ATTRIBUTES), Speller(SECTIONS | ATTRIBUTES)
    for node in nodes:
        begins = of_sections.meant(node.name) if len(node.words) == 1 else None
        if begins in SECTIONS:
            fault = f"unbound does not know {node.words[0]!a}"
            node = replace(node, words=(begins,), fault=fault, mend=f"{begins}:")
        if node.name in SECTIONS and len(node.words) == 1:
            sections.append((node, []))
        elif sections:
            sections[-1][1].extend(_single(_valued(_spelt(node, speller))))
        elif node.name not in {"include", "include-toplevel"}:
            what = f"{node.words[0]}: stands before any section"
            raise LintError(node.file, node.line, what, "put server: or its section before it")
    of_server = [body for section, body in sections if section.name == "server"]
    for section, body in sections:
        if section.name in _ZONES:
            stray = _zone(section, body)
            # Where there is a server section, what was meant for it holds there.
            (of_server[-1] if of_server else body).extend(stray)
    return [_named(SyntaxNode(one.file, one.line, one.words, tuple(body), one.fault, one.mend))
            for one, body in sections]  # fmt: skip


def _zone(section: SyntaxNode, body: list[SyntaxNode]) -> list[SyntaxNode]:
    """Take out of a zone, and return, what is none of a zone's attributes; mark it."""
    prefix, known = _ZONES[section.name]
    stray: list[SyntaxNode] = []
    kept: list[SyntaxNode] = []
    for node in body:
        bare = node.name.removeprefix("forward-").removeprefix("stub-")
        value = " ".join(node.words[1:])
        if node.name in known or node.fault or node.name not in ATTRIBUTES | FORWARD | STUB:
            kept.append(node)
        elif bare != node.name and prefix + bare in known:
            fault = f"{node.name}: stands in a {section.name}"
            words = (prefix + bare, *node.words[1:])
            kept.append(replace(node, words=words, fault=fault, mend=f"{prefix}{bare}: {value}"))
        elif node.name not in {"include", "include-toplevel"}:
            fault = f"{node.name}: stands in a {section.name}, and is for the server"
            stray.append(replace(node, fault=fault, mend=f"server:\n    {node.name}: {value}"))
        else:
            kept.append(node)
    names = [node for node in kept if node.name == "name"]
    fault = f"name: stands twice in one {section.name}"
    again = [replace(one, fault=fault, mend=f'{section.name}:\n    name: "{one.value}"')
             for one in names[1:]]  # fmt: skip
    # The first holds, as the last of a row does.
    body[:] = [*again, *(node for node in kept if node not in names[1:])]
    return stray


def _named(section: SyntaxNode) -> SyntaxNode:
    if section.name not in _ZONES or last(section.body, "name", "include"):
        return section
    if not section.body:
        return section
    return replace(section, fault=f"the {section.name} has no name", mend='name: "consul."')


def _spelt(node: SyntaxNode, speller: Speller) -> SyntaxNode:
    if node.fault:
        return replace(node, mend=node.mend or f"{node.name}: {' '.join(node.words[1:])}"[:100])
    known = speller.meant(node.name)
    if known is None:
        return node
    mend = f"{known}: {' '.join(node.words[1:])}"[:100]
    fault = f"unbound does not know {node.words[0]!a}"
    return replace(node, words=(known, *node.words[1:]), fault=fault, mend=mend)


def _valued(node: SyntaxNode) -> SyntaxNode:
    """Mark a value that is none of an attribute's."""
    if node.fault or len(node.words) != 2:
        return node
    meant = _MEANT.get(node.value.lower()) if node.name in _SWITCHES else None
    if node.name == "access-control":
        fault, meant = f"{node.name}: has no action", f"{node.value} allow"
    elif meant is not None:
        fault = f"{node.name}: is yes or no, not {node.value}"
    else:
        return node
    words = (node.name, *meant.split())
    return replace(node, words=words, fault=fault, mend=f"{node.name}: {meant}")


def _single(node: SyntaxNode) -> Iterable[SyntaxNode]:
    """Yield an attribute for each of its values, where it has too many."""
    if node.name not in _ONE_VALUE or len(node.words) < 3:
        yield node
        return
    fault = f"{node.name}: takes one value, and has {len(node.words) - 1}"
    values = [value.strip(",") or value for value in node.words[1:]]
    mend = "\n".join(f"{node.name}: {value}" for value in values[:8])
    for number, value in enumerate(values):
        one = replace(node, words=(node.words[0], value))
        yield one if number else replace(one, fault=fault, mend=mend)
