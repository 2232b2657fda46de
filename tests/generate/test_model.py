"""What templates see of a site."""

from __future__ import annotations

from typing import Any

from consulfwd.config import Settings
from consulfwd.generate.building import build
from consulfwd.generate.model import NameServer, Site, Zone

HERE, THERE, ELSEWHERE = ((NameServer(f"10.0.0.{n}"),) for n in range(1, 4))


def site(*zones: Zone) -> Site:
    return Site("consul", zones, (), (), (), (1,))


def steps(*zones: Zone) -> list[list[str]]:
    return [[zone.name for zone in step] for step in site(*zones).steps]


def test_zones_with_the_same_servers_are_one_step_where_nothing_lies_between() -> None:
    assert steps(
        Zone("consul", HERE),
        Zone("dc2.consul", THERE),
        Zone("10.in-addr.arpa", HERE),
        Zone("11.in-addr.arpa", HERE),
        Zone("corp.example", THERE),
    ) == [
        ["10.in-addr.arpa", "11.in-addr.arpa"],
        ["dc2.consul", "corp.example"],
        ["consul"],
    ]


def test_names_below_others_come_before_them_whoever_is_asked() -> None:
    zones = [
        Zone("a.b.c.example", HERE),
        Zone("b.c.example", THERE),
        Zone("c.example", HERE),
        Zone("example", ELSEWHERE),
        Zone("x.other", THERE),
        Zone("other", HERE),
    ]
    for given in (zones, zones[::-1], zones[3:] + zones[:3]):
        found = [name for step in steps(*given) for name in step]
        assert sorted(found) == sorted(zone.name for zone in zones)
        for below in zones:
            for above in zones:
                if below.name.endswith(f".{above.name}") and below.servers != above.servers:
                    assert found.index(below.name) < found.index(above.name)


def test_a_wide_network_takes_one_step() -> None:
    networks = ["10.0.0.0/9", "11.0.0.0/9", "12.0.0.0/9"]
    given: dict[str, Any] = {"consul": {"agents": ["10.0.0.1"], "reverse": networks}}
    assert [len(step) for step in build(Settings(**given), (1,)).steps] == [385]


def test_who_is_asked_each_once_and_without_an_interface() -> None:
    servers = (NameServer("fe80::1%eth0", 8600), NameServer("10.0.0.1", 8600))
    zones = (Zone("consul", servers), Zone("dc2.consul", (NameServer("10.0.0.1", 8601),)))
    assert site(*zones).asked == ("fe80::1", "10.0.0.1")
