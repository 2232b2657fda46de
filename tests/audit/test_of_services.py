"""Rules about services, each at its boundary."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.audit.site import AgentConfig, Definition, Limits, Service
from tests.audit.sites import instance, keys, node, report, service, site

A, B, C = node("a", "10.1.0.1"), node("b", "10.2.0.1"), node("c", "10.3.0.1")
R1, R2 = node("a", "10.1.0.1", "r1"), node("b", "10.2.0.1", "r1")
R3 = node("c", "10.3.0.1", "r2")
DOWN = instance(B, healthy=False)


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([A, B], []),
        ([A], ["one-instance:web"]),
        ([A, DOWN], ["one-instance:web"]),
        ([DOWN], ["none-healthy:web"]),
        ([], ["none-healthy:web"]),
        ([A, instance(A, id="two")], ["one-node:web"]),
        ([A, instance(A, id="two"), B], []),
        # Healthy ones count.
        ([A, instance(A, id="two"), DOWN], ["one-node:web"]),
        # Two nodes at one address are one host.
        ([A, node("other", "10.1.0.1")], ["one-node:web"]),
        ([instance(A, address="10.9.9.9"), instance(B, address="10.9.9.9")], ["one-address:web"]),
        ([R1, R2], ["one-rack:web"]),
        ([R1, R3], []),
        # A rack that is not known is none.
        ([R1, B], []),
        ([R1], ["one-instance:web"]),
        ([instance(A), instance(B, checks=0)], ["no-check:web"]),
    ],
)
def test_where_instances_are(instances: list[Any], expected: list[str]) -> None:
    assert keys(site(service("web", *instances), nodes=(A, B, C))) == expected


@pytest.mark.parametrize(
    ("addresses", "prefix", "expected"),
    [
        (("10.1.0.1", "10.1.0.254"), 24, ["one-subnet:web"]),
        (("10.1.0.1", "10.1.1.1"), 24, []),
        (("10.1.0.1", "10.1.1.1"), 23, ["one-subnet:web"]),
        (("10.1.0.1", "10.1.0.129"), 25, []),
        (("2001:db8::1", "2001:db8::ffff:2"), 24, ["one-subnet:web"]),
        (("2001:db8::1", "2001:db8:0:1::1"), 24, []),
        (("10.1.0.1", "host.example"), 24, []),
        (("::ffff:10.1.0.1", "10.1.0.2"), 24, ["one-subnet:web"]),
    ],
)
def test_networks(addresses: tuple[str, str], prefix: int, expected: list[str]) -> None:
    two = [node(name, at) for name, at in zip("ab", addresses, strict=True)]
    found = site(service("web", *two), nodes=(*two, node("far", "192.0.2.1")))
    assert keys(found, Limits(ipv4_prefix=prefix)) == expected


def test_a_site_in_one_network_is_told_once() -> None:
    two = [node(name, f"10.1.0.{n}") for n, name in enumerate("ab", 1)]
    found = site(service("web", *two), service("api", *two), servers=None)
    assert keys(found) == ["one-subnet:site"]


def test_proxies_go_with_what_they_are_beside() -> None:
    assert keys(site(service("web-sidecar-proxy", A, proxy=True), nodes=(A, B))) == []


def test_only_what_is_selected_is_told() -> None:
    assert keys(site(service("web", A), nodes=(A, B), selected=frozenset())) == []


@pytest.mark.parametrize(
    ("elsewhere", "expected"),
    [({}, []), ({"dc2": {"web"}}, []), ({"dc2": {"api"}}, ["one-datacenter:web"])],
)
def test_other_datacenters(elsewhere: dict[str, set[str]], expected: list[str]) -> None:
    there = {name: frozenset(one) for name, one in elsewhere.items()}
    assert keys(site(service("web", A, B), elsewhere=there)) == expected


@pytest.mark.parametrize(
    ("kind", "failures", "deregisters", "expected"),
    [
        ("interval", 0, False, ["no-threshold:web"]),
        ("interval", 1, False, []),
        ("ttl", 0, False, ["ttl-stays:web"]),
        ("ttl", 0, True, []),
        ("alias", 0, False, []),
    ],
)
def test_definitions(kind: str, failures: int, deregisters: bool, expected: list[str]) -> None:
    definition = Definition("web", kind, failures, 0, 10.0, deregisters)
    other = Definition("not here", "interval", 0, 0, 10.0, False)
    config = AgentConfig("a", True, definitions=(definition, other))
    assert keys(site(service("web", A, B), configs=(config,))) == expected


def test_sentences_say_what_falls_and_how_to_mend_it() -> None:
    (one,) = report(site(service("web", A, DOWN), nodes=(A, B))).findings
    assert one.what == "web falls with a: it has the one of 2 instances that is healthy"
    assert one.mend == "bring the others back"
    three = service("web", *(instance(A, id=str(n)) for n in range(3)))
    (one,) = report(site(three, nodes=(A, B))).findings
    assert one.what == "web falls with a: all 3 instances are there"


def test_a_service_of_names_alone_is_down() -> None:
    assert not Service("x", ()).healthy
