"""Which instances count, and what differs between two sets."""

from __future__ import annotations

import dataclasses

import pytest

from consulfwd.backends.model import Backend, Change, Wanted, difference, healthy
from consulfwd.consul.values import ServiceInstance

ONE = ServiceInstance(
    name="web",
    id="web1",
    address="10.0.0.1",
    port=80,
    tags=("A", "b"),
    meta={"k": "v"},
    node="n1",
    node_address="10.0.0.1",
    datacenter="dc1",
    weight=3,
    status="passing",
)
WARNS = dataclasses.replace(ONE, id="web2", status="warning", address="2001:db8::1", tags=())
CRITICAL = dataclasses.replace(ONE, id="web3", status="critical")
B1, B2 = healthy([ONE, WARNS], Wanted())


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Wanted(), ["web1", "web2"]),
        (Wanted(passing_only=True), ["web1"]),
        (Wanted(tag="a"), ["web1"]),
        (Wanted(tag="c"), []),
    ],
)
def test_which_count(wanted: Wanted, ids: list[str]) -> None:
    assert [one.id for one in healthy([ONE, WARNS, CRITICAL], wanted)] == ids


def test_a_backend_as_text_and_as_values() -> None:
    assert (str(B1), str(B2)) == ("10.0.0.1:80", "[2001:db8::1]:80")
    assert B1.as_json() == {
        "id": "web1",
        "node": "n1",
        "address": "10.0.0.1",
        "port": 80,
        "datacenter": "dc1",
        "tags": ["A", "b"],
        "weight": 3,
        "status": "passing",
        "meta": {"k": "v"},
    }
    assert {B1: 1}[dataclasses.replace(B1)] == 1


def ids(change: Change) -> tuple[list[str], list[str], list[str]]:
    return (
        [one.id for one in change.added],
        [one.id for one in change.removed],
        [one.id for one in change.updated],
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [B1, B2], (["web1", "web2"], [], [])),
        ([B1, B2], [B2], ([], ["web1"], [])),
        ([B1], [B1], ([], [], [])),
        ([B1], [dataclasses.replace(B1, port=81)], (["web1"], ["web1"], [])),
        ([B1], [dataclasses.replace(B1, address="10.9.9.9")], (["web1"], ["web1"], [])),
        ([B1], [dataclasses.replace(B1, weight=9)], ([], [], ["web1"])),
        ([B1], [dataclasses.replace(B1, meta={})], ([], [], ["web1"])),
        # The same ID on another node is another instance.
        ([B1], [dataclasses.replace(B1, node="n2")], (["web1"], ["web1"], [])),
    ],
)
def test_difference(
    before: list[Backend], after: list[Backend], expected: tuple[list[str], ...]
) -> None:
    change = difference(before, after, "why")
    assert ids(change) == expected
    assert change.backends == tuple(after)
    assert (change.stale, bool(change)) == ("why", before != after)
    # What is removed is as it was, what is added as it is.
    left = {one.key: one for one in before if one not in change.removed}
    now = left | {one.key: one for one in (*change.updated, *change.added)}
    assert set(now.values()) == set(after)
    assert change.as_json()["backends"] == [one.as_json() for one in after]
