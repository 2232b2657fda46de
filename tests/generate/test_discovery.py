"""Who answers, as Consul's catalog tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.values import ServiceInstance
from consulfwd.errors import ConsulError
from consulfwd.generate.discovery import found, strangers, wanted


def given(**consul: Any) -> Settings:
    settings: dict[str, Any] = {"consul": consul}
    return Settings(**settings)


def instance(address: str, status: str = "passing") -> ServiceInstance:
    return ServiceInstance(
        name="consul",
        id="consul",
        address="",
        port=8300,
        tags=(),
        meta={},
        node=f"node-{address}",
        node_address=address,
        datacenter="dc1",
        weight=1,
        status=status,
    )


def servers(
    settings: Settings, *instances: ServiceInstance, peers: Sequence[str] = ()
) -> list[str]:
    """Who is named; where `peers` are not given, Raft knows all of them."""
    asked = wanted(settings)
    service, raft = asked[""]
    assert raft is not None
    known = {service: instances, raft: peers or [one.node_address for one in instances] or ["::1"]}
    return [one.written() for one in found(settings, asked, known, {})[""]]


def test_the_healthy_at_the_port_of_the_first_agent() -> None:
    settings = given(agents=["10.0.0.1:8653", "10.0.0.2"])
    healthy = [instance("10.0.0.7"), instance("fd00::7"), instance("10.0.0.7")]
    others = [instance("10.0.0.8", "critical"), instance("10.0.0.9", "warning")]
    assert servers(settings, *healthy, *others) == ["10.0.0.7:8653", "[fd00::7]:8653"]


@pytest.mark.parametrize(
    "address", ["", "node.example", "0.0.0.0", "::", "224.0.0.1", "127.0.0.1", "10.0.0.1;evil"]
)
def test_what_is_no_hosts_address_is_left_out(address: str) -> None:
    assert servers(given(agents=["10.0.0.1"]), instance(address)) == []


def test_agents_of_this_host_where_agents_are_asked_here() -> None:
    assert servers(given(agents=["127.0.0.1"]), instance("127.0.0.2")) == ["127.0.0.2:8600"]


def test_no_more_than_a_file_should_name() -> None:
    many = [instance(f"10.1.{n >> 8}.{n & 255}") for n in range(1, 300)]
    assert len(servers(given(agents=["10.0.0.1"]), *many)) == 100


def test_who_is_no_server_is_left_out() -> None:
    """A service `consul` may be registered by others."""
    settings = given(agents=["10.0.0.1"])
    listed = [instance(one) for one in ("10.0.0.7", "10.0.0.66", "10.0.0.1", "fd00::7")]
    peers = ("10.0.0.7", "fd00::7", "10.0.0.8")
    # Whoever is in the settings is meant.
    named = ["10.0.0.7:8600", "10.0.0.1:8600", "[fd00::7]:8600"]
    assert servers(settings, *listed, peers=peers) == named
    asked = wanted(settings)
    service, raft = asked[""]
    assert raft == Fact(FactKind.PEERS)
    known: dict[Fact, Any] = {service: [*listed, instance("10.0.0.9", "critical")]}
    assert strangers(settings, asked, known) == {}
    known[raft] = peers
    assert strangers(settings, asked, known) == {"": ["10.0.0.66"]}


def test_while_nobody_says_who_is_a_server_nobody_is_named() -> None:
    settings = given(agents=["10.0.0.1"])
    asked = wanted(settings)
    service, raft = asked[""]
    assert raft is not None
    known: dict[Fact, Any] = {service: [instance("10.0.0.7")]}
    fault = ConsulError("10.0.0.1:8600", 403, "peers: Permission denied")
    with pytest.raises(ConsulError, match="Permission denied"):
        found(settings, asked, known, {raft: fault})
    known[raft] = ()
    with pytest.raises(ConsulError, match="peers: nobody is named"):
        found(settings, asked, known, {})


def test_each_datacenter_is_asked_about() -> None:
    settings = given(datacenters={"dc2": {"agents": ["10.2.0.1:53"]}})
    asked = wanted(settings, "dns")
    assert [(name, one.service.name, one.service.datacenter) for name, one in asked.items()] == [
        ("", "dns", ""),
        ("dc2", "dns", "dc2"),
    ]
    # It is the nodes of the service that are meant, whoever registers them.
    assert [one.peers for one in asked.values()] == [None, None]
    here, there = asked[""].service, asked["dc2"].service
    known: dict[Fact, Any] = {here: [], there: [instance("10.2.0.7")]}
    assert [one.written() for one in found(settings, asked, known, {})["dc2"]] == ["10.2.0.7"]
    fault = ConsulError("10.0.0.1:8500", 500, "no path to datacenter")
    with pytest.raises(ConsulError, match="no path"):
        found(settings, asked, {here: []}, {there: fault})
    with pytest.raises(ConsulError, match="is not known"):
        found(settings, asked, {}, {})
    servers = wanted(settings)["dc2"]
    assert servers.facts == (Fact(FactKind.SERVICE, "consul", "dc2"), servers.peers)
    assert servers.peers == Fact(FactKind.PEERS, "", "dc2")
