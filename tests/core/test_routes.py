"""Which rule a name falls under: longest suffix, label by label."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from consulfwd.core.health import Health
from consulfwd.core.order import Group
from consulfwd.core.routes import Kind, Route, Routes, describe
from consulfwd.core.special import special_routes
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
        *special_routes(),
        Route(from_text("10.in-addr.arpa"), Kind.NOTHING),
        Route(from_text("16.172.in-addr.arpa"), Kind.NOTHING),
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


def test_a_route_in_words() -> None:
    assert describe(ROUTES.find(from_text("web.consul"))) == (
        "consul. -> Consul agents (the Consul domain)"
    )
    assert describe(Route(ROOT, Kind.RECURSE)) == ". -> recursors"
