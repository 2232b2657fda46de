"""A site made of settings."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.errors import UsageError
from consulfwd.generate.building import build
from consulfwd.generate.model import NameServer

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


def test_what_has_the_servers_of_the_zone_it_lies_in_is_no_zone_of_its_own() -> None:
    settings = {
        "consul": {
            "agents": ["10.0.0.1", "10.0.0.2"],
            "alt_domains": ["here.consul", "sd.example"],
            "datacenters": {
                "dc2": {"agents": ["10.0.0.1", "10.0.0.2"]},
                "dc3": {"agents": ["10.3.0.1"]},
            },
            "reverse": ["10.0.0.0/8", "10.1.0.0/16"],
        },
        "forward": {"1.1.10.in-addr.arpa": ["10.0.0.53"]},
    }
    site = build(given(**settings), V)
    assert [zone.name for zone in site.zones] == [
        "consul",
        "sd.example",
        "dc3.consul",
        "dc3.dc.consul",
        "dc3.here.consul",
        "dc3.dc.here.consul",
        "dc3.sd.example",
        "dc3.dc.sd.example",
        "10.in-addr.arpa",
        "1.1.10.in-addr.arpa",
    ]
    assert "here.consul" in [zone.name for zone in site.covered]
    assert "1.10.in-addr.arpa" in [zone.name for zone in site.covered]
    assert "dc2.consul" in [zone.name for zone in site.covered]
    assert site.passed_on == ()
    assert site.servers == (NameServer("10.0.0.1", 8600), NameServer("10.0.0.2", 8600))


def test_only_the_kinds_of_zones_a_server_can_have() -> None:
    settings = given(
        consul={
            "datacenters": {
                "dc2": {"agents": ["10.2.0.1"]},
                "here": {"agents": ["127.0.0.1"]},
            },
            "reverse": ["10.0.0.0/8"],
        },
        forward={"corp.example": ["10.0.0.53"]},
        listen=["127.0.0.1:5300"],
    )
    site = build(settings, V, kinds={"consul", "reverse"})
    assert [zone.name for zone in site.zones] == ["consul", "10.in-addr.arpa"]
    assert [zone.name for zone in site.passed_on] == ["dc2.consul", "dc2.dc.consul"]
    assert site.passed_on[0].servers == (NameServer("10.2.0.1", 8600),)
    assert [zone.name for zone in site.covered] == ["here.consul", "here.dc.consul"]
    # consulfwd knows every datacenter.
    site = build(settings, V, kinds={"consul", "reverse"}, to="consulfwd")
    assert site.passed_on == ()


@pytest.mark.parametrize(
    "name", ['e"};zone', "e;}", "a'b", "e#1", "e,f", "e{", "e\\", "e@2", "e$(id)", "e|f", "e<f"]
)
@pytest.mark.parametrize("where", ["agents", "forward", "recursors", "listen"])
def test_an_interface_is_not_written_where_it_could_say_more(name: str, where: str) -> None:
    address = f"fe80::1%{name}"
    all_settings: dict[str, dict[str, Any]] = {
        "agents": {"consul": {"agents": [f"[{address}]:8600"]}},
        "forward": {"forward": {"corp.example": [f"[{address}]:53"]}},
        "recursors": {"recursors": [f"[{address}]:53"]},
        "listen": {"listen": [f"[{address}]:53"]},
    }
    settings = all_settings[where]
    with pytest.raises(UsageError, match=r"write its number instead"):
        build(given(**settings), V, whole=True)


@pytest.mark.parametrize("name", ["eth0", "br-1a.100", "wg_home", "7"])
def test_interfaces_as_they_are_called(name: str) -> None:
    site = build(given(consul={"agents": [f"fe80::1%{name}"]}), V)
    assert site.servers[0].interface == name


def test_a_zone_has_one_list_of_servers() -> None:
    settings = given(
        consul={"reverse": ["10.0.0.0/8"]},
        forward={"10.in-addr.arpa": ["10.0.0.53"]},
        listen=["127.0.0.1:5300"],
    )
    with pytest.raises(UsageError, match=r"10\.in-addr\.arpa: consul\.reverse and forward name"):
        build(settings, V)
    site = build(settings, V, to="consulfwd")
    assert [zone.name for zone in site.zones] == ["consul", "10.in-addr.arpa"]
    # What the server has no zones for cannot be in its file twice.
    assert build(settings, V, kinds={"consul", "reverse"}).reverse


def test_a_second_domain_with_the_name_of_a_datacenter() -> None:
    far = {"dc2": {"agents": ["10.2.0.1"]}}
    for domain, others in (
        ("consul", ["dc2.consul", "dc2.dc.consul"]),
        (
            "other",
            ["dc2.consul", "dc2.other", "dc2.dc.other", "dc2.dc2.consul", "dc2.dc.dc2.consul"],
        ),
    ):
        settings = given(
            consul={"domain": domain, "alt_domains": ["dc2.consul"], "datacenters": far}
        )
        names = [zone.name for zone in build(settings, V).zones]
        assert names == [domain, *others]
