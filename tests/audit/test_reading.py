"""Replies of Consul's, as they are and as strangers may have made them."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulfwd.audit import reading
from consulfwd.audit.site import AgentConfig, Definition, Need
from tests.audit.agent import SELF
from tests.audit.sites import entry

KEYS = sorted(
    {"Servers", "ID", "Node", "Address", "Service", "Checks", "Meta", "depends-on", "Config"}
    | {"DebugConfig", "Stats", "Services", "HTTPAddrs", "TLS", "InternalRPC", "serf_lan"}
    | {"SourceName", "Permissions"}
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(KEYS),
        inner,
        max_size=4,
    ),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10s", 10.0),
        ("1h30m0s", 5400.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("87600h0m0s", 315_360_000.0),
        ("0s", 0.0),
        ("", None),
        ("never", None),
        ("10", None),
        ("10s ", None),
        ("1..5s", None),
        ("9" * 50 + "s", None),
        (10, None),
        (None, None),
    ],
)
def test_times(text: object, expected: float | None) -> None:
    assert reading.seconds(text) == expected


@pytest.mark.parametrize(
    ("said", "needs", "odd"),
    [
        ("crowd", ["crowd"], False),
        ("crowd, db,,crowd ,", ["crowd", "db"], False),
        ("", [], False),
        ("crowd; db", [], True),
        ("crowd, <b>", ["crowd"], True),
        ("a" * 256, [], True),
        (",".join(f"s{n}" for n in range(101)), [f"s{n}" for n in range(101)], True),
        (["crowd"], [], False),
    ],
)
def test_what_a_service_says_it_needs(said: Any, needs: list[str], odd: bool) -> None:
    parsed = [entry("web", "a", "10.1.0.1", meta={"depends-on": said})]
    service, found, strange = reading.service("web", parsed)
    assert (found, strange) == (sorted(needs)[: reading.MOST_NEEDS], odd)
    assert [one.node.name for one in service.instances] == ["a"]


def test_an_instance() -> None:
    parsed = [
        entry("web", "a", "10.1.0.1", status="warning", Address="10.9.0.1"),
        entry("web", "b", "10.2.0.1", status="critical"),
        entry("web", "c", "10.3.0.1", status="maintenance"),
    ]
    service, _, _ = reading.service("web", parsed)
    assert [one.healthy for one in service.instances] == [True, False, False]
    first, second, _ = service.instances
    assert (first.address, second.address, first.checks) == ("10.9.0.1", "10.2.0.1", 1)
    assert first.intervals == (10.0,)


def test_a_node_without_a_name_or_with_a_very_long_one_is_left_out() -> None:
    parsed = [entry("web", name, "10.1.0.1") for name in ("", "x" * 513, "y" * 200)]
    service, _, _ = reading.service("web", parsed)
    assert [one.node.name for one in service.instances] == ["y" * 200]
    proxy, _, _ = reading.service("p", [entry("p", "a", "10.1.0.1", Kind="connect-proxy")])
    assert (service.proxy, proxy.proxy) == (False, True)


def test_intentions() -> None:
    def one(source: str, target: str, **fields: Any) -> dict[str, Any]:
        return {"SourceName": source, "DestinationName": target, **fields}

    parsed = [
        one("web", "db", Action="allow"),
        one("web", "secret", Action="deny"),
        one("*", "db", Action="allow"),
        one("web", "*", Action="allow"),
        one("web", "api", Permissions=[{"Action": "deny"}, {"Action": "allow"}]),
        one("web", "no", Permissions=[{"Action": "deny"}]),
    ]
    assert list(reading.intentions(parsed)) == [
        Need("web", "db", "intention"),
        Need("web", "api", "intention"),
    ]


def test_servers_as_raft_and_the_leader_know_them() -> None:
    raft = {"Servers": [{"ID": "1", "Node": "s1", "Address": "[2001:db8::1]:8300", "Voter": True}]}
    well = {"ID": "1", "SerfStatus": "alive", "LastContact": "57ms", "LastIndex": 7}
    (one,) = reading.servers(raft, {"Servers": [well]})
    assert (one.name, one.address, one.alive) == ("s1", "2001:db8::1", True)
    assert (one.last_contact, one.last_index, one.healthy) == (0.057, 7, None)
    (unknown,) = reading.servers(raft, None)
    assert (unknown.alive, unknown.last_contact) == (None, None)


def test_an_agent_of_today() -> None:
    assert reading.agent_config(SELF) == AgentConfig("s1", True, "dc1", True, "deny", (), True)


def test_an_agent_of_before() -> None:
    check = {"Interval": "10s", "TTL": "0s", "FailuresBeforeCritical": 3, "SuccessBeforePassing": 2}
    ttl = {"TTL": "30s", "DeregisterCriticalServiceAfter": "90m", "ServiceID": "w1"}
    debug = {
        "ACLsEnabled": True,
        "ACLDefaultPolicy": "allow",
        "HTTPAddrs": ["tcp://0.0.0.0:8500", "unix:///run/consul", "tcp://[::1]:8500"],
        "VerifyOutgoing": True,
        "VerifyIncoming": False,
        "VerifyIncomingRPC": True,
        "DNSServiceTTL": {"*": "10s", "web": "nonsense"},
        "Services": [{"ID": "w1", "Name": "web", "Check": {"TTL": "0s"}, "Checks": [check]}],
        "Checks": [ttl, {"TTL": "1s", "ServiceID": "other"}],
    }
    said = {"Config": {"NodeName": "s1", "Server": True}, "DebugConfig": debug}
    assert reading.agent_config(said) == AgentConfig(
        "s1",
        True,
        "",
        None,
        "allow",
        ("0.0.0.0:8500",),
        True,
        {"*": 10.0},
        (
            Definition("web", "interval", 3, 2, 10.0, False),
            Definition("web", "ttl", 0, 0, 0.0, True),
        ),
    )


@pytest.mark.parametrize(
    ("outgoing", "incoming", "server", "expected"),
    [
        (True, True, True, True),
        (True, False, True, False),
        (True, False, False, True),
        (False, True, True, False),
        (None, True, True, None),
    ],
)
def test_when_rpc_is_encrypted(
    outgoing: bool | None, incoming: bool, server: bool, expected: bool | None
) -> None:
    part = {"VerifyOutgoing": outgoing, "VerifyIncoming": incoming}
    said = {"Config": {"Server": server}, "DebugConfig": {"TLS": {"InternalRPC": part}}}
    assert reading.agent_config(said).rpc_encrypted is expected


def test_what_an_agent_does_not_say_is_not_known() -> None:
    assert reading.agent_config({"Config": {"NodeName": "s1"}}) == AgentConfig("s1", False)
    off = {"Config": {"NodeName": "s1"}, "DebugConfig": {"ACLsEnabled": False}}
    assert reading.agent_config(off).acl == "off"


@given(ANY)
@settings(max_examples=60, deadline=None)
def test_whatever_is_said_is_read_or_refused(parsed: Any) -> None:
    for read in (
        reading.service_names,
        reading.nodes,
        lambda one: reading.service("web", one),
        lambda one: list(reading.intentions(one)),
        lambda one: reading.servers(one, one),
        reading.peers,
        reading.agent_config,
    ):
        with contextlib.suppress(ValueError):
            read(parsed)
