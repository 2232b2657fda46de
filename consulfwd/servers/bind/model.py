"""What a named.conf means: its scopes, its zones, and who gets Consul's names."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from consulfwd.servers.findings import DNS_PORT, Context, WrittenUpstream, ZoneUpstreams
from consulfwd.servers.names import is_address, is_reverse, normal, under
from consulfwd.servers.rules import port_number
from consulfwd.servers.syntax import SyntaxNode, find, last

FORWARD = "forward"
# Types that ask the servers they name, without a port of their own.
ASKING = {"static-stub": ("server-addresses",), "stub": ("primaries", "masters")}
# Types that answer by themselves; all but the first copy what they answer with.
PRIMARY = frozenset({"primary", "master"})
COPIES = frozenset({"secondary", "slave", "mirror"})
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

    @property
    def partial(self) -> bool:
        """May settings stand in a file that could not be read?"""
        blocks = (self.node, self.behind) if self.behind else (self.node,)
        return any(one.last("include") for one in blocks)

    def is_off(self, name: str) -> bool:
        """Is a switch off?"""
        found = self.setting(name)
        return found is not None and found.value.lower() in {"no", "false", "0"}


def scopes(nodes: Iterable[SyntaxNode]) -> list[Scope]:
    """Return the views, or else the options; nothing for a file that has neither."""
    nodes = tuple(nodes)
    options = last(nodes, "options")
    general = {node.name: node for node in options.body} if options else {}
    views = [one for one in islice(find(nodes, "view"), MAX_VIEWS) if _of_internet(one)]
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


def _of_internet(view: SyntaxNode) -> bool:
    """Is a view of class IN? Those of another answer questions of that class alone."""
    return len(view.words) < 3 or view.words[2].lower() in {"in", "any"}


def scopes_or_file(nodes: Iterable[SyntaxNode]) -> list[Scope]:
    """Return the scopes; of a file that has none, its zones all the same."""
    nodes = tuple(nodes)
    return scopes(nodes) or [Scope(SyntaxNode("", 0, ()), {}, tuple(find(nodes, "zone")))]


def views_and_top(nodes: Iterable[SyntaxNode]) -> Iterator[Iterable[SyntaxNode]]:
    """Yield the statements outside views, and those of each view."""
    nodes = tuple(nodes)
    yield nodes
    for view in find(nodes, "view"):
        yield view.body


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
    default = port_number(_after(forwarders.words, "port"))
    for node in forwarders.body:
        written = _after(node.words, "port")
        port = port_number(written) if written else default
        if (written and port is None) or (node.words and not is_address(node.words[0])):
            port = 0
        yield WrittenUpstream(node, " ".join(node.words), node.words[0] if node.words else "", port)


def _after(words: tuple[str, ...], name: str) -> str:
    lower = [one.lower() for one in words]
    return words[lower.index(name) + 1] if name in lower[:-1] else ""


def groups(nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]) -> list[ZoneUpstreams]:
    """Return who gets Consul's names; and the reverse names, where these go to the same."""
    found = []
    for zone in zones(nodes):
        name, kind = zone_name(zone), zone_type(zone)
        consul = any(under(name, domain) for domain in domains)
        if not (consul or is_reverse(name)) or kind not in {FORWARD, *ASKING}:
            continue
        servers = zone.last("forwarders") if kind == FORWARD else zone.last(*ASKING[kind])
        upstreams = tuple(_upstreams(servers)) if servers else ()
        if kind != FORWARD:
            # They ask on port 53, as is known to whoever writes them.
            upstreams = tuple(
                one._replace(port=DNS_PORT) if one.port is None else one
                for one in upstreams
                if is_address(one.address)  # else a list of its own
            )
        if consul or upstreams:
            found.append(ZoneUpstreams(servers or zone, name, upstreams))
    if "" in domains:
        for scope in scopes(nodes):
            if (general := scope.setting("forwarders")) is not None and general.body:
                found.append(ZoneUpstreams(general, "", tuple(_upstreams(general))))
    return found


def names_of(block: SyntaxNode, name: str) -> set[str]:
    """Return the names all statements of a name in a block give."""
    return {normal(found.value) for found in block.find(name)}


def to_agents(ctx: Context, scope: Scope) -> bool:
    """Has the scope a zone for a domain of Consul's that asks others?"""
    return any(
        zone_type(zone) in {FORWARD, *ASKING} and ctx.domain_of(zone_name(zone))
        for zone in scope.zones
    )


def anchors(nodes: Iterable[SyntaxNode]) -> set[str]:
    """Return the names trust is anchored at, in views too."""
    names = ("trust-anchors", "trusted-keys", "managed-keys")
    nodes = tuple(nodes)
    blocks = list(find(nodes, *names))
    for view in find(nodes, "view"):
        blocks += view.find(*names)
    return {normal(one.words[0]) for block in blocks for one in block.body if one.words}


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
