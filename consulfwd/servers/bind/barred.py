"""Agents BIND is told never to ask: by `blackhole`, or as `bogus` servers.

What belongs here: which addresses such lists have. Who may ask BIND is for `access`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import islice

from consulfwd.servers.bind.model import views_and_top
from consulfwd.servers.findings import Context, Hit, LintRule
from consulfwd.servers.names import is_address
from consulfwd.servers.sending import listed
from consulfwd.servers.syntax import MAX_DEPTH, SyntaxNode, find

Network = IPv4Network | IPv6Network
MAX_MEMBERS = 10_000
MAX_AGENTS = 64


def _network(text: str) -> Network | None:
    """Return the network an element of a list is, as far as it is one."""
    # 10/8 is short for 10.0.0.0/8.
    address, slash, length = text.partition("/")
    if slash and ":" not in address:
        address = ".".join([*address.split("."), "0", "0", "0"][:4])
    try:
        return ip_network(address + slash + length, strict=False)
    except ValueError:
        return None


class AddressLists:
    """Lists of addresses with the acl statements they may name: the first that matches holds."""

    def __init__(self, nodes: Iterable[SyntaxNode]) -> None:
        self._named = {node.value.lower(): node for node in find(nodes, "acl")}

    def has(self, ruling: SyntaxNode, address: str) -> bool:
        """Is an address in a list? What depends on this host's own addresses is not."""
        left = [MAX_MEMBERS]
        return self._matched(ruling.body, address, (), left) is True

    def _matched(
        self, body: Iterable[SyntaxNode], address: str, way: tuple[str, ...], left: list[int]
    ) -> bool | None:
        """Return whether the first element that matches takes the address in; None for none."""
        for element in body:
            left[0] -= 1
            if left[0] < 0:
                return None
            text = "".join(element.words).lower()
            taken, name = not text.startswith("!"), text.removeprefix("!")
            inner: bool | None = None
            if element.body and not name:
                inner = self._matched(element.body, address, way, left)
            elif name in self._named and name not in way and len(way) < MAX_DEPTH:
                inner = self._matched(self._named[name].body, address, (*way, name), left)
            elif name in {"any", "none"}:
                inner = name == "any" or None
            elif (network := _network(name)) is not None:
                inner = ip_address(address) in network or None
            # What a list within it excepts goes on to the elements behind it.
            if inner:
                return taken
        return None


def _peers(ctx: Context) -> list[tuple[Network, SyntaxNode]]:
    """Return the server statements with their networks, unless none of them is bogus."""
    nodes = [node for block in views_and_top(ctx.nodes) for node in find(block, "server")]
    if not any(node.last("bogus") for node in nodes):
        return []
    found = ((_network(node.value), node) for node in nodes[:MAX_MEMBERS])
    return [(network, node) for network, node in found if network is not None]


def _bogus(peers: list[tuple[Network, SyntaxNode]], address: str) -> SyntaxNode | None:
    """Return the server statement that holds for an address, if that calls it bogus."""
    read = ip_address(address)
    holding = (peer for peer in peers if read in peer[0])
    _, node = max(holding, key=lambda peer: peer[0].prefixlen, default=(None, None))
    said = node.last("bogus") if node else None
    return node if said and said.value.lower() in {"yes", "true", "1"} else None


def barred(ctx: Context) -> Iterator[Hit]:
    """Agents that are never asked."""
    lists = AddressLists(ctx.nodes)
    holes = [one for node in find(ctx.nodes, "options") for one in node.find("blackhole")]
    named = (one.address for group in ctx.consul_groups() for one in group.upstreams)
    addresses = (one for one in dict.fromkeys(named) if is_address(one) and "%" not in one)
    agents = list(islice(addresses, MAX_AGENTS))
    for hole in holes[-1:]:
        if caught := [one for one in agents if lists.has(hole, one)]:
            what = f"blackhole has {listed(caught)} in it"
            mend = f"before all else in the list: {' '.join(f'!{one};' for one in caught[:4])}"
            yield Hit(hole, what, mend)
    bogus: dict[int, tuple[SyntaxNode, list[str]]] = {}
    peers = _peers(ctx)
    for address in agents:
        if (found := _bogus(peers, address)) is not None:
            bogus.setdefault(id(found), (found, []))[1].append(address)
    for node, caught in bogus.values():
        what = f"server {node.value} is bogus, which holds for {listed(caught)}"
        excepted = "\n".join(f"server {one} {{ bogus no; }};" for one in caught[:4])
        yield Hit(node, what, f"take bogus out, or have beside it:\n{excepted}")


RULES = (
    LintRule(
        "bind-agent-barred",
        "error",
        "BIND never asks such a server: Consul's names end in SERVFAIL where no other agent"
        " answers",
        barred,
    ),
)
