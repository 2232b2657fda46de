"""Names and addresses as configurations spell them: what lies under what, private zones.

Pure. Names are compared in lower case, without the dot at the end; the root is the empty name.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from consulfwd.core import public_resolvers
from consulfwd.core.special import PRIVATE_NETWORKS
from consulfwd.dns.names import reverse_zones, to_text

MAX_NAME = 255
REVERSE = ("in-addr.arpa", "ip6.arpa")

# What a resolver takes to be empty unless told otherwise (RFC 6303, RFC 7793, RFC 8375), sorted as
# the addresses are.
_EMPTY_NETWORKS = sorted(
    map(ip_network, (*PRIVATE_NETWORKS, "127.0.0.0/8", "::1/128")),
    key=lambda network: (network.version, network.network_address.packed),
)
EMPTY_ZONES = (
    *(
        to_text(zone).removesuffix(".")
        for network in _EMPTY_NETWORKS
        for zone in reverse_zones(network)
    ),
    "home.arpa",
)


def normal(name: str) -> str:
    """Return a name as it is compared."""
    return name.strip().rstrip(".").lower()


def within(name: str, zone: str) -> bool:
    """Return whether a name is a zone's own, or below it; both in lower case, no dot at the end.

    What begins with a dot is no name; one with an asterisk has no names below it (RFC 4592).
    """
    return name == zone or (name.endswith(f".{zone}") and name[:1] not in {".", "*"})


def under(name: str, zone: str) -> bool:
    """Is the name the zone's own, or below it? Both as `normal` returns them."""
    return not zone or within(name, zone)


def around(name: str) -> Iterator[str]:
    """Yield a name and the zones it lies in, the root last.

    What is too long for a name lies in none.
    """
    yield name
    while name and len(name) < MAX_NAME:
        name = name.partition(".")[2]
        yield name


def is_reverse(name: str) -> bool:
    """Is it a zone of reverse names?"""
    return any(under(name, zone) for zone in REVERSE)


def private_zone(name: str) -> str | None:
    """Return the zone answered by default that a reverse name lies in."""
    return next((zone for zone in EMPTY_ZONES if under(name, zone)), None)


def is_address(text: str) -> bool:
    """Is it an IPv4 or IPv6 address, with or without a scope?"""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_public(text: str) -> bool:
    """Is it the address of a well-known public resolver?"""
    return is_address(text) and public_resolvers.is_public(text)


# What stands right before the domain, and is no datacenter.
_KINDS = frozenset({"service", "node", "query", "addr", "virtual", "connect", "ingress"})
# After the name of a partition, a namespace, a peer, a sameness group.
_TENANCY = frozenset({"ap", "ns", "peer", "sg"})


def consul_question(zone: str, domain: str) -> str:
    """Return the name of Consul's own service that a server of this zone must know."""
    labels = zone.removesuffix(domain).rstrip(".").split(".")
    # dc2.dc.consul is dc2.consul, written so that it is no tenancy; a zone dc.consul may have both.
    if labels[-1] == "dc":
        labels.pop()
    if not labels or not labels[-1] or labels[-1] in _KINDS | _TENANCY:
        return f"consul.service.{domain}"
    # The label next to the domain is a datacenter.
    return f"consul.service.{labels[-1]}.{domain}"
