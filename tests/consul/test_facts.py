"""What templates may ask of Consul, and what of its replies is taken for what."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.consul.facts import MOST_NAME, Fact, FactKind, content
from consulfwd.consul.values import CatalogNode, KeyValue, Listed, ServiceInstance, Session


def instance(node: str = "n1", **service: Any) -> dict[str, Any]:
    return {
        "Node": {"Node": node, "Address": "10.0.0.1", "Datacenter": "dc1", "Meta": {"rack": "r1"}},
        "Service": {
            "ID": "web1",
            "Service": "web",
            "Tags": ["b", "a"],
            "Address": "",
            "Port": 80,
            "Meta": {"z": "1", "a": "2"},
            "Weights": {"Passing": 10, "Warning": 3},
            **service,
        },
        "Checks": [{"Status": "passing"}],
    }


def entry(key: str, value: bytes | None = b"x", **more: str) -> dict[str, Any]:
    coded = None if value is None else base64.b64encode(value).decode()
    return {"Key": key, "Value": coded, "LockIndex": 1, **more}


SERVICE = Fact(FactKind.SERVICE, "web")
KEY, KEYS = Fact(FactKind.KEY, "a/b"), Fact(FactKind.KEYS, "a/")


@pytest.mark.parametrize(
    ("fact", "path", "params", "written"),
    [
        (SERVICE, "/v1/health/service/web", {}, "service web"),
        (Fact(FactKind.SERVICE, "a b/c"), "/v1/health/service/a%20b%2Fc", {}, "service a b/c"),
        (Fact(FactKind.SERVICES), "/v1/catalog/services", {}, "services"),
        (
            Fact(FactKind.NODES, datacenter="dc2"),
            "/v1/catalog/nodes",
            {"dc": "dc2"},
            "nodes in dc2",
        ),
        (Fact(FactKind.NODE, "n1"), "/v1/catalog/node/n1", {}, "node n1"),
        (Fact(FactKind.KEY, "a/b c?x"), "/v1/kv/a/b%20c%3Fx", {}, "key a/b c?x"),
        (KEYS, "/v1/kv/a/", {"recurse": ""}, "keys a/"),
        (Fact(FactKind.KEYS), "/v1/kv/", {"recurse": ""}, "keys"),
        (Fact(FactKind.SESSION, "ab-1"), "/v1/session/info/ab-1", {}, "session ab-1"),
        (Fact(FactKind.DATACENTERS), "/v1/catalog/datacenters", {}, "datacenters"),
    ],
)
def test_how_facts_are_asked_for(
    fact: Fact, path: str, params: dict[str, str], written: str
) -> None:
    assert (fact.path, fact.params, str(fact)) == (path, params, written)
    assert fact.blocks == (fact.kind is not FactKind.DATACENTERS)
    assert fact.absent == (fact.kind in (FactKind.KEY, FactKind.KEYS))


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (FactKind.SERVICE, "", "empty"),
        (FactKind.KEY, "", "empty"),
        (FactKind.SERVICE, "..", "has an empty part, . or .."),
        (FactKind.KEY, "/a", "starts with a slash"),
        (FactKind.KEY, "a//b", "an empty part"),
        (FactKind.KEYS, "a/../b/", "an empty part, . or .."),
        (FactKind.NODE, "a\nb", "cannot be asked for"),
        (FactKind.NODE, "\ud800", "cannot be asked for"),
        (FactKind.KEY, "x" * (MOST_NAME + 1), "cannot be asked for"),
    ],
)
def test_what_cannot_be_asked_for(kind: FactKind, name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Fact(kind, name)


def test_names_as_long_as_allowed_and_datacenters() -> None:
    assert Fact(FactKind.KEY, "x" * MOST_NAME).path.endswith("x")
    with pytest.raises(ValueError, match="not the name of a datacenter"):
        Fact(FactKind.NODES, datacenter="dc1&x=1")


def test_instances_have_their_own_address_or_their_nodes() -> None:
    found: Any = SERVICE.read([instance("n2", Address="fd00::2"), instance("n1")])
    assert found == (
        ServiceInstance(
            name="web",
            id="web1",
            address="10.0.0.1",
            port=80,
            tags=("b", "a"),
            meta={"a": "2", "z": "1"},
            node="n1",
            node_address="10.0.0.1",
            datacenter="dc1",
            weight=10,
            status="passing",
        ),
        found[1],
    )
    second = found[1]
    assert (second.node, second.address, second.host) == ("n2", "fd00::2", "[fd00::2]")
    assert second.node_address == found[0].host == "10.0.0.1"


@pytest.mark.parametrize(
    ("statuses", "status", "weight"),
    [
        ([], "passing", 10),
        (["passing", "warning"], "warning", 3),
        (["warning", "critical"], "critical", 10),
        (["maintenance"], "critical", 10),
    ],
)
def test_the_worst_check_counts(statuses: list[str], status: str, weight: int) -> None:
    one = instance() | {"Checks": [{"Status": each} for each in statuses]}
    found: Any = SERVICE.read([one])
    assert (found[0].status, found[0].weight) == (status, weight)


def test_order_of_a_reply_does_not_count() -> None:
    parts = [instance("n2"), instance("n1", ID="b"), instance("n1", ID="a")]
    forth, back = SERVICE.read(parts), SERVICE.read(parts[::-1])
    assert forth == back
    assert content(forth) == content(back)
    assert content(forth).size == 3
    assert content(SERVICE.read(parts[:2])) != content(forth)


def test_the_other_lists() -> None:
    services = Fact(FactKind.SERVICES).read({"web": ["b", "a"], "consul": None})
    assert services == (Listed("consul", ()), Listed("web", ("a", "b")))
    node = {"Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1", "Meta": None}
    read = CatalogNode("n1", "10.0.0.1", {}, "dc1")
    assert Fact(FactKind.NODES).read([node]) == (read,)
    assert Fact(FactKind.NODE, "n1").read({"Node": node, "Services": {}}) == read
    assert Fact(FactKind.DATACENTERS).read(["dc2", "dc1"]) == ("dc1", "dc2")
    session = [{"ID": "ab-1", "Node": "n1", "TTL": "10s"}]
    assert Fact(FactKind.SESSION, "ab-1").read(session) == Session("ab-1", "n1")


def test_keys() -> None:
    assert KEY.read([entry("a/b", b"x\ny", Session="ab-1")]) == KeyValue("a/b", b"x\ny", "ab-1")
    assert KEYS.read([entry("a/c"), entry("a/b", None)]) == {
        "a/b": KeyValue("a/b", b""),
        "a/c": KeyValue("a/c", b"x"),
    }
    assert KeyValue("k", "ä\n".encode()).text() == "ä\n"
    with pytest.raises(ValueError, match="'k' is not UTF-8"):
        KeyValue("k", b"\xff").text()


@pytest.mark.parametrize("kind", list(FactKind))
def test_nothing_is_nothing(kind: FactKind) -> None:
    fact = Fact(kind, "x" if "{" in kind.value or kind is not FactKind.SERVICES else "")
    value = fact.read(None)
    assert not value
    assert content(value).size == 0


@pytest.mark.parametrize(
    ("fact", "parsed", "said"),
    [
        (SERVICE, [instance(Address=7)], "neither"),
        (SERVICE, [instance(Tags=[1])], "a tag of instance of 'web' on 'n1' is not a text"),
        (SERVICE, [instance(Meta={"a": 1})], "Meta of instance of 'web' on 'n1' is not a text"),
        (SERVICE, [instance(Port=True)], "the port is True"),
        (SERVICE, [instance(ID=7)], "the ID of instance of 'web' on 'n1' is not a text"),
        (SERVICE, [instance() | {"Checks": "x"}], "Checks: not of the form"),
        (SERVICE, {}, "instances: not of the form"),
        (SERVICE, [1], "an instance is not of the form"),
        (Fact(FactKind.SERVICES), [], None),
        (Fact(FactKind.SERVICES), [1], "list of services is not of the form"),
        (Fact(FactKind.NODE, "x"), [], "not of the form"),
        (KEY, [entry("a/b"), entry("a/c")], "more than one entry"),
        (KEY, [entry("a/\n")], "a key holds control characters"),
        (KEY, [entry("a/b") | {"Value": "!"}], "not in base64"),
        (KEY, [entry("a/b") | {"Value": 3}], "not in base64"),
        (KEY, [entry("a/b", Session="../x")], "the session's ID is none"),
        (Fact(FactKind.SESSION, "x"), [[]], "the session is not of the form"),
        (Fact(FactKind.DATACENTERS), [None], "datacenter's name is not a text"),
    ],
)
def test_hostile_replies(fact: Fact, parsed: object, said: str | None) -> None:
    if said is None:
        assert fact.read(parsed) == ()
        return
    with pytest.raises(ValueError, match=said):
        fact.read(parsed)


N2 = instance("n2")["Node"]


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (instance(Tags=["a\u2028b"]), "a tag of instance of 'web' on 'n1' holds control"),
        (instance(Meta={"a": "x\r"}), "Meta of instance of 'web' on 'n1' holds control"),
        (instance(Meta={"\0": "x"}), "Meta of instance of 'web' on 'n1' holds control"),
        (
            instance() | {"Node": {"Node": "n1", "Address": "10.0.0.1", "Meta": {"a": "\x1b"}}},
            "Meta of node 'n1' holds control characters",
        ),
        (instance(Address="10.0.0.1; evil"), "instance of 'web' on 'n1': '10.0.0.1; evil' is neit"),
        (instance(Address="-x"), "instance of 'web' on 'n1': '-x' is neither an IP address"),
        (instance(Address='"x"'), "instance of 'web' on 'n1': '\"x\"' is neither an IP address"),
        (instance(ID="a\nb"), "the ID of instance of 'web' on 'n1' holds control characters"),
        (instance(Service="we\x85b"), "Service holds control characters: 'we\\x85b'"),
        (instance(Port=65536), "instance of 'web' on 'n1': the port is 65536"),
        (instance(Port=-1), "instance of 'web' on 'n1': the port is -1"),
        (instance(Weights={"Passing": -1}), "instance of 'web' on 'n1': the weight is -1"),
        (instance("n\x7f1"), "a node's name holds control characters: 'n\\x7f1'"),
        (instance() | {"Node": {"Node": "n1", "Address": ""}}, "node 'n1': '' is neither"),
        (instance() | {"Node": {"Node": "n1", "Address": "a b"}}, "node 'n1': 'a b' is neither"),
    ],
)
def test_what_a_stranger_wrote_costs_his_instance_alone(odd: dict[str, Any], said: str) -> None:
    read: Any = SERVICE.reading([odd, instance("n2")])
    assert [one.node for one in read.value] == ["n2"]
    assert (read.size, read.members) == (1, {("n2", "web1")})
    (told,) = read.left_out
    assert told.startswith(said)
    assert told.endswith(": that instance is left out")


@pytest.mark.parametrize(
    ("fact", "parsed", "left", "told"),
    [
        (
            Fact(FactKind.SERVICES),
            {"a\nb": [], "web": []},
            (Listed("web", ()),),
            "a service's name holds control characters: 'a\\nb': that service is left out",
        ),
        (
            Fact(FactKind.NODES),
            [{"Node": "n1\u2029", "Address": "10.0.0.1"}],
            (),
            "a node's name holds control characters: 'n1\\u2029': that node is left out",
        ),
        (
            Fact(FactKind.NODES),
            [{"Node": "n1", "Address": "fe80::1%eth0"}],
            (),
            "node 'n1': 'fe80::1%eth0' is neither an IP address nor a host name:"
            " that node is left out",
        ),
        (
            Fact(FactKind.KEYS, "a/"),
            [entry("a/\n"), entry("a/b")],
            {"a/b": KeyValue("a/b", b"x")},
            "a key holds control characters: 'a/\\n': that key is left out",
        ),
    ],
)
def test_nor_what_he_called_it(fact: Fact, parsed: object, left: object, told: str) -> None:
    read = fact.reading(parsed)
    assert (read.value, read.left_out) == (left, (told,))


def test_what_a_stranger_wrote_costs_his_node_or_his_tag_alone() -> None:
    odd = {"Node": "n1", "Address": "10.0.0.1", "Meta": {"a": "\n", "b": "1"}}
    nodes: Any = Fact(FactKind.NODES).reading([odd, N2])
    assert [one.name for one in nodes.value] == ["n2"]
    assert nodes.left_out == (
        "Meta of node 'n1' holds control characters: '\\n': that node is left out",
    )
    # Who holds a lock is named all the same.
    node: Any = Fact(FactKind.NODE, "n1").reading({"Node": odd})
    assert (node.value.address, node.value.meta) == ("10.0.0.1", {"b": "1"})
    # A tag of one instance is no reason to hide what others have.
    services: Any = Fact(FactKind.SERVICES).reading({"web": ["a", "b\n"], "db": []})
    assert services.value == (Listed("db", ()), Listed("web", ("a",)))
    assert services.left_out == (
        "a tag of service 'web' holds control characters: 'b\\n': it is left out",
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Node", "Service", "Key", "Value", "ID", "Checks"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(list(FactKind)), JSON)
def test_only_value_errors_escape(kind: FactKind, parsed: object) -> None:
    try:
        value = Fact(kind, "x").read(json.loads(json.dumps(parsed)))
    except ValueError:
        return
    assert content(value).size >= 0
