"""What a named.conf means: its scopes, its zones, and who gets Consul's names."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from consulfwd.servers.findings import Context, WrittenUpstream, ZoneUpstreams
from consulfwd.servers.names import is_address, is_reverse, normal, under
from consulfwd.servers.rules import number
from consulfwd.servers.syntax import SyntaxNode, find, last

FORWARD = "forward"
MAX_VIEWS = 256


class Scope(NamedTuple):
    """Where settings hold: a view with the options behind it, or the options alone.

    `settings` are the statements in force by name.
    """

    node: SyntaxNode
    settings: Mapping[str, SyntaxNode]
    zones: tuple[SyntaxNode, ...]
    behind: SyntaxNode | None = None

    def setting(self, name: str) -> SyntaxNode | None:
        """Return the statement in force."""
        return self.settings.get(name)

    def is_off(self, name: str) -> bool:
        """Is a switch off?"""
        found = self.setting(name)
        return found is not None and found.value.lower() in {"no", "false", "0"}


def scopes(nodes: Iterable[SyntaxNode]) -> list[Scope]:
    """Return the views, or else the options; nothing for a file that has neither."""
    nodes = tuple(nodes)
    options = last(nodes, "options")
    general = {node.name: node for node in options.body} if options else {}
    views = list(islice(find(nodes, "view"), MAX_VIEWS))
    if not views:
        return [Scope(options, general, tuple(find(nodes, "zone")))] if options else []
    return [
        Scope(
            view,
            ChainMap({node.name: node for node in view.body}, general),
            tuple(view.find("zone")),
            options,
        )
        for view in views
    ]


def zones(nodes: Iterable[SyntaxNode]) -> Iterator[SyntaxNode]:
    """Yield every zone statement, those in views too."""
    for node in nodes:
        if node.name == "zone":
            yield node
        elif node.name == "view":
            yield from node.find("zone")


def zone_name(zone: SyntaxNode) -> str:
    """Return the zone's name."""
    return normal(zone.value)


def zone_type(zone: SyntaxNode) -> str:
    """Return the zone's type in lower case, or nothing."""
    found = zone.last("type")
    return found.value.lower() if found else ""


def is_first(zone: SyntaxNode) -> bool:
    """Is the rest of the Internet asked when the forwarders fail? That is the default."""
    found = zone.last("forward")
    return found is None or found.value.lower() != "only"


def _upstreams(forwarders: SyntaxNode) -> Iterator[WrittenUpstream]:
    default = number(_after(forwarders.words, "port"))
    for node in forwarders.body:
        written = _after(node.words, "port")
        port = number(written) if written else default
        if node.words and not is_address(node.words[0]):
            port = 0
        yield WrittenUpstream(node, " ".join(node.words), node.words[0] if node.words else "", port)


def _after(words: tuple[str, ...], name: str) -> str:
    return words[words.index(name) + 1] if name in words[:-1] else ""


def groups(nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]) -> list[ZoneUpstreams]:
    """Return who gets Consul's names; and the reverse names, where these go to the same."""
    found = []
    for zone in zones(nodes):
        name = zone_name(zone)
        consul = any(under(name, domain) for domain in domains)
        if zone_type(zone) != FORWARD or not (consul or is_reverse(name)):
            continue
        forwarders = zone.last("forwarders")
        upstreams = tuple(_upstreams(forwarders)) if forwarders else ()
        if consul or upstreams:
            found.append(ZoneUpstreams(forwarders or zone, name, upstreams))
    return found


def names_of(block: SyntaxNode, name: str) -> set[str]:
    """Return the names all statements of a name in a block give."""
    return {normal(found.value) for found in block.find(name)}


def who_may_recurse(scope: Scope) -> SyntaxNode | None:
    """Return the statement that says who may ask for recursion."""
    names = ("allow-recursion", "allow-query-cache", "allow-query")
    return next((one for name in names if (one := scope.setting(name))), None)


def everyone(ruling: SyntaxNode, lists: Mapping[str, SyntaxNode]) -> bool:
    """Does a list of addresses let anybody in? `lists` are the acl statements by name."""
    todo, seen = [ruling], set[str]()
    while todo:
        for element in todo.pop().body:
            name = " ".join(element.words).lower()
            if name in {"any", "0.0.0.0/0", "::/0"}:
                return True
            if name in lists and name not in seen:
                seen.add(name)
                todo.append(lists[name])
    return False


def to_agents(ctx: Context, scope: Scope) -> bool:
    """Has the scope a forward zone for a domain of Consul's?"""
    return any(
        zone_type(zone) == FORWARD and ctx.domain_of(zone_name(zone)) for zone in scope.zones
    )


class Exceptions:
    """Lists of excepted names, each looked through once although many views may share it."""

    def __init__(self) -> None:
        self._names: dict[int, frozenset[str]] = {}

    def cover(self, node: SyntaxNode | None, domain: str) -> bool:
        """Is the domain, or one it lies in, among the names in a statement's block?"""
        if node is None:
            return False
        if id(node) not in self._names:
            found = (normal(one.words[0]) for one in node.body if one.words)
            self._names[id(node)] = frozenset(found)
        labels = domain.split(".")
        above = (".".join(labels[start:]) for start in range(len(labels) + 1))
        return any(one in self._names[id(node)] for one in above)


def peers(nodes: Iterable[SyntaxNode]) -> dict[tuple[str, str], SyntaxNode]:
    """Return the settings of the server statements by address and name."""
    found: dict[tuple[str, str], SyntaxNode] = {}
    for node in nodes:
        for server in (node,) if node.name == "server" else ():
            found.update({(server.value, one.name): one for one in server.body})
        for server in node.find("server") if node.name == "view" else ():
            found.update({(server.value, one.name): one for one in server.body})
    return found
