"""Which rule a name falls under: longest suffix, label by label; names answered here."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from consulfwd.core.order import Group
from consulfwd.core.routes import (
    Kind,
    Route,
    Routes,
    describe,
    localhost_rdatas,
    special_routes,
)
from consulfwd.core.upstreams import Health
from consulfwd.dns import const
from consulfwd.dns.names import ROOT, from_text, reverse_name, reverse_zones, to_text
from tests.core.play import upstream


def group(name: str) -> Group:
    return Group(name, [upstream(name)], "ordered", Health())


RECURSE = Route(ROOT, Kind.RECURSE, (group("R"),), "no other rule matches")
ROUTES = Routes(
    [
        *(
            Route(zone, Kind.CONSUL, (group("A"),), "reverse lookups in 10.1.0.0/16", then=RECURSE)
            for zone in reverse_zones(ip_network("10.1.0.0/16"))
        ),
        Route(from_text("consul"), Kind.CONSUL, (group("A"),), "the Consul domain"),
        Route(from_text("dc2.consul"), Kind.CONSUL, (group("B"),), "datacenter dc2"),
        Route(from_text("corp.example"), Kind.FORWARD, (group("RF"),), "a conditional zone"),
        *special_routes(public_recursors=True),
        RECURSE,
    ]
)

# Name -> the zone whose route it falls under.
FOUND = {
    "consul": "consul.",
    "web.service.consul": "consul.",
    "dc2.consul": "dc2.consul.",
    "web.service.dc2.consul": "dc2.consul.",
    "web.service.xdc2.consul": "consul.",
    "dc2.consul.consul": "consul.",
    "notconsul": ".",
    "web.notconsul": ".",
    "consul.example": ".",
    "consul.example.com": ".",
    "corp.example": "corp.example.",
    "www.corp.example": "corp.example.",
    "xcorp.example": ".",
    "example": ".",
    ".": ".",
    "localhost": "localhost.",
    "www.localhost": "localhost.",
    "localhost.example": ".",
    "invalid": "invalid.",
    "a.b.invalid": "invalid.",
    "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion": "onion.",
    "3.2.1.10.in-addr.arpa": "1.10.in-addr.arpa.",
    "1.10.in-addr.arpa": "1.10.in-addr.arpa.",
    "3.2.11.10.in-addr.arpa": "10.in-addr.arpa.",
    "10.in-addr.arpa": "10.in-addr.arpa.",
    "1.110.in-addr.arpa": ".",
    "1.0.0.127.in-addr.arpa": "127.in-addr.arpa.",
    "1.16.172.in-addr.arpa": "16.172.in-addr.arpa.",
    "1.32.172.in-addr.arpa": ".",
    "8.8.8.8.in-addr.arpa": ".",
}


@pytest.mark.parametrize("name", FOUND)
def test_the_longest_suffix_decides(name: str) -> None:
    assert to_text(ROUTES.find(from_text(name)).zone) == FOUND[name]


def test_a_label_that_ends_in_a_zone_is_not_under_it() -> None:
    # One label "x\006consul": its last octets are the wire form of the zone.
    assert ROUTES.find(b"\x08x\x06consul\0").zone == ROOT


def test_only_the_apex_is_a_consul_zone() -> None:
    apexes = ["consul", "dc2.consul", "web.consul", "corp.example", "."]
    assert [ROUTES.consul_zone(from_text(name)) for name in apexes] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_the_first_route_of_a_zone_counts_and_the_root_has_one() -> None:
    first = Route(from_text("consul"), Kind.CONSUL, why="first")
    routes = Routes([first, Route(from_text("consul"), Kind.FORWARD, why="second")])
    assert routes.find(from_text("web.consul")).why == "first"
    root = routes.find(from_text("example"))
    assert (root.kind, root.groups, root.plan()) == (Kind.RECURSE, (), ())
    assert [to_text(route.zone) for route in routes] == ["consul.", "."]


def test_reverse_lookups_fall_through() -> None:
    route = ROUTES.find(reverse_name(ip_address("10.1.2.3")))
    assert (route.kind, route.then) == (Kind.CONSUL, RECURSE)
    assert ROUTES.find(reverse_name(ip_address("10.2.2.3"))).then is None


PRIVATE = ["10.0.0.1", "172.31.255.255", "192.168.7.7", "169.254.1.1", "fd12::1", "fe80::1", "::"]


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("address", [*PRIVATE, "8.8.8.8", "2606:4700::1111"])
def test_private_reverse_zones_are_answered_here_when_recursors_are_public(
    address: str, public: bool
) -> None:
    routes = Routes(special_routes(public_recursors=public))
    kind = routes.find(reverse_name(ip_address(address))).kind
    assert (kind is Kind.NOTHING) is (public and address in PRIVATE)


def test_which_routes_are_answered_here() -> None:
    kinds = {route.kind for route in ROUTES if route.local}
    assert kinds == {Kind.LOCALHOST, Kind.NOTHING}


@pytest.mark.parametrize(
    ("name", "qtype", "rcode", "rdatas"),
    [
        ("localhost", const.A, const.NOERROR, [b"\x7f\0\0\1"]),
        ("a.localhost", const.AAAA, const.NOERROR, [bytes(15) + b"\1"]),
        ("localhost", const.MX, const.NOERROR, []),
        ("1.0.0.127.in-addr.arpa", const.PTR, const.NOERROR, [b"\x09localhost\0"]),
        ("9.8.7.127.in-addr.arpa", const.PTR, const.NOERROR, [b"\x09localhost\0"]),
        ("1.0.0.127.in-addr.arpa", const.A, const.NOERROR, []),
        ("127.in-addr.arpa", const.SOA, const.NOERROR, []),
        ("0.127.in-addr.arpa", const.PTR, const.NXDOMAIN, []),
        ("256.0.0.127.in-addr.arpa", const.PTR, const.NXDOMAIN, []),
        (ip_address("::1").reverse_pointer, const.PTR, const.NOERROR, [b"\x09localhost\0"]),
    ],
)
def test_localhost(name: str, qtype: int, rcode: int, rdatas: list[bytes]) -> None:
    assert localhost_rdatas(from_text(name), qtype) == (rcode, rdatas)


def test_a_route_in_words() -> None:
    assert describe(ROUTES.find(from_text("web.consul"))) == (
        "consul. -> Consul agents (the Consul domain)"
    )
    assert describe(Route(ROOT, Kind.RECURSE)) == ". -> recursors"
