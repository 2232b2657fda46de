"""The instances in a reply of /v1/health/service, as Consul's DNS shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.consul.content import instances
from consulfwd.core.settling import Instance
from consulfwd.dns.names import ROOT, to_text


def entry(
    address: str = "10.0.0.1",
    own: str = "",
    *,
    node: Mapping[str, Any] | None = None,
    statuses: tuple[str, ...] = ("passing", "passing"),
    **service: Any,
) -> dict[str, Any]:
    """One entry, as Consul has it; `node` and what follows replace fields."""
    return {
        "Node": {"Node": "Web-1", "Address": address, "Datacenter": "dc1", "TaggedAddresses": None}
        | dict(node or {}),
        "Service": {
            "ID": "web-1",
            "Service": "web",
            "Tags": [],
            "Address": own,
            "Port": 80,
            "Weights": {"Passing": 5, "Warning": 2},
        }
        | service,
        "Checks": [{"CheckID": str(n), "Status": one} for n, one in enumerate(statuses)],
    }


def the(one: dict[str, Any]) -> Instance:
    """The only instance there is."""
    (found,) = instances([one])
    return found


def target(one: Instance) -> str:
    """What SRV points to, and its address."""
    return f"{to_text(one.target + ROOT)} {ip_address(one.host)}" if one.target else ""


def addresses(one: Instance) -> str:
    """What A and AAAA show."""
    return " ".join(str(ip_address(packed)) for packed in (one.ipv4, one.ipv6) if packed)


NODE4 = "Web-1.node.dc1. 10.0.0.1"
TAGGED = {"lan": "10.0.0.1", "lan_ipv4": "10.0.0.1", "wan": "192.0.2.1", "wan_ipv4": "192.0.2.1"}


def tagged(**tags: str) -> dict[str, Any]:
    """A service's tagged addresses."""
    return {"TaggedAddresses": {tag: {"Address": at, "Port": 9} for tag, at in tags.items()}}


@pytest.mark.parametrize(
    ("read", "a", "srv"),
    [
        (entry(), "10.0.0.1", NODE4),
        (entry("fd00::1"), "fd00::1", "Web-1.node.dc1. fd00::1"),
        (entry("FD00:0::0:1"), "fd00::1", "Web-1.node.dc1. fd00::1"),
        (entry("::ffff:10.0.0.1"), "10.0.0.1", NODE4),
        (entry(own="10.1.0.1"), "10.1.0.1", "0a010001.addr.dc1. 10.1.0.1"),
        (entry(own="10.0.0.1"), "10.0.0.1", "0a000001.addr.dc1. 10.0.0.1"),
        (entry(own="fd00::1"), "fd00::1", f"fd00{'0' * 27}1.addr.dc1. fd00::1"),
        (entry(own="::ffff:10.1.0.1"), "10.1.0.1", "0a010001.addr.dc1. 10.1.0.1"),
        # A tagged address is shown instead; SRV takes IPv6 first, by its address.
        (entry(node={"TaggedAddresses": TAGGED}), "10.0.0.1", NODE4),
        (
            entry(node={"TaggedAddresses": TAGGED | {"lan_ipv6": "fd00::1"}}),
            "10.0.0.1 fd00::1",
            f"fd00{'0' * 27}1.addr.dc1. fd00::1",
        ),
        (
            entry(node={"TaggedAddresses": {"lan_ipv4": "10.0.0.9"}}),
            "10.0.0.9",
            "0a000009.addr.dc1. 10.0.0.9",
        ),
        (
            entry("fd00::1", node={"TaggedAddresses": {"lan_ipv4": "10.0.0.9"}}),
            "10.0.0.9 fd00::1",
            "0a000009.addr.dc1. 10.0.0.9",
        ),
        # The plain tag counts for nothing.
        (
            entry(own="10.1.0.1", **tagged(lan="10.1.0.9")),
            "10.1.0.1",
            "0a010001.addr.dc1. 10.1.0.1",
        ),
        (
            entry(own="10.1.0.1", **tagged(lan_ipv4="10.1.0.1", wan_ipv4="10.1.0.1")),
            "10.1.0.1",
            "0a010001.addr.dc1. 10.1.0.1",
        ),
        (
            entry(own="10.1.0.1", **tagged(lan_ipv6="fd00::1")),
            "10.1.0.1 fd00::1",
            f"fd00{'0' * 27}1.addr.dc1. fd00::1",
        ),
        (
            entry(**tagged(lan_ipv6="fd00::1")),
            "10.0.0.1 fd00::1",
            f"fd00{'0' * 27}1.addr.dc1. fd00::1",
        ),
    ],
)  # fmt: skip
def test_addresses(read: dict[str, Any], a: str, srv: str) -> None:
    found = the(read)
    assert addresses(found) == a
    assert target(found) == srv
    assert not found.odd


@pytest.mark.parametrize(
    "read",
    [
        entry("db.example.test"),
        entry(own="db.example.test"),
        entry(own="web.service.consul"),
        entry("fe80::1%eth0"),
        entry("010.001.000.001"),
        entry("10.0.0"),
        entry("10.0.0.1 "),
        entry(""),
        entry(own="10.1.0.1", **tagged(lan_ipv6="db.example.test")),
    ],
)  # fmt: skip
def test_what_is_no_address_is_never_shown_as_one(read: dict[str, Any]) -> None:
    found = the(read)
    assert found.odd
    assert (addresses(found), target(found)) == ("", "")


