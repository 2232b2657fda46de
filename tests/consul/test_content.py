"""What is a change for DNS, and what is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.consul import content
from consulfwd.consul.reply import parse


def instance(number: int) -> dict[str, Any]:
    node = f"web{number}"
    return {
        "Node": {
            "ID": "",
            "Node": node,
            "Address": f"10.0.20.{number}",
            "Datacenter": "dc1",
            "TaggedAddresses": {"lan": f"10.0.20.{number}", "wan": f"192.0.2.{number}"},
            "Meta": {"rfc1035-note": "a", "ModifyIndex": "theirs"},
            "CreateIndex": 12,
            "ModifyIndex": 13,
        },
        "Service": {
            "ID": node,
            "Service": "web",
            "Tags": ["v1", "primary"],
            "Address": "",
            "Meta": None,
            "Port": 8080,
            "Weights": {"Passing": 1, "Warning": 1},
            "Proxy": {},
            "CreateIndex": 12,
            "ModifyIndex": 13,
        },
        "Checks": [
            {
                "Node": node,
                "CheckID": name,
                "Status": "passing",
                "Notes": "",
                "Output": "HTTP 200",
                "ServiceID": node,
                "CreateIndex": 12,
                "ModifyIndex": 14,
            }
            for name in ("serfHealth", "alive")
        ],
    }


SERVICE = [instance(1), instance(2)]
NODE: dict[str, Any] = {"Node": instance(1)["Node"], "Services": {"web": {"ID": "web"}}}


def changed(where: str, value: object) -> object:
    """SERVICE with one thing of the first instance set, `where` as in Checks.1.Output."""
    copied: Any = copy.deepcopy(SERVICE)
    at = copied[0]
    *path, last = where.split(".")
    for part in path:
        at = at[int(part)] if part.isdecimal() else at[part]
    at[last] = value
    return copied


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("Node.ModifyIndex", 99), ("Node.CreateIndex", 99), ("Service.ModifyIndex", 99),
        ("Service.CreateIndex", 99), ("Checks.1.ModifyIndex", 99), ("Checks.1.CreateIndex", 99),
        ("Checks.1.Output", "HTTP 200 after 3 ms"), ("Checks.0.Notes", "see the handbook"),
    ],
)  # fmt: skip
def test_no_change(where: str, value: object) -> None:
    assert content.service(changed(where, value)) == content.service(SERVICE)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("Node.Address", "10.0.20.99"), ("Node.Node", "web9"), ("Node.Datacenter", "dc2"),
        ("Node.TaggedAddresses.wan", "192.0.2.99"), ("Node.Meta.rfc1035-note", "b"),
        ("Node.Meta.ModifyIndex", "of their own"), ("Service.Address", "10.0.20.99"),
        ("Service.Port", 81), ("Service.Tags", ["v2"]), ("Service.Weights.Passing", 5),
        ("Service.ID", "other"), ("Service.Proxy", {"DestinationServiceName": "db"}),
        ("Checks.1.Status", "critical"), ("Checks.1.CheckID", "other"), ("Checks", []),
        ("Service.SomethingNew", 1), ("SomethingNew", 1),
    ],
)  # fmt: skip
def test_a_change(where: str, value: object) -> None:
    found = content.service(changed(where, value))
    assert found.digest != content.service(SERVICE).digest
    assert found.size == 2


def test_the_order_of_instances_checks_and_keys_is_none() -> None:
    assert content.service(SERVICE[::-1]) == content.service(SERVICE)
    turned: Any = copy.deepcopy(SERVICE)
    turned[0]["Checks"].reverse()
    turned[0]["Node"] = dict(reversed(turned[0]["Node"].items()))
    assert content.service(turned) == content.service(SERVICE)


def test_instances_that_come_and_go() -> None:
    one, two, none = (content.service(SERVICE[:n]) for n in (1, 2, 0))
    assert len({one.digest, two.digest, none.digest}) == 3
    assert (one.size, two.size, none.size) == (1, 2, 0)
    assert content.service(None) == none
    assert content.service([SERVICE[0]] * 2).digest not in {one.digest, two.digest}


def test_a_node_is_its_address_and_metadata() -> None:
    found = content.node(NODE)
    assert found.size == 1
    assert content.node({**NODE, "Services": None}) == found
    assert content.node({"Node": {**NODE["Node"], "ModifyIndex": 99}}) == found
    assert content.node({"Node": {**NODE["Node"], "Address": "10.9.9.9"}}) != found
    assert content.node({"Node": {**NODE["Node"], "Meta": {}}}) != found
    assert content.node(None).size == 0


@pytest.mark.parametrize("read", [content.service, content.node])
@pytest.mark.parametrize(
    "parsed",
    [
        "text", 7, True, [1], [[]], [None], [{}], [{"Node": {}}], {"Node": []}, {"Node": 1},
        [{"Node": {}, "Service": {}, "Checks": {}}], [{"Node": {}, "Service": {}, "Checks": [1]}],
        [{"Node": [], "Service": {}, "Checks": []}], {},
    ],
)  # fmt: skip
def test_other_forms_are_refused(
    read: Callable[[object], content.Content], parsed: object
) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        read(parsed)


def test_what_the_checks_of_an_instance_may_lack() -> None:
    bare: object = [{"Node": {}, "Service": {}, "Checks": None}]
    assert content.service(bare).size == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["Node", "Service", "Checks", "x"]) | st.text(), inner
    ),
    max_leaves=25,
)  # fmt: skip


@given(JSON)
def test_nothing_but_value_errors_comes_of_strange_ones(thing: object) -> None:
    parsed = parse(json.dumps(thing).encode())
    for read in (content.service, content.node):
        try:
            found = read(parsed)
        except ValueError:
            continue
        assert found == read(parsed)


def test_nesting_as_deep_as_json_is_read() -> None:
    for depth in range(100, 2000, 50):
        nested = b"[" * depth + b"]" * depth
        try:
            parsed = parse(b'[{"Node": {}, "Service": {}, "More": %b}]' % nested)
            assert content.service(parsed).size == 1
        except ValueError:
            assert depth > 500


def test_lone_surrogates_are_no_obstacle() -> None:
    parsed = parse(b'[{"Node": {"Meta": {"a": "\\ud800"}}, "Service": {}, "Checks": []}]')
    assert content.service(parsed).size == 1
