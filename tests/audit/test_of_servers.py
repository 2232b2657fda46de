"""Rules about Consul itself, each at its boundary."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.audit.site import AgentConfig
from tests.audit.sites import keys, node, server, site

FAR = node("far", "192.0.2.1")


def at(*addresses: str) -> tuple[Any, ...]:
    return tuple(server(n, address=one) for n, one in enumerate(addresses, 1))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, ["few-servers:site"]),
        (2, ["few-servers:site"]),
        (3, []),
        (4, ["even-servers:site"]),
        (5, []),
        (6, ["even-servers:site"]),
        (7, []),
    ],
)
def test_how_many(count: int, expected: list[str]) -> None:
    assert keys(site(servers=tuple(server(n) for n in range(count)))) == expected


def test_those_that_do_not_vote_do_not_count() -> None:
    servers = (*(server(n) for n in (1, 2, 3)), server(4, voter=False))
    assert keys(site(servers=servers)) == []


@pytest.mark.parametrize(("leader", "expected"), [("", ["no-leader:site"]), (None, []), ("x", [])])
def test_leader(leader: str | None, expected: list[str]) -> None:
    assert keys(site(leader=leader)) == expected


def test_servers_that_are_not_known_are_no_finding() -> None:
    assert keys(site(servers=None)) == []
    assert keys(site(servers=())) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"last_contact": 0.2}, []),
        ({"last_contact": 0.21}, ["server-lags:server-3"]),
        ({"last_index": 750}, []),
        ({"last_index": 749}, ["server-lags:server-3"]),
        ({"healthy": False}, ["server-lags:server-3"]),
        ({"healthy": None, "last_contact": None, "last_index": None, "alive": None}, []),
        ({"alive": False}, ["server-away:server-3"]),
        ({"alive": False, "healthy": False}, ["server-away:server-3"]),
    ],
)
def test_followers(fields: dict[str, Any], expected: list[str]) -> None:
    assert keys(site(servers=(server(1), server(2), server(3, **fields)))) == expected


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("10.1.0.1", "10.2.0.1", "10.3.0.1"), []),
        (("10.1.0.1", "10.1.0.1", "10.3.0.1"), ["servers-one-node:10.1.0.1"]),
        (("10.1.0.1", "10.1.0.2", "10.1.0.3"), ["servers-one-subnet:10.1.0.0/24"]),
        (("10.1.0.1", "10.1.0.2", "10.1.1.3"), []),
        (("10.1.0.1", "10.1.0.1", "10.3.0.1", "10.4.0.1", "10.5.0.1"), []),
    ],
)
def test_where_they_are(addresses: tuple[str, ...], expected: list[str]) -> None:
    assert keys(site(servers=at(*addresses), nodes=(FAR, node("b")))) == expected


@pytest.mark.parametrize(
    ("racks", "expected"),
    [
        ("abc", []),
        ("aab", ["servers-one-rack:a"]),
        ("aaa", ["servers-one-rack:a"]),
        ("aabbc", []),
        ("aaabc", ["servers-one-rack:a"]),
        ("a--", []),
    ],
)
def test_racks(racks: str, expected: list[str]) -> None:
    addresses = [f"10.{n}.0.1" for n in range(len(racks))]
    nodes = [
        node(f"n{n}", address, "" if rack == "-" else rack)
        for n, (address, rack) in enumerate(zip(addresses, racks, strict=True))
    ]
    assert keys(site(servers=at(*addresses), nodes=tuple(nodes))) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"gossip_encrypted": True, "acl": "deny", "clear_http": (), "rpc_encrypted": True}, []),
        ({"gossip_encrypted": False}, ["gossip-clear:site"]),
        ({"rpc_encrypted": False}, ["rpc-clear:site"]),
        ({"acl": "off"}, ["acl-off:site"]),
        ({"acl": "allow"}, ["acl-allow:site"]),
        ({"clear_http": ("10.1.0.1:8500",)}, ["http-clear:s1"]),
    ],
)
def test_what_goes_in_clear(fields: dict[str, Any], expected: list[str]) -> None:
    # What is not known is no finding; that it is not known is told where it is asked for.
    assert keys(site(configs=(AgentConfig("s1", True, **fields),))) == expected
