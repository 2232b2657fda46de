"""The entries of /v1/health/service, and that all views of it are of the same ones."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.consul import content, health, servers, values

ENTRY: dict[str, Any] = {
    "Node": {"Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1", "Meta": None},
    "Service": {"ID": "web-1", "Service": "web", "Address": "", "Port": 80, "Tags": ["a"]},
    "Checks": [{"CheckID": "alive", "Status": "passing"}, {"CheckID": "n", "Status": "warning"}],
    "SomethingNew": 1,
}
VIEWS: list[Callable[[object], Any]] = [
    content.service, content.instances, values.instances, servers.addresses
]  # fmt: skip


def changed(**fields: object) -> dict[str, Any]:
    return {**copy.deepcopy(ENTRY), **fields}


def test_an_entry() -> None:
    (one,) = health.entries([ENTRY])
    assert (one.fields, one.node, one.service) == (ENTRY, ENTRY["Node"], ENTRY["Service"])
    assert one.statuses == ["passing", "warning"]
    assert one.own_address == ""
    (one,) = health.entries([changed(Service={"Address": "10.1.0.1"}, Checks=None)])
    assert (one.own_address, one.checks, one.statuses) == ("10.1.0.1", [], [])
    # Go writes an empty list as null at times.
    assert health.entries(None) == health.entries([]) == []


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "parsed",
    [
        {}, "web", 7, [1], [None], [[]], [{}], [changed(Node=None)], [changed(Node=[])],
        [changed(Service="web")], [changed(Checks={})], [changed(Checks=[1])],
        [ENTRY, changed(Service=None)],
    ],
)  # fmt: skip
def test_what_is_of_another_form_is_refused_by_every_view(
    view: Callable[[object], Any], parsed: object
) -> None:
    with pytest.raises(ValueError, match=r"not of the form|not a list of servers"):
        view(parsed)


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_changes_what_another_one_sees(view: Callable[[object], Any]) -> None:
    parsed = [copy.deepcopy(ENTRY)]
    view(parsed)
    assert parsed == [ENTRY]


def test_hostile_bytes_cost_files_the_instance_and_dns_nothing() -> None:
    odd = changed(Service={**ENTRY["Service"], "ID": "web-2", "Tags": ["a\nb"]})
    told: list[str] = []
    assert [one.id for one in values.instances([ENTRY, odd], told.append)] == ["web-1"]
    assert len(told) == 1
    assert content.service([ENTRY, odd]).size == 2
    assert {one.tags for one in content.instances([ENTRY, odd])} == {
        frozenset({"a"}), frozenset({"a\nb"})
    }  # fmt: skip
    assert servers.addresses([ENTRY, odd]) == ["10.0.0.1"] * 2


def test_what_a_watch_read_is_kept_once() -> None:
    reader = content.Reader()
    assert reader.take() is None
    assert reader.content([ENTRY]) == content.service([ENTRY])
    read = reader.take()
    assert read == health.entries([ENTRY])
    assert content.shown(read) == content.instances([ENTRY])
    assert reader.take() is None


STATUSES = st.lists(st.sampled_from(["passing", "warning", "critical", "maintenance"]), max_size=3)


@given(st.lists(STATUSES, max_size=6))
def test_views_agree_on_who_is_there_and_who_is_well(listed: list[list[str]]) -> None:
    parsed = json.loads(
        json.dumps(
            [
                changed(
                    Node={**ENTRY["Node"], "Node": f"n{number}", "Address": f"10.0.0.{number + 1}"},
                    Checks=[{"Status": status} for status in statuses],
                )
                for number, statuses in enumerate(listed)
            ]
        )
    )
    found = content.service(parsed)
    by_dns, by_files = content.instances(parsed), values.instances(parsed)
    assert found.size == len(by_files) == len(servers.addresses(parsed)) == len(listed)
    assert found.healthy == len(by_dns)
    assert found.healthy == sum("critical" not in statuses for statuses in listed)
    passing = {one.node for one in by_files if one.status == "passing"}
    shown = {one.ipv4 for one in by_dns if one.passing}
    assert {bytes(map(int, f"10.0.0.{int(one[1:]) + 1}".split("."))) for one in passing} == shown
