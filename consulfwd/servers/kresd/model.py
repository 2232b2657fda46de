"""What a kresd.conf means: its policies in order, and who gets Consul's names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from consulfwd.servers import lua
from consulfwd.servers.findings import WrittenUpstream, ZoneUpstreams
from consulfwd.servers.kresd.names import RULE_FORWARD, SENDING
from consulfwd.servers.names import is_address, is_reverse, normal, under
from consulfwd.servers.rules import number
from consulfwd.servers.syntax import SyntaxNode

_NAMES = frozenset({"todname", "kres.str2dname", "policy.todnames", "todnames"})
_SUFFIX = frozenset({"policy.suffix", "policy.suffix_common"})
_FOR_SOME = frozenset({"view:addr", "view:tsig"})
# Actions behind which the next policy is looked at all the same.
_GOING_ON = ("policy.FLAGS", "policy.MIRROR", "policy.DEBUG", "policy.QTRACE", "policy.ECS")


class Policy(NamedTuple):
    """One policy: what it does with names under which zones (the root: with all).

    `partial` is whether it is for some clients alone.
    """

    node: SyntaxNode
    action: SyntaxNode
    zones: tuple[str, ...]
    partial: bool = False

    @property
    def name(self) -> str:
        """What the action is called."""
        # A name that is not called comes after the mark for what is not known.
        return self.action.words[-1] if self.action.words else ""

    @property
    def ends(self) -> bool:
        """Is no other policy looked at for a name that this one takes?"""
        if self.partial or self.name == RULE_FORWARD:
            return False  # of version 6 the nearest one holds
        return self.name.startswith("policy.") and not self.name.startswith(_GOING_ON)


def called(nodes: tuple[SyntaxNode, ...], *names: str) -> Iterator[SyntaxNode]:
    """Yield the calls of functions."""
    return (node for node in nodes if node.words[:1] and node.words[0] in names)


def policies(nodes: tuple[SyntaxNode, ...]) -> list[Policy]:
    """Return the policies for all names and for zones, in order."""
    found = []
    for node in nodes:
        name = node.words[0] if node.words else ""
        if name == RULE_FORWARD and len(node.body) > 2:
            zones = tuple(normal(one) for one in lua.texts(node.body[0]))
            found.append(Policy(node, node, zones))
            continue
        partial = name in _FOR_SOME
        if not partial and name != "policy.add":
            continue
        rule = node.body[-1] if node.body else node
        if rule.words == ("policy.all",) and rule.body:
            found.append(Policy(node, rule.body[0], ("",), partial))
        elif rule.words and rule.words[0] in _SUFFIX and len(rule.body) > 1:
            zones = tuple(normal(_text(one)) for one in lua.texts(rule.body[1], _NAMES))
            found.append(Policy(node, rule.body[0], zones, partial))
        elif rule.words == ("policy.pattern",) and len(rule.body) > 1:
            zones = tuple(filter(None, map(_matched, lua.texts(rule.body[1]))))
            found.append(Policy(node, rule.body[0], zones, partial))
    return found


def servers(policy: Policy) -> tuple[WrittenUpstream, ...]:
    """Return who is asked; what a loop or a function makes is one that is not known."""
    given = policy.action.body[2:3] if policy.name == RULE_FORWARD else policy.action.body[:1]
    found: list[WrittenUpstream] = []
    for argument in given:
        if argument.words[:1] == (lua.UNKNOWN,):
            found.append(WrittenUpstream(argument, argument.words[-1], lua.UNKNOWN, None))
        found += [_upstream(one) for one in lua.strings(argument)]
    return tuple(found)


def options(policy: Policy) -> dict[str, str]:
    """Return what a rule of version 6 says beside its servers."""
    if policy.name != RULE_FORWARD:
        return {}
    return {one.words[0]: one.words[1] for one in policy.action.body[1].body if len(one.words) > 1}


_PATTERN = re.compile(r"[\x01-\x1f\w.-]+")


def _matched(pattern: str) -> str:
    """Return the zone whose names a pattern matches, where it is of that kind: '\\6consul%z$'."""
    plain = pattern.removesuffix("$").removesuffix("%z").removesuffix("\0").replace("%-", "-")
    plain = plain.removeprefix("^").removeprefix(".*")
    return normal(_text(plain)) if _PATTERN.fullmatch(plain) else ""


def _text(name: str) -> str:
    """Return a name as text that may be written as on the wire."""
    labels = []
    while name and ord(name[0]) < 32:
        length = ord(name[0])
        labels.append(name[1 : 1 + length])
        name = name[1 + length :]
    return ".".join([*labels, name]) if labels else name


def groups(nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]) -> list[ZoneUpstreams]:
    """Return who gets Consul's names and the reverse names."""
    found = []
    for policy in policies(nodes):
        if policy.name not in SENDING:
            continue
        upstreams = servers(policy)
        for zone in policy.zones:
            if any(under(zone, domain) for domain in domains) or (is_reverse(zone) and upstreams):
                found.append(ZoneUpstreams(policy.action, zone, upstreams))
    sent = {group.zone for group in found}
    for node in called(nodes, "policy.add"):
        if node.body and node.body[-1].words[:1] in {(lua.UNKNOWN,), ("function",)}:
            # A function of the file's own, which may send any name anywhere.
            unknown = WrittenUpstream(node, lua.UNKNOWN, lua.UNKNOWN, None)
            left = [one for one in domains if one and one not in sent]
            return found + [ZoneUpstreams(node, domain, (unknown,)) for domain in left]
    return found


def _upstream(node: SyntaxNode) -> WrittenUpstream:
    address, at, port = node.words[0].partition("@")
    read = number(port) if at else None
    if (at and read is None) or not is_address(address):
        read = 0
    return WrittenUpstream(node, node.words[0], address, read)
