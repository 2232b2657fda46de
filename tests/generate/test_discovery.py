"""Who answers, as Consul's catalog tells."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.consul.values import ServiceInstance
from consulfwd.errors import ConsulError
from consulfwd.generate.discovery import facts, found


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


def servers(settings: Settings, *instances: ServiceInstance) -> list[str]:
    wanted = facts(settings)
    return [one.written() for one in found(settings, wanted, {wanted[""]: instances}, {})[""]]


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


def test_each_datacenter_is_asked_about() -> None:
    settings = given(datacenters={"dc2": {"agents": ["10.2.0.1:53"]}})
    wanted = facts(settings, "dns")
    assert [(name, one.name, one.datacenter) for name, one in wanted.items()] == [
        ("", "dns", ""),
        ("dc2", "dns", "dc2"),
    ]
    known = {wanted[""]: [], wanted["dc2"]: [instance("10.2.0.7")]}
    assert [one.written() for one in found(settings, wanted, known, {})["dc2"]] == ["10.2.0.7"]
    fault = ConsulError("10.0.0.1:8500", 500, "no path to datacenter")
    with pytest.raises(ConsulError, match="no path"):
        found(settings, wanted, {wanted[""]: []}, {wanted["dc2"]: fault})
    with pytest.raises(ConsulError, match="is not known"):
        found(settings, wanted, {}, {})
