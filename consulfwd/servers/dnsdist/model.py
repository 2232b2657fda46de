"""What a dnsdist.conf means: its servers by pool, its rules in order, who gets Consul's names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from consulfwd.servers import lua
from consulfwd.servers.findings import WrittenUpstream, ZoneUpstreams
from consulfwd.servers.names import is_address, is_reverse, normal, under
from consulfwd.servers.rules import number
from consulfwd.servers.syntax import SyntaxNode

_SUFFIX_RULES = frozenset(
    {"SuffixMatchNodeRule", "QNameSuffixRule", "makeRule", "newSuffixMatchNode", "newDNSName"}
)
_NODE = "newSuffixMatchNode"
_BEGINNING = re.compile(r"^\((?:\?:)?(?:\^\|\.|\.\|\^|\.\*\.|\^)\)\??")
# Actions behind which the next rule is looked at all the same.
_GOING_ON = frozenset(
    {"LogAction", "DelayAction", "TeeAction", "SetTagAction", "TagAction", "SetECSAction",
     "SetSkipCacheAction", "SkipCacheAction", "DisableValidationAction", "SetNoRecurseAction",
     "NoRecurseAction", "SNMPTrapAction", "ContinueAction", "NoneAction", "MacAddrAction",
     "RemoteLogAction", "SetDisableValidationAction", "SetMacAddrAction", "SetMaxReturnedTTLAction"}
)  # fmt: skip


# What a function says is done; it may be anything.
_BY_FUNCTION = frozenset({"LuaAction", "LuaFFIAction", "LuaFFIPerThreadAction"})


class Rule(NamedTuple):
    """A rule: what is done with names under which zones (the root: with all).

    `partial` is whether it asks for more than names, `others` whether it is for all but these.
    """

    node: SyntaxNode
    action: SyntaxNode
    zones: tuple[str, ...]
    partial: bool = False
    others: bool = False

    @property
    def pool(self) -> str | None:
        """The pool whose servers are asked, if that is what is done."""
        if self.action.words[:1] != ("PoolAction",) or not self.action.body:
            return None
        return next(iter(lua.texts(self.action.body[0])), None)

    @property
    def by_function(self) -> bool:
        """Does a function of the file's own say what is done?"""
        return self.action.words[:1] != () and self.action.words[0] in _BY_FUNCTION

    @property
    def ends(self) -> bool:
        """Is no other rule looked at for a name that this one takes?"""
        if self.partial or self.others or self.by_function:
            return False
        return self.action.words[:1] != (lua.UNKNOWN,) and self.action.words[0] not in _GOING_ON


class Server(NamedTuple):
    """A server, with the table it is given by, or its text."""

    node: SyntaxNode
    table: SyntaxNode
    upstream: WrittenUpstream
    pools: tuple[str, ...]


def called(nodes: tuple[SyntaxNode, ...], *names: str) -> Iterator[SyntaxNode]:
    """Yield the calls of functions."""
    return (node for node in nodes if node.words[:1] and node.words[0] in names)


def servers(nodes: tuple[SyntaxNode, ...]) -> list[Server]:
    """Return the servers; of no pool is of the pool without name. Addresses may be unknown."""
    found = []
    for node in called(nodes, "newServer"):
        given = node.body[0] if node.body else node
        address = lua.field(given, "address")
        text = address.words[1] if address else next(iter(lua.texts(given)), lua.UNKNOWN)
        pool = lua.field(given, "pool")
        pools = tuple([*pool.words[1:2], *(text for one in pool.body for text in lua.texts(one))]
                      if pool else [""])  # fmt: skip
        found.append(Server(node, given, _upstream(node, text), pools))
    return found


