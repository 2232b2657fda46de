"""What a dnsmasq.conf means: who gets Consul's names, and the reverse names."""

from __future__ import annotations

from ipaddress import ip_network

from consulfwd.dns.names import reverse_zones, to_text
from consulfwd.servers.findings import WrittenUpstream, ZoneUpstreams
from consulfwd.servers.names import is_address, normal, under
from consulfwd.servers.rules import port_number
from consulfwd.servers.syntax import SyntaxNode, find

STANDARD = "#"


def split(value: str) -> tuple[list[str], str]:
    """Return the domains and the rest of `/domain/domain/rest`."""
    if not value.startswith("/"):
        return [], value
    *domains, rest = value[1:].split("/")
    # A # is all names; nothing between slashes is names of one label, where no agents are meant.
    named = (one.strip() for one in domains)
    return ["" if one == "#" else normal(one.lstrip("*.")) for one in named if one], rest.strip()


def upstream(node: SyntaxNode, text: str) -> WrittenUpstream:
    if text == STANDARD:
        return WrittenUpstream(node, "the standard servers", "", None)
    address, sharp, port = text.partition("@")[0].partition("#")
    read = port_number(port) if sharp else None
    if not is_address(address) and not address.replace("-", "").replace(".", "").isalnum():
        read = 0
    if (sharp and read is None) or ("]" in address or (":" in address and not is_address(address))):
        read = 0
    return WrittenUpstream(node, text, address, read)


def _reversed(network: str) -> list[str]:
    """Return the reverse zones of a network, or what stands there where it is none."""
    try:
        zones = reverse_zones(ip_network(network, strict=False))
    except ValueError:
        return [network]
    return [normal(to_text(zone)) for zone in zones]


def groups(nodes: tuple[SyntaxNode, ...], domains: tuple[str, ...]) -> list[ZoneUpstreams]:
    """Return who gets Consul's names, by the domain as it is written, and the reverse names."""
    found: dict[str, tuple[SyntaxNode, list[WrittenUpstream]]] = {}
    for node in find(nodes, "server", "local"):
        zones, rest = split(node.value)
        if not node.value.startswith("/") and "" in domains:
            zones = [""]
        for zone in zones:
            if any(under(zone, domain) for domain in domains):
                _, upstreams = found.setdefault(zone, (node, []))
                if rest:
                    upstreams.append(upstream(node, rest))
    for node in find(nodes, "rev-server"):
        network, _, rest = node.value.partition(",")
        for zone in _reversed(network) if rest else ():
            found.setdefault(zone, (node, []))[1].append(upstream(node, rest))
    return [
        ZoneUpstreams(node, zone, tuple(upstreams)) for zone, (node, upstreams) in found.items()
    ]
