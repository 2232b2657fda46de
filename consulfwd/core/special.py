"""Special names: what is answered here, and who knows the reverse names of private networks.

Routes like any other, for names that nobody else is to be asked for (RFC 6303, RFC 6761, RFC 7686,
RFC 9462). Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network

from consulfwd.core.order import Group
from consulfwd.core.routes import Kind, Route, longest
from consulfwd.core.upstreams import Upstream
from consulfwd.dns import const
from consulfwd.dns.names import from_text, reverse_address, reverse_zones

# Whose reverse names the public DNS does not have (RFC 6303 section 4, RFC 7793).
PRIVATE_NETWORKS = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.2.0/24",
    "192.168.0.0/16", "198.51.100.0/24", "203.0.113.0/24", "255.255.255.255/32", "::/128",
    "fd00::/8", "fe80::/10", "2001:db8::/32",
)  # fmt: skip
OWN_ONLY = "a private reverse zone: only for servers of the site's own (RFC 6303)"
UNKNOWN = "a private reverse zone, unknown to public resolvers (RFC 6303)"


def special_routes() -> list[Route]:
    """Return the routes for names that are answered here, whoever else may be asked."""
    loopback = reverse_zones(ip_network("::1/128"))[0]
    designated = "no resolver is designated for this one (RFC 9462)"
    return [
        Route(from_text("localhost"), Kind.LOCALHOST, why="localhost is this host (RFC 6761)"),
        Route(from_text("127.in-addr.arpa"), Kind.LOCALHOST, why="loopback addresses (RFC 6303)"),
        Route(loopback, Kind.LOCALHOST, why="loopback (RFC 6303)"),
        Route(from_text("invalid"), Kind.NOTHING, why="invalid never exists (RFC 6761)"),
        Route(from_text("onion"), Kind.NOTHING, why="onion names are not in the DNS (RFC 7686)"),
        Route(from_text("resolver.arpa"), Kind.NO_DATA, why=designated),
    ]


def private_routes(
    routes: Mapping[bytes, Route], own: Callable[[Upstream], bool]
) -> Iterator[Route]:
    """Yield the routes of the private reverse zones, given all others by zone.

    Of those who would be asked, only the site's `own` are; where there is none of these the zone
    is answered here. One that has a route of its own is left to that.
    """
    parts: dict[Group, Group] = {}
    for network in PRIVATE_NETWORKS:
        for zone in reverse_zones(ip_network(network)):
            route = longest(routes, zone)
            if route is None or route.zone == zone or not route.groups:
                continue
            for group in route.groups:
                if group not in parts:
                    parts[group] = group.part(own)
            groups = tuple(parts[group] for group in route.groups if parts[group].members)
            if groups:
                yield Route(zone, route.kind, groups, OWN_ONLY)
            else:
                yield Route(zone, Kind.NOTHING, why=UNKNOWN)


def localhost_rdatas(name: bytes, qtype: int) -> tuple[int, list[bytes]]:
    """Return (rcode, data) for a query under a LOCALHOST route (RFC 6761 section 6.3)."""
    if name.endswith(b"\x04arpa\0"):
        address = reverse_address(name)
        if address is None or not address.is_loopback:
            return (const.NOERROR if name == from_text("127.in-addr.arpa") else const.NXDOMAIN), []
        return const.NOERROR, [from_text("localhost.")] if qtype == const.PTR else []
    if qtype == const.A:
        return const.NOERROR, [bytes((127, 0, 0, 1))]
    if qtype == const.AAAA:
        return const.NOERROR, [bytes(15) + b"\1"]
    return const.NOERROR, []
