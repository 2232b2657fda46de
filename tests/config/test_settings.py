"""The sections by themselves: defaults, names, what they refuse, who may ask."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Agent, Endpoint, Recursor, Seeds, Settings
from consulfwd.config.addresses import FromCatalog
from consulfwd.config.keys import Section, keys_of, leaves
from consulfwd.config.sections import AccessSettings, ConsulSettings, Datacenter, WatchSettings
from consulfwd.config.settings import LOOPBACK
from consulfwd.errors import ConfigError


def made(**keys: Any) -> Settings:
    """Settings made of values as a file spells them."""
    return Settings(**keys)


def test_the_defaults() -> None:
    settings = Settings()
    assert [str(one) for one in settings.listen] == ["127.0.0.1:53"]
    assert [one.name for one in settings.consul.agents] == ["127.0.0.1:8600"]
    assert settings.consul.domain == "consul"
    assert settings.consul.datacenters == {}
    assert settings.forward == {}
    assert settings.recursors is None
    assert settings.resolv_conf == Path("/etc/resolv.conf")
    assert settings.access.allow is None


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint(host="127.0.0.1", port=53), "127.0.0.1:53"),
        (Endpoint(host="::1", port=0), "[::1]:0"),
        (Endpoint(host="localhost", port=1), "127.0.0.1:1"),
    ],
)
def test_an_endpoint_is_written_as_it_is_read(endpoint: Endpoint, text: str) -> None:
    assert str(endpoint) == text
    assert made(listen=[text]).listen == (endpoint,)


def test_an_agent_is_called_by_its_address_and_dns_port() -> None:
    assert Agent(address="10.0.0.11").name == "10.0.0.11:8600"
    assert Agent(address="::1", dns_port=53).name == "[::1]:53"


@pytest.mark.parametrize(
    "name",
    [
        "9.9.9.9:53",
        "[2620:fe::fe]:5353",
        "tls://1.1.1.1#dns.example",
        "tls://[2620:fe::fe]#dns.example",
        "tls://1.1.1.1:8853#dns.example",
        "tls://[2620:fe::fe]:8853#dns.example",
    ],
)
def test_a_recursor_is_called_as_it_is_written(name: str) -> None:
    (recursor,) = made(recursors=[name]).recursors or ()
    assert recursor.name == name


@pytest.mark.parametrize("value", [None, "auto", ["auto"]])
def test_recursors_are_found_by_themselves(value: object) -> None:
    assert made(recursors=value).recursors is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"address": "1.1.1.1", "transport": "tls"}, "tls_name and the transport tls go together"),
        ({"address": "1.1.1.1", "tls_name": "a.b"}, "tls_name and the transport tls go together"),
        ({"address": "dns.example"}, "is not an IP address"),
        ({"address": "1.1.1.1", "port": 0}, "port: 0 is too little"),
    ],
)
def test_a_recursor_made_by_hand_is_checked_too(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Recursor(**fields)


def test_settings_are_made_from_parts_and_cannot_be_changed() -> None:
    settings = Settings(
        listen=(Endpoint(host="127.0.0.1", port=0),),
        consul=ConsulSettings(
            agents=(Agent(address="10.0.0.11"),),
            datacenters={"DC2": Datacenter(agents=(Agent(address="10.2.0.11"),))},
        ),
        recursors=(Recursor(address="9.9.9.9"),),
        access=AccessSettings(allow=(ip_network("10.0.0.0/8"),)),
    )
    assert list(settings.consul.datacenters) == ["dc2"]
    with pytest.raises(AttributeError, match="settings cannot be changed: user"):
        settings.user = "root"  # type: ignore[misc]


def test_settings_made_by_hand_must_not_contradict_themselves() -> None:
    with pytest.raises(ConfigError) as caught:
        made(cache={"min_ttl": 9, "max_ttl": 5}, listen=["::", "::"])
    assert "listen[1]: [::]:53 is in the list already" in str(caught.value)
    assert "cache.min_ttl: 9 is more than max_ttl, 5" in str(caught.value)


LO4, LO6 = LOOPBACK
ETH0 = ip_interface("10.1.2.3/16")
ETH1 = ip_interface("192.168.7.1/24")
WAN = ip_interface("198.51.100.7/24")
ULA = ip_interface("fd00:1::5/64")
LOCAL = ip_interface("fe80::5%eth0/64")
ALL = [ETH0, ETH1, WAN, ULA, LOCAL, ip_interface("127.0.0.1/8"), ip_interface("::1/128")]


@pytest.mark.parametrize(
    ("listen", "interfaces", "networks"),
    [
        (["127.0.0.1", "::1"], ALL, []),
        (["10.1.2.3"], [], ["10.1.2.3/32"]),
        (["10.1.2.3"], [ETH1], ["10.1.2.3/32"]),
        (["10.1.2.3"], ALL, ["10.1.2.3/32", "10.1.0.0/16"]),
        (["10.1.2.3:53", "10.1.2.3:5353"], ALL, ["10.1.2.3/32", "10.1.0.0/16"]),
        (["172.32.0.1"], [ip_interface("172.32.0.1/16")], []),
        (["198.51.100.7"], ALL, []),
        (["fd00:1::5"], ALL, ["fd00:1::5/128", "fd00:1::/64"]),
        (["fe80::5%eth0"], ALL, ["fe80::5/128", "fe80::/64"]),
        (["0.0.0.0"], ALL, ["10.1.0.0/16", "192.168.7.0/24"]),
        (["::"], ALL, ["fd00:1::/64", "fe80::/64"]),
        (["0.0.0.0"], [], []),
    ],
)
def test_who_may_ask_when_nothing_is_said(
    listen: list[str], interfaces: list[Any], networks: list[str]
) -> None:
    settings = made(listen=listen)
    expected = (LO4, LO6, *map(ip_network, networks))
    assert settings.allowed_networks(iter(interfaces)) == expected


def test_who_may_ask_when_it_is_said() -> None:
    settings = made(listen=["10.1.2.3"], access={"allow": ["10.9.9.9"]})
    assert settings.allowed_networks(ALL) == (ip_network("10.9.9.9/32"),)


@pytest.mark.parametrize("from_catalog", [True, False])
def test_agents_may_be_seeds(from_catalog: bool) -> None:
    written = {"from_catalog": from_catalog, "seeds": ["10.0.0.1", {"address": "10.0.0.2"}]}
    consul = made(consul={"agents": written, "datacenters": {"dc2": {"agents": written}}}).consul
    for one in (consul, consul.datacenters["dc2"]):
        assert one.from_catalog == from_catalog
        assert [agent.name for agent in one.agents] == ["10.0.0.1:8600", "10.0.0.2:8600"]
    agents = (Agent(address="10.0.0.1"), Agent(address="10.0.0.2"))
    by_hand = ConsulSettings(agents=Seeds(agents) if from_catalog else agents)
    assert by_hand == made(consul={"agents": written}).consul
    assert consul.replace(domain="x").from_catalog == from_catalog
    assert not consul.replace(agents=agents).from_catalog


def test_seeds_are_another_setting_than_the_same_agents_alone() -> None:
    agents = (Agent(address="10.0.0.1"),)
    alone, seeds = ConsulSettings(agents=agents), ConsulSettings(agents=Seeds(agents))
    assert alone != seeds
    assert seeds != alone
    assert seeds == ConsulSettings(agents=Seeds(agents))
    assert seeds != ConsulSettings(agents=Seeds((*agents, Agent(address="10.0.0.2"))))
    found = {Datacenter(agents=Seeds(agents)): 1}
    assert found == {Datacenter(agents=Seeds(agents)): 1}
    assert Datacenter(agents=agents) not in found


@pytest.mark.parametrize("enabled", ["auto", True, False])
def test_watches_may_be_automatic(enabled: Any) -> None:
    watch = WatchSettings(enabled=enabled)
    assert watch.enabled is enabled
    assert (watch.max, watch.settle, watch.source) == (128, 0.5, "agent")


def test_every_key_has_a_help_text() -> None:
    described = [key.help for _, key in leaves(Settings)]
    sections: list[type[Section]] = [Agent, FromCatalog, Datacenter]
    described += [key.help for section in sections for key in keys_of(section).values()]
    assert all(described)


def test_settings_made_by_hand_are_read_as_in_a_file_and_told_all_mistakes() -> None:
    settings = made(listen=("127.0.0.1:0",), consul={"agents": ("10.0.0.1:53",)}, recursors=None)
    assert [str(one) for one in settings.listen] == ["127.0.0.1:0"]
    assert settings.consul == ConsulSettings(agents=(Agent(address="10.0.0.1", dns_port=53),))
    with pytest.raises(ConfigError) as caught:
        made(consul={"agents": [{}], "domian": "x"}, cash=1)
    assert [str(one).split(" (")[0] for one in caught.value.problems] == [
        "cash: unknown key",
        "consul.domian: unknown key",
        "consul.agents[0].address: address is missing",
    ]


def test_settings_with_other_values_are_checked_as_well() -> None:
    settings = Settings(user="x")
    other = settings.replace(cache=settings.cache.replace(size=5))
    assert (settings.cache.size, other.cache.size, other.user) == (10_000, 5, "x")
    with pytest.raises(ConfigError, match="is an address consulfwd listens on"):
        settings.replace(recursors=(Recursor(address="127.0.0.1"),))


def test_sections_are_equal_by_their_values_and_can_be_keys() -> None:
    one, same = Agent(address="10.0.0.1"), Agent(address="10.0.0.1", dns_port=8600)
    assert (one, {one: 1}[same]) == (same, 1)
    assert one != one.replace(dns_port=53)
    # Another kind of section is another value, and so is anything else.
    different: list[Section | str] = [Recursor(address="10.0.0.1"), "10.0.0.1:8600"]
    assert one not in different
    assert repr(Endpoint(host="::1", port=53)) == "Endpoint(host='::1', port=53)"
