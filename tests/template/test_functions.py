"""What templates may ask of Consul, and what they are answered."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.values import CatalogNode, KeyValue, Listed, ServiceInstance, Session
from consulfwd.template.functions import MOST_FACTS, Functions, Leader

WEB, LOCK = Fact(FactKind.SERVICE, "web"), Fact(FactKind.KEY, "service/web/leader")
SESSION, NODE = Fact(FactKind.SESSION, "5e55"), Fact(FactKind.NODE, "n1")


def instance(node: str, status: str = "passing", *tags: str) -> ServiceInstance:
    home = (node, "10.0.0.1", "dc1", 1, status)
    return ServiceInstance("web", node, "10.0.0.1", 80, tags, {}, *home)


def functions(known: dict[Fact, Any]) -> Functions:
    made = Functions()
    made.begin(known)
    return made


def test_instances_by_health_and_tag() -> None:
    all_ = instance("n1", "passing", "a", "b"), instance("n2", "warning", "a"), instance("n3")
    made = functions({WEB: all_})
    nodes = [
        [one.node for one in found]
        for found in (
            made.service("web"),
            made.service("web", passing=False),
            made.service("web", "a", passing=False),
            made.service("web", tag="b"),
            made.service("web", tag="B"),
        )
    ]
    assert nodes == [["n1", "n3"], ["n1", "n2", "n3"], ["n1", "n2"], ["n1"], []]
    assert (made.asked, made.missing) == ({WEB}, set())


def test_what_is_missing_is_answered_with_nothing_and_remembered() -> None:
    made = functions({})
    answers = (
        made.service("web"),
        made.services(),
        made.nodes("dc2"),
        made.key("a"),
        made.key("a", default="x"),
        made.keys("a/"),
        made.leader("b"),
        made.datacenters(),
    )
    assert answers == ([], [], [], "", "", {}, None, [])
    assert made.missing == made.asked
    assert sorted(map(str, made.asked)) == [
        *("datacenters", "key a", "key b", "keys a/", "nodes in dc2", "service web", "services")
    ]


def test_lists() -> None:
    listed, node = Listed("web", ("a",)), CatalogNode("n1", "10.0.0.1", {}, "dc1")
    made = functions(
        {
            Fact(FactKind.SERVICES): (listed,),
            Fact(FactKind.NODES, datacenter="dc2"): (node,),
            Fact(FactKind.DATACENTERS): ("dc1", "dc2"),
        }
    )
    assert (made.services(), made.nodes("dc2")) == ([listed], [node])
    assert made.datacenters() == ["dc1", "dc2"]


def test_keys() -> None:
    a, none, odd = (Fact(FactKind.KEY, one) for one in "anx")
    prefix = Fact(FactKind.KEYS, "p/")
    made = functions(
        {
            a: KeyValue("a", b"1\n"),
            none: None,
            odd: KeyValue("x", b"\xff"),
            prefix: {"p/": KeyValue("p/", b""), "p/a": KeyValue("p/a", b"2")},
        }
    )
    assert made.key("a") == "1\n"
    assert (made.key("n", "x"), made.key("n", default=None)) == ("x", None)
    assert made.keys("p/") == {"p/a": "2"}
    with pytest.raises(ValueError, match=r"there is no key 'n' \(a default may be given"):
        made.key("n")
    with pytest.raises(ValueError, match="the key 'x' is not UTF-8"):
        made.key("x")


def test_the_leader_is_found_step_by_step() -> None:
    known: dict[Fact, Any] = {}
    made = functions(known)
    for fact, value in [
        (LOCK, KeyValue(LOCK.name, b"10.0.0.1:80", "5e55")),
        (SESSION, Session("5e55", "n1")),
        (NODE, CatalogNode("n1", "fd00::1", {}, "dc1")),
    ]:
        assert made.leader(LOCK.name) is None
        assert made.missing == {fact}
        known[fact] = value
        made.begin(known)
    leader = made.leader(LOCK.name)
    assert leader == Leader("5e55", "n1", "fd00::1", "10.0.0.1:80")
    assert leader.host == "[fd00::1]"
    assert made.missing == set()


@pytest.mark.parametrize("entry", [None, KeyValue("x", b"v")])
def test_nobody_holds_the_lock(entry: KeyValue | None) -> None:
    made = functions({LOCK: entry})
    assert made.leader(LOCK.name) is None
    assert (made.asked, made.missing) == ({LOCK}, set())


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({SESSION: None}, "there is no session 5e55"),
        ({SESSION: Session("5e55", "n1"), NODE: None}, "there is no node n1"),
    ],
)
def test_a_holder_that_cannot_be_seen_is_not_nobody(known: dict[Fact, Any], said: str) -> None:
    made = functions({LOCK: KeyValue(LOCK.name, b"", "5e55"), **known})
    with pytest.raises(ValueError, match=f"who holds '{LOCK.name}' cannot be seen: {said}"):
        made.leader(LOCK.name)


def test_what_cannot_be_asked_for() -> None:
    made = functions({})
    for wrong in (7, None, ["web"]):
        with pytest.raises(ValueError, match="is not a text"):
            made.service(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="7' is not a text"):
        made.nodes(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="starts with a slash"):
        made.key("/a")


def test_no_more_is_asked_than_consul_has_connections_for() -> None:
    made = functions({})
    for number in range(MOST_FACTS):
        made.key(f"k{number}")
    made.key("k0")
    with pytest.raises(ValueError, match=f"more than {MOST_FACTS} things"):
        made.key("another")