def _upstream(node: SyntaxNode, text: str) -> WrittenUpstream:
    if is_address(text) or text == lua.UNKNOWN:
        # Made by a loop or a function, it is one that is not known.
        return WrittenUpstream(node, text, text, None)
    address, _, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        return WrittenUpstream(node, text, text[1:-1], None)
    read = number(port)
    plain = address.strip("[]")
    return WrittenUpstream(node, text, plain, read if is_address(plain) and read else 0)


def rules(nodes: tuple[SyntaxNode, ...]) -> list[Rule]:
    """Return the rules for all names and for zones, in order."""
    added = [
        text
        for node in nodes
        if node.words[:1] and node.words[0].endswith(":add") and node.body
        for text in lua.texts(node.body[0], _SUFFIX_RULES)
    ]
    found = []
    for node in called(nodes, "addAction", "addPoolRule", "addDomainPool", "addLuaAction"):
        if len(node.body) < 2:
            continue
        action = node.body[1]
        if node.words[0] == "addLuaAction":
            action = SyntaxNode(action.file, action.line, ("LuaAction",))
        elif node.words[0] != "addAction":
            action = SyntaxNode(action.file, action.line, ("PoolAction",), (action,))
        given = node.body[0]
        partial, others = given.words[:1] == ("AndRule",), given.words[:1] == ("NotRule",)
        found.append(Rule(node, action, tuple(_zones(given, added)), partial, others))
    return found


def _zones(rule: SyntaxNode, added: list[str]) -> Iterator[str]:
    """Yield the zones that a rule is about, whatever else it asks for."""
    if rule.words[:1] == ("AllRule",) or rule.words[-1:] == ("AllRule",):
        yield ""
    elif rule.words and rule.words[0] in {"OrRule", "AndRule", "NotRule"}:
        for one in rule.body:
            for inner in one.body if one.words == (lua.TABLE,) else [one]:
                yield from _zones(inner, added)
    elif rule.words[:1] in {("RegexRule",), ("RE2Rule",)} and rule.body:
        for text in lua.texts(rule.body[0]):
            # Such as consul$ or [.]consul[.]?$
            plain = text.replace("\\.", ".").replace("[.]", ".").rstrip("$?").removesuffix(".")
            # Such as (^|.)consul
            yield normal(_BEGINNING.sub("", plain).lstrip("^.*"))
    elif rule.words[:1] == ("QNameRule",) and rule.body:
        # The name alone: `dnsdist-exact-name` says so of Consul's.
        yield from (normal(text) for text in lua.texts(rule.body[0]))
    else:
        yield from (normal(text) for text in lua.texts(rule, _SUFFIX_RULES))
        if any(one.words[:1] == (_NODE,) for one in (rule, *rule.body)):
            yield from (normal(text) for text in added)


def groups(nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]) -> list[ZoneUpstreams]:
    """Return who gets Consul's names and the reverse names."""
    pools: dict[str, list[WrittenUpstream]] = {}
    for server in servers(nodes):
        for name in server.pools:
            pools.setdefault(name, []).append(server.upstream)
    found = []
    general = "" in domains
    for rule in rules(nodes):
        if rule.by_function:
            unknown = WrittenUpstream(rule.node, lua.UNKNOWN, lua.UNKNOWN, None)
            found += [ZoneUpstreams(rule.node, zone, (unknown,)) for zone in rule.zones
                      if any(under(zone, domain) for domain in domains)]  # fmt: skip
        if rule.pool is None:
            continue
        # What is not for the others is left to the pool without name.
        upstreams = tuple(pools.get("" if rule.others else rule.pool, ()))
        for zone in rule.zones:
            if any(under(zone, domain) for domain in domains) or (is_reverse(zone) and upstreams):
                found.append(ZoneUpstreams(rule.node, zone, upstreams))
        if rule.others and "" in domains:
            general = False
            found.append(ZoneUpstreams(rule.node, "", tuple(pools.get(rule.pool, ()))))
    if general and (asked := pools.get("")):
        found.append(ZoneUpstreams(asked[0].node, "", tuple(asked)))
    return found
