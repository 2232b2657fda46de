"""What templates see of a site."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.errors import UsageError
from consulfwd.generate.model import NameServer, build

V = (9, 18)


def given(**settings: Any) -> Settings:
    return Settings(**settings)


def zones(**settings: Any) -> dict[str, list[str]]:
    site = build(given(**settings), V)
    return {zone.name: [one.written() for one in zone.servers] for zone in site.zones}


def test_zones_in_order_each_with_its_agents() -> None:
    assert zones(
        consul={
            "agents": ["10.0.0.11", "10.0.0.12:53"],
            "alt_domains": ["sd.example"],
            "datacenters": {"dc2": {"agents": ["[fd00::1]:8600"]}},
            "reverse": ["10.0.0.0/15", "fd00::/8"],
        },
        forward={"corp.example": ["10.1.1.1"]},
    ) == {
        "consul": ["10.0.0.11:8600", "10.0.0.12"],
        "sd.example": ["10.0.0.11:8600", "10.0.0.12"],
        "dc2.consul": ["[fd00::1]:8600"],
        "dc2.dc.consul": ["[fd00::1]:8600"],
        "dc2.sd.example": ["[fd00::1]:8600"],
        "dc2.dc.sd.example": ["[fd00::1]:8600"],
        "0.10.in-addr.arpa": ["10.0.0.11:8600", "10.0.0.12"],
        "1.10.in-addr.arpa": ["10.0.0.11:8600", "10.0.0.12"],
        "d.f.ip6.arpa": ["10.0.0.11:8600", "10.0.0.12"],
        "corp.example": ["10.1.1.1"],
    }


def test_agents_of_the_catalog_take_the_place_of_configured_ones() -> None:
    settings = given(consul={"datacenters": {"dc2": {"agents": ["10.2.0.1"]}}})
    site = build(settings, V, found={"": [NameServer("10.0.0.1", 8600)] * 2})
    assert site.servers == (NameServer("10.0.0.1", 8600),)
    assert site.zones[1].servers == (NameServer("10.2.0.1", 8600),)


@pytest.mark.parametrize("where", ["", "dc2"])
def test_nobody_to_name(where: str) -> None:
    settings = given(consul={"datacenters": {"dc2": {"agents": ["10.2.0.1"]}}})
    with pytest.raises(UsageError, match=r"would turn forwarding off \(Consul's catalog lists no"):
        build(settings, V, found={where: []})


def test_to_consulfwd_all_goes_to_where_it_listens() -> None:
    settings = given(
        listen=["0.0.0.0:5300", "[::]:5300", "127.0.0.1:5300"],
        consul={"datacenters": {"dc2": {"agents": ["10.2.0.1"]}}, "reverse": ["10.0.0.0/8"]},
        forward={"corp.example": ["tls://10.1.1.1#dns.corp.example"]},
    )
    site = build(settings, V, to="consulfwd")
    own = (NameServer("127.0.0.1", 5300), NameServer("::1", 5300))
    assert {zone.servers for zone in site.zones} == {own}
    assert site.listen == own
    with pytest.raises(UsageError, match="port 0"):
        build(given(listen=["127.0.0.1:0"]), V, to="consulfwd")


def test_tls_is_not_written_as_if_it_were_plain() -> None:
    settings = given(recursors=["tls://9.9.9.9#dns.quad9.net"])
    assert build(settings, V).recursors == ()
    with pytest.raises(UsageError, match="over TLS"):
        build(settings, V, whole=True)
    with pytest.raises(UsageError, match=r"forward\.corp\.example"):
        build(given(forward={"corp.example": ["tls://9.9.9.9#dns.quad9.net"]}), V)
    plain = build(given(recursors=["10.0.0.53", "10.0.0.54:5353"]), V, whole=True)
    assert [one.written("#") for one in plain.recursors] == ["10.0.0.53", "10.0.0.54#5353"]


def test_who_may_ask() -> None:
    assert "0.0.0.0/0" not in build(given(), V).networks
    assert "127.0.0.0/8" in build(given(), V).networks
    assert build(given(access={"allow": ["10.3.0.0/16"]}), V).networks == ("10.3.0.0/16",)


def test_each_zone_that_resolvers_take_to_be_empty_is_told_once() -> None:
    site = build(given(consul={"reverse": ["100.64.0.0/16", "10.0.0.0/8"]}), V)
    assert site.empty_zones == ("10.in-addr.arpa", "64.100.in-addr.arpa")