@pytest.mark.parametrize(
    ("read", "odd"),
    [
        # The WAN's address stands where the LAN's should: `translate_wan_addrs`.
        (entry("192.0.2.1", node={"TaggedAddresses": TAGGED}), True),
        (entry("192.0.2.1", node={"TaggedAddresses": {"wan": "192.0.2.1"}}), True),
        (entry(own="192.0.2.1", **tagged(wan="192.0.2.1")), True),
        (entry(own="192.0.2.1", **tagged(lan="10.1.0.1", wan="192.0.2.1")), True),
        # It would make no difference, or did not happen.
        (entry(node={"TaggedAddresses": TAGGED}), False),
        (entry(node={"TaggedAddresses": dict.fromkeys(TAGGED, "10.0.0.1")}), False),
        (entry(own="10.1.0.1", **tagged(lan="10.1.0.1", wan="192.0.2.1")), False),
    ],
)
def test_a_translated_address_is_not_taken_for_the_one_dns_shows(
    read: dict[str, Any], odd: bool
) -> None:
    assert the(read).odd == odd


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("web", "web.node.dc1."),
        ("Web.Rack-1", "Web.Rack-1.node.dc1."),
        ("under_scored", "under_scored.node.dc1."),
        ("my node", "my\\032node.node.dc1."),
        # As Consul does it: a backslash in a name escapes.
        ("my\\node", "mynode.node.dc1."),
        ("l" * 63, f"{'l' * 63}.node.dc1."),
        ("l" * 64, ""),
        ("a..b", ""),
        ("", ""),
        ("n\u00f6", ""),
    ],
)
def test_names_of_nodes(name: str, shown: str) -> None:
    found = the(entry(node={"Node": name}))
    assert to_text(found.target + ROOT) == (shown or ".")
    # A is shown all the same.
    assert addresses(found) == "10.0.0.1"
    own = the(entry(own="10.1.0.1", node={"Node": name}))
    assert target(own) == "0a010001.addr.dc1. 10.1.0.1"
    assert to_text(own.node + ROOT) == (shown or ".")


@pytest.mark.parametrize(
    ("statuses", "weight", "passing"),
    [
        ((), 5, True),
        (("passing",), 5, True),
        (("passing", "warning"), 2, False),
        (("warning", "strange"), 1, False),
        (("maintenance",), 1, False),
    ],
)
def test_weights(statuses: tuple[str, ...], weight: int, passing: bool) -> None:
    found = the(entry(statuses=statuses))
    assert (found.weight, found.passing) == (weight, passing)


@pytest.mark.parametrize(
    ("weights", "weight"),
    [
        (None, 1),
        ({}, 1),
        ({"Passing": 0}, 0),
        ({"Passing": 65535}, 65535),
        ({"Passing": 65536}, 1),
        ({"Passing": -1}, 1),
        ({"Passing": "5"}, 1),
    ],
)
def test_odd_weights(weights: object, weight: int) -> None:
    assert the(entry(Weights=weights)).weight == weight


@pytest.mark.parametrize(
    ("port", "shown"), [(80, 80), (0, 0), (65535, 65535), (70000, 4464), (-5, 65531), ("80", 0)]
)
def test_ports(port: object, shown: int) -> None:
    assert the(entry(Port=port)).port == shown


def test_a_port_of_zero_may_be_left_out() -> None:
    read = entry()
    del read["Service"]["Port"]
    assert the(read).port == 0


def test_tags_are_compared_without_case() -> None:
    assert the(entry(Tags=["Blue", "light.GREEN"])).tags == {"blue", "light.green"}
    assert the(entry(Tags=None)).tags == frozenset()


def test_who_is_critical_is_not_among_them() -> None:
    assert instances([entry(statuses=("passing", "critical"))]) == frozenset()
    found = instances([entry(), entry("10.0.0.2", statuses=("critical",)), entry("10.0.0.3")])
    assert {addresses(one) for one in found} == {"10.0.0.1", "10.0.0.3"}


@pytest.mark.parametrize("empty", [[], None])
def test_none(empty: object) -> None:
    assert instances(empty) == frozenset()


def test_what_dns_does_not_show_makes_no_other_instance() -> None:
    same = entry(ID="web-2", Meta={"a": "b"}, ModifyIndex=9, EnableTagOverride=True)
    assert instances([entry(), same]) == instances([entry()])


@pytest.mark.parametrize(
    "parsed",
    [
        {},
        "web",
        [1],
        [{}],
        [{"Node": {}}],
        [entry() | {"Node": None}],
        [entry() | {"Checks": {}}],
        [entry(Weights=1)],
        [entry(Tags={})],
        [entry(TaggedAddresses=["10.0.0.1"])],
        [entry(node={"TaggedAddresses": "10.0.0.1"})],
    ],
)
def test_what_is_of_another_form_is_refused(parsed: object) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        instances(parsed)


def test_a_status_that_is_no_text_is_not_passing() -> None:
    read = entry()
    read["Checks"][0]["Status"] = ["passing"]
    assert not the(read).passing


PLAIN = st.none() | st.booleans() | st.integers() | st.text()
VALUES = st.recursive(
    PLAIN | st.sampled_from(["10.0.0.1", "fd00::1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
WHERE = [(part, key) for part in ("Node", "Service") for key in entry()[part]]


@given(st.sampled_from(WHERE), VALUES)
def test_any_value_is_read_or_refused(where: tuple[str, str], value: object) -> None:
    read = json.loads(json.dumps(entry()))
    read[where[0]][where[1]] = value
    try:
        found = the(read)
    except ValueError:
        return
    assert len(found.host) in (0, 4, 16)
    assert len(found.ipv4) in (0, 4)
    assert len(found.ipv6) in (0, 16)
    assert 0 <= found.port < 65536
    assert 0 <= found.weight < 65536
    assert not found.odd or not (found.target or found.ipv4 or found.ipv6)
