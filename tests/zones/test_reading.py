"""What zones see of the instances in a reply of /v1/health/service."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.consul.facts import Fact, FactKind
from consulfwd.zones.reading import Instances
from consulfwd.zones.seen import Health, Offer, Seen, Whose

WEB = Instances.of("web", "")


def check(name: str, status: str = "passing") -> dict[str, Any]:
    return {"CheckID": name, "Status": status}


def entry(
    *checks: dict[str, Any], node: dict[str, Any] | None = None, **service: Any
) -> dict[str, Any]:
    return {
        "Node": {"Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1"} | (node or {}),
        "Service": {"ID": "web1", "Service": "web", "Port": 80, "Address": ""} | service,
        "Checks": list(checks),
    }


def read(*entries: dict[str, Any], fact: Instances = WEB) -> tuple[Seen, ...]:
    return fact.read(list(entries))


def test_what_an_instance_offers() -> None:
    (one,) = read(
        entry(
            check("serfHealth"),
            Address="10.1.0.1",
            Tags=["primary", "a"],
            Meta={"version": "2"},
            Weights={"Passing": 7, "Warning": 3},
        )
    )
    assert one == Seen(
        Whose("dc1", "web", "n1", "web1"),
        Offer("10.1.0.1", "10.0.0.1", 80, ("primary", "a"), {"version": "2"}, {}, 7),
        Health.PASSING,
    )


def test_of_its_node_s_address_it_has_none_of_its_own() -> None:
    (one,) = read(entry())
    assert (one.offer.own, one.offer.of_node) == ("", "10.0.0.1")


def test_addresses_have_tags_its_own_before_its_node_s() -> None:
    node = {"TaggedAddresses": {"lan": "10.0.0.1", "wan": "192.0.2.1", "wan_ipv6": ""}}
    own = {
        "lan": {"Address": "10.1.0.1", "Port": 80},
        "lan_ipv6": {"Address": "2001:db8::1", "Port": 80},
        "virtual": {"Address": ""},
    }
    (one,) = read(entry(node=node, TaggedAddresses=own))
    assert one.offer.tagged == {"lan": "10.1.0.1", "lan_ipv6": "2001:db8::1", "wan": "192.0.2.1"}


@pytest.mark.parametrize(
    ("checks", "health"),
    [
        ((), Health.PASSING),
        ((check("a"), check("b", "warning")), Health.WARNING),
        ((check("a", "critical"), check("b", "warning")), Health.CRITICAL),
        ((check("a", "maintenance"),), Health.CRITICAL),
        ((check("_node_maintenance", "critical"),), Health.MAINTENANCE),
        (
            (check("a", "critical"), check("_service_maintenance:web1", "critical")),
            Health.MAINTENANCE,
        ),
        # Only by its name it is none.
        ((check("_node_maintenance"), check("a", "critical")), Health.CRITICAL),
        (({"Status": "critical"},), Health.CRITICAL),
    ],
)
def test_health_is_that_of_the_worst_check_or_maintenance(
    checks: tuple[dict[str, Any], ...], health: Health
) -> None:
    (one,) = read(entry(*checks))
    assert one.health is health


@pytest.mark.parametrize(("status", "weight"), [("passing", 7), ("warning", 3)])
def test_its_weight_is_that_of_its_health(status: str, weight: int) -> None:
    (one,) = read(entry(check("a", status), Weights={"Passing": 7, "Warning": 3}))
    assert one.offer.weight == weight


def test_they_are_in_the_same_order_whatever_order_they_come_in() -> None:
    entries = [entry(node={"Node": name}, ID=id_) for name in ("b", "a") for id_ in ("2", "1")]
    found = read(*entries)
    assert [(one.whose.node, one.whose.id) for one in found] == [
        ("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"),
    ]  # fmt: skip
    assert read(*reversed(entries)) == found
    assert WEB.reading(entries) == WEB.reading(entries[::-1])


def test_whoever_is_named_by_his_datacenter_has_that() -> None:
    (one,) = read(entry(), fact=Instances.of("web", "dc2"))
    assert one.whose.datacenter == "dc2"


@pytest.mark.parametrize(
    "odd",
    [
        {"ID": "a\nb"},
        {"Tags": ["a\x1b"]},
        {"Meta": {"a": "b\n$INCLUDE /etc/passwd"}},
        {"Address": "10.0.0.1; rm"},
        {"Port": 70_000},
        {"Weights": {"Passing": -1}},
        {"TaggedAddresses": {"lan": {"Address": "a b"}}},
        {"TaggedAddresses": {"l\nan": {"Address": "10.0.0.1"}}},
    ],
)
def test_what_a_stranger_wrote_costs_that_instance(odd: dict[str, Any]) -> None:
    told: list[str] = []
    found = WEB.read([entry(ID="web0"), entry(**odd)], told.append)
    assert [one.whose.id for one in found] == ["web0"]
    (line,) = told
    assert line.endswith(": that instance is left out")
    assert "\n" not in line


@pytest.mark.parametrize("odd", [{"Tags": "a"}, {"TaggedAddresses": ["a"]}, {"Meta": {"a": 1}}])
def test_what_is_not_of_consul_s_form_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read(entry(**odd))


def test_it_is_another_fact_than_that_of_templates() -> None:
    assert Instances.of("web", "") == WEB
    assert Fact(FactKind.SERVICE, "web") != WEB
    assert len({WEB, Fact(FactKind.SERVICE, "web"), Instances.of("web", "")}) == 2
    assert WEB.members(read(entry())) == {("n1", "web1")}
