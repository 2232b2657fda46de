"""What systemd-resolved's files mean: lists that several of them share, who gets Consul's names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from consulfwd.servers.findings import WrittenUpstream, ZoneUpstreams
from consulfwd.servers.names import is_address, normal, under
from consulfwd.servers.resolved.grammar import SECTIONS
from consulfwd.servers.rules import number
from consulfwd.servers.syntax import SyntaxNode, find

COMMENT = ("#", ";")
SEPARATORS = re.compile("[,;]")


class Word(NamedTuple):
    """One word of a list: where it stands, and what it is."""

    node: SyntaxNode
    text: str


def values(sections: Iterable[SyntaxNode], key: str) -> list[Word]:
    """Return the words of a list that sections share; an empty value takes back what came before.

    What is meant for a comment behind a value is left out.
    """
    found: list[Word] = []
    for section in sections:
        for node in section.find(key):
            if len(node.words) == 1:
                found = []
            for word in node.words[1:]:
                if word.startswith(COMMENT):
                    break
                found.append(Word(node, word))
    return found


def lists(nodes: Iterable[SyntaxNode]) -> list[tuple[SyntaxNode, ...]]:
    """Return the sections put together by their lists: all [Resolve] are one, whatever the file."""
    known = list(find(nodes, *SECTIONS))
    resolve = tuple(one for one in known if one.name == "resolve")
    return [*([resolve] if resolve else []), *((one,) for one in known if one.name != "resolve")]


def upstream(node: SyntaxNode, text: str) -> WrittenUpstream:
    """Return a server as it is written: address, port, interface, and behind # a name for TLS."""
    written = text.partition("#")[0]
    server = written.partition("%")[0]
    if "]" in written.partition("%")[2]:
        # The interface goes behind port and bracket; this server is left out.
        return WrittenUpstream(node, text, server.strip("["), 0)
    address, port = server, ""
    if server.startswith("["):
        address, _, rest = server[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else ""
    elif not is_address(server):
        address, _, port = server.partition(":")
    read = number(port) if port else None
    if not is_address(address) or (port and read is None):
        read = 0
    return WrittenUpstream(node, text, address, read)


def within(words: Iterable[Word], section: SyntaxNode) -> list[Word]:
    """Return those of some words that stand in one of the sections."""
    own = set(map(id, section.body))
    return [one for one in words if id(one.node) in own]


def groups(nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]) -> list[ZoneUpstreams]:
    """Return who gets Consul's names: the servers beside each list of domains, or else all."""
    found = []
    for sections in lists(nodes):
        servers, routed = values(sections, "dns"), values(sections, "domains")
        unsaid = not servers and not any(True for one in sections for _ in one.find("dns"))
        if unsaid and "" not in domains:
            continue  # they may stand in another drop-in
        for section in sections:
            asked = tuple(upstream(*one) for one in within(servers, section) or servers)
            for node, word in within(routed, section):
                # What is parted by something else than blanks is told as such.
                zone = normal(SEPARATORS.split(word)[0].lstrip("~"))
                if zone and any(under(zone, domain) for domain in domains):
                    found.append(ZoneUpstreams(node, zone, asked))
                if "" in domains and not zone:
                    found.append(ZoneUpstreams(node, "", asked))  # ~. is all names
    return found
