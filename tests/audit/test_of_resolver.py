"""Rules about consulfwd's own settings, each at its boundary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from consulfwd.audit.settings import resolver
from consulfwd.audit.site import AgentConfig, AskedAgent, Resolver, Target, Zone
from consulfwd.config import Settings
from tests.audit.sites import SOUND, instance, keys, node, service, site

FAR = (node("far", "192.0.2.1"), node("near", "10.1.0.9"))


def with_(**fields: Any) -> list[str]:
    return keys(site(resolver=replace(SOUND, **fields), nodes=FAR))


def asked(*places: tuple[str, str], **fields: Any) -> tuple[AskedAgent, ...]:
    return tuple(
        AskedAgent(f"{at}:{n}", at, node=on, **fields) for n, (at, on) in enumerate(places)
    )


@pytest.mark.parametrize(
    ("agents", "catalogs", "expected"),
    [
        (asked(("10.1.0.1", "a"), ("10.2.0.1", "b")), (), []),
        (asked(("10.1.0.1", "a")), (), ["one-agent:consul.agents"]),
        (asked(("10.1.0.1", "a")), ("",), ["one-seed:consul.agents"]),
        (asked(("10.1.0.1", ""), ("10.1.0.1", "")), (), ["agents-one-node:consul.agents"]),
        # By two addresses it is one node all the same.
        (asked(("127.0.0.1", "near"), ("10.1.0.9", "near")), (), ["agents-one-node:consul.agents"]),
        (asked(("10.1.0.1", "a"), ("10.1.0.2", "b")), (), ["agents-one-subnet:consul.agents"]),
        (asked(("10.1.0.1", "a"), datacenter="dc2"), (), ["one-agent:consul.datacenters.dc2"]),
        (asked(("10.1.0.1", "a"), datacenter="dc2"), ("dc2",), ["one-seed:consul.datacenters.dc2"]),
    ],
)
def test_agents(
    agents: tuple[AskedAgent, ...], catalogs: tuple[str, ...], expected: list[str]
) -> None:
    assert with_(agents=agents, catalogs=frozenset(catalogs)) == expected


def test_agents_in_one_network_where_there_is_no_other() -> None:
    agents = asked(("10.1.0.1", "a"), ("10.1.0.2", "b"))
    nodes = (node("a", "10.1.0.1"), node("b", "10.1.0.2"))
    found = site(servers=None, nodes=nodes, resolver=replace(SOUND, agents=agents))
    # That the site is in one network is told of the site.
    assert keys(found) == ["one-subnet:site"]


def test_one_that_is_silent() -> None:
    agents = (*SOUND.agents[:2], replace(SOUND.agents[2], silent="connection refused"))
    assert with_(agents=agents) == ["agent-silent:10.3.0.1:8600"]


@pytest.mark.parametrize(
    ("recursors", "expected"),
    [
        ((), []),
        (("192.0.2.1",), ["one-recursor:recursors"]),
        (("192.0.2.1", "192.0.2.1"), ["one-recursor:recursors"]),
        (("192.0.2.1", "192.0.2.2"), ["recursors-one-network:recursors"]),
        (("192.0.2.1", "192.0.3.1"), []),
    ],
)
def test_recursors(recursors: tuple[str, ...], expected: list[str]) -> None:
    assert with_(recursors=recursors) == expected


@pytest.mark.parametrize(("kept", "expected"), [(0.0, ["no-stale:cache.stale_for"]), (1.0, [])])
def test_stale(kept: float, expected: list[str]) -> None:
    assert with_(stale_for=kept) == expected


@pytest.mark.parametrize(
    ("ttl", "interval", "expected"),
    [
        (10.0, None, []),
        (10.1, None, ["service-ttl:service_ttl *", "min-ttl:cache.min_ttl"]),
        (30.0, 30.0, []),
        (30.1, 30.0, ["service-ttl:service_ttl *", "min-ttl:cache.min_ttl"]),
        # The slowest check counts, and none makes it less than 10 s.
        (10.0, 1.0, []),
    ],
)
def test_ttls(ttl: float, interval: float | None, expected: list[str]) -> None:
    intervals = () if interval is None else (1.0, interval)
    web = service("web", *(instance(one, intervals=intervals) for one in FAR))
    found = site(
        web,
        configs=(AgentConfig("s1", True, service_ttls={"*": ttl}),),
        resolver=replace(SOUND, min_ttl=ttl),
    )
    assert keys(found) == expected


def test_a_service_ttl_of_one_service_is_held_to_its_checks() -> None:
    web = service("web", *(instance(one, intervals=(60.0,)) for one in FAR))
    for ttl, expected in ((60.0, []), (61.0, ["service-ttl:service_ttl web"])):
        configs = (AgentConfig("s1", True, service_ttls={"web": ttl, "api": 10.0}),)
        assert keys(site(web, configs=configs)) == expected


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (Zone("z", 60, True, (Target("t", 2),)), []),
        (Zone("z", 61, True, (Target("t", 2),)), ["zone-ttl:z"]),
        (Zone("z", 60, False, (Target("t", 2),)), ["one-publisher:z"]),
        # One that goes nowhere is only shown.
        (Zone("z", 60, False, ()), []),
        (Zone("z", 60, True, (Target("t", 1),)), ["one-target-server:z t"]),
        (Zone("z", 60, True, (Target("t", 0),)), []),
    ],
)
def test_zones(zone: Zone, expected: list[str]) -> None:
    assert with_(zones=(zone,)) == expected


def test_what_settings_come_to() -> None:
    primary = {"listen": ["10.1.0.1:53"], "notify": ["10.5.0.1:53"], "unsigned": True}
    given: dict[str, Any] = {
        "consul": {
            "agents": {"from_catalog": True, "seeds": ["10.1.0.1", "10.2.0.1:8601"]},
            "datacenters": {"dc2": {"agents": ["10.3.0.1"]}},
        },
        "recursors": ["192.0.2.1", "tls://192.0.2.2#dns.example"],
        "cache": {"stale_for": 7, "min_ttl": 3},
        "zones": [
            {
                "origin": "svc.example.com",
                "ns": ["ns.example.com"],
                "ttls": {"web": 90},
                "lock": {"enabled": False},
                "targets": [
                    {"rfc2136": {"servers": ["10.9.0.1:53", "10.9.0.1:54"]}},
                    {"primary": primary},
                    {"file": {"path": "/etc/zone"}},
                ],
            }
        ],
    }
    targets = (
        Target("rfc2136 10.9.0.1", 1),
        Target("primary 10.5.0.1", 1),
        Target("file /etc/zone", 0),
    )
    assert resolver(Settings(**given)) == Resolver(
        agents=(
            AskedAgent("10.1.0.1:8600", "10.1.0.1"),
            AskedAgent("10.2.0.1:8601", "10.2.0.1"),
            AskedAgent("10.3.0.1:8600", "10.3.0.1", "dc2"),
        ),
        catalogs=frozenset({""}),
        recursors=("192.0.2.1", "192.0.2.2"),
        stale_for=7,
        min_ttl=3,
        zones=(Zone("svc.example.com", 90, False, targets),),
    )
