"""Names answered here, and whom the reverse names of private networks are asked of."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from consulfwd.core.health import Health
from consulfwd.core.order import Group
from consulfwd.core.routes import Kind, Route, Routes
from consulfwd.core.special import (
    OWN_ONLY,
    UNKNOWN,
    localhost_rdatas,
    private_routes,
    special_routes,
)
from consulfwd.core.upstreams import Upstream
from consulfwd.dns import const
from consulfwd.dns.names import ROOT, from_text, reverse_name
from tests.core.play import upstream

PRIVATE = [
    "0.1.2.3", "10.0.0.1", "100.64.0.0", "100.127.255.255", "169.254.1.1", "172.16.0.0",
    "172.31.255.255", "192.0.2.1", "192.168.7.7", "198.51.100.1", "203.0.113.1", "255.255.255.255",
    "::", "fd12::1", "fe80::1", "febf::1", "2001:db8::1",
]  # fmt: skip
OTHERS = [
    "8.8.8.8", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
    "192.169.0.0", "255.255.255.254", "::2", "fc00::1", "fec0::1", "2001:db9::1", "2606:4700::1111",
]  # fmt: skip
OWN, SECOND, PUBLIC = upstream("R-own"), upstream("R-second"), upstream("R-public")


def own(one: Upstream) -> bool:
    return one is not PUBLIC


def group(*members: Upstream) -> Group:
    return Group("recursors", members, "ordered", Health())


def given(*routes: Route) -> Routes:
    """Return all routes there are beside these."""
    by_zone = {route.zone: route for route in (*special_routes(), *routes)}
    return Routes([*by_zone.values(), *private_routes(by_zone, own)])


def asked(routes: Routes, address: str) -> list[Upstream]:
    return list(routes.find(reverse_name(ip_address(address))).plan())


@pytest.mark.parametrize(
    ("recursors", "who"),
    [
        ([OWN], [OWN]),
        ([OWN, PUBLIC], [OWN]),
        ([PUBLIC, SECOND, OWN], [SECOND, OWN]),
        ([PUBLIC], []),
        ([], []),
    ],
)
def test_whom_private_names_are_asked_of(recursors: list[Upstream], who: list[Upstream]) -> None:
    routes = given(Route(ROOT, Kind.RECURSE, (group(*recursors),) if recursors else ()))
    assert [asked(routes, address) for address in PRIVATE] == [who] * len(PRIVATE)
    assert [asked(routes, address) for address in OTHERS] == [recursors] * len(OTHERS)
    found = {routes.find(reverse_name(ip_address(address))).why for address in PRIVATE}
    assert found == ({OWN_ONLY if who else UNKNOWN} if recursors else {""})


def test_all_private_zones_share_a_group() -> None:
    assert len(given(Route(ROOT, Kind.RECURSE, (group(OWN),))).groups) == 1
    assert len(given(Route(ROOT, Kind.RECURSE, (group(PUBLIC),))).groups) == 1
    assert len(given(Route(ROOT, Kind.RECURSE, (group(OWN, SECOND, PUBLIC),))).groups) == 2


def test_a_zone_with_a_route_of_its_own_is_left_to_that() -> None:
    routes = given(
        Route(ROOT, Kind.RECURSE, (group(PUBLIC),)),
        Route(from_text("10.in-addr.arpa"), Kind.FORWARD, (group(PUBLIC),)),
        Route(from_text("1.168.192.in-addr.arpa"), Kind.FORWARD, (group(PUBLIC),)),
        Route(from_text("ip6.arpa"), Kind.FORWARD, (group(PUBLIC, OWN),)),
    )
    addresses = ["10.0.0.1", "192.168.1.1", "192.168.2.1", "172.16.0.1", "fd12::1"]
    assert [asked(routes, address) for address in addresses] == [[PUBLIC], [PUBLIC], [], [], [OWN]]
    assert routes.find(reverse_name(ip_address("fd12::1"))).kind is Kind.FORWARD


def test_what_an_own_server_said_is_good_when_a_public_one_joins_it() -> None:
    zone = from_text("10.in-addr.arpa")
    alone = Route(ROOT, Kind.RECURSE, (group(OWN),))
    joined = Route(ROOT, Kind.RECURSE, (group(PUBLIC, OWN),))
    public = Route(ROOT, Kind.RECURSE, (group(PUBLIC),))
    seen: list[bytes] = []
    before: Routes | None = None
    for root in (alone, joined, alone, public, joined):
        by_zone = {root.zone: root}
        before = Routes([root, *private_routes(by_zone, own)], before)
        seen.append(before.find(zone).origin)
    assert seen[0] == seen[1] == seen[2]
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("localhost", Kind.LOCALHOST),
        ("1.0.0.127.in-addr.arpa", Kind.LOCALHOST),
        ("x.invalid", Kind.NOTHING),
        ("x.onion", Kind.NOTHING),
        ("_dns.resolver.arpa", Kind.NO_DATA),
        ("resolver.arpa", Kind.NO_DATA),
        ("xresolver.arpa", Kind.RECURSE),
    ],
)
def test_what_is_answered_here(name: str, kind: Kind) -> None:
    route = given(Route(ROOT, Kind.RECURSE, (group(PUBLIC),))).find(from_text(name))
    assert (route.kind, route.local) == (kind, kind is not Kind.RECURSE)


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
