"""Objects of the WAPI as records, and back."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.dns import const, names
from consulfwd.zones import rdata
from consulfwd.zones.model import Key
from consulfwd.zones.sinks.infoblox_objects import (
    KINDS,
    UNTOLD,
    Held,
    Marking,
    created,
    held,
    others,
)
from consulfwd.zones.sinks.infoblox_sets import NO_TTL, base
from consulfwd.zones.sinks.infoblox_zones import zone_text, zone_wires
from tests.zones.made import ORIGIN, key_text, records

MARKING = Marking("default", "Publisher", "consulfwd")
OURS = {"extattrs": {"Publisher": {"value": "consulfwd"}}}
WEB = f"web.{ORIGIN}"

OBJECTS = [
    ("web A", "10.0.0.1", {"ipv4addr": "10.0.0.1"}),
    ("web AAAA", "2001:db8::1", {"ipv6addr": "2001:db8::1"}),
    (
        "_web._tcp SRV",
        [f"1 2 80 web.{ORIGIN}."],
        {"priority": 1, "weight": 2, "port": 80, "target": WEB},
    ),
    ("www CNAME", f"web.{ORIGIN}.", {"canonical": WEB}),
    ("web TXT", ['"a b" "c"'], {"text": '"a b" "c"'}),
]


@pytest.mark.parametrize(("where", "text", "fields"), OBJECTS)
def test_a_record_is_an_object(where: str, text: str | list[str], fields: dict[str, Any]) -> None:
    ((key, rrset),) = records({where: text}).items()
    (data,) = rrset.data
    made = created(key, data, 30, MARKING)
    name = names.to_text(key.name).rstrip(".")
    assert made == {"name": name, "view": "default", "ttl": 30, "use_ttl": True, **fields, **OURS}
    kind = KINDS[key.type]
    found = held(kind, {"_ref": f"{kind.name}/x:y/default", **made}, MARKING)
    assert found == Held(f"{kind.name}/x:y/default", key, data, 30, ours=True)


@pytest.mark.parametrize(
    ("name", "field", "address"),
    [
        ("1.0.0.10.in-addr.arpa", "ipv4addr", "10.0.0.1"),
        ("1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa", "ipv6addr", "2001:db8::1"),
        ("x.in-addr.arpa", "name", "x.in-addr.arpa"),
    ],
)
def test_a_pointer_is_made_by_its_address(name: str, field: str, address: str) -> None:
    key = Key(names.from_text(name), const.PTR)
    made = created(key, rdata.from_text(const.PTR, f"{WEB}."), 30, MARKING)
    assert made[field] == address
    assert made["ptrdname"] == WEB
    assert {"name", "ipv4addr", "ipv6addr"} & made.keys() == {field}


def a(**given: Any) -> dict[str, Any]:
    return {"_ref": "record:a/x:y/default", "name": WEB, "ipv4addr": "10.0.0.1", **given}


@pytest.mark.parametrize(
    ("extattrs", "ours"),
    [
        ({"Publisher": {"value": "consulfwd"}}, True),
        ({"Publisher": {"value": ["consulfwd"]}}, True),
        ({"Publisher": {"value": ["consulfwd", "other"]}}, False),
        ({"Publisher": {"value": "consulfwd2"}}, False),
        ({"publisher": {"value": "consulfwd"}}, False),
        ({"Publisher": "consulfwd"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_ours_is_what_has_the_attribute(extattrs: Any, ours: bool) -> None:
    found = held(KINDS[const.A], a(extattrs=extattrs), MARKING)
    assert found is not None
    assert found.ours is ours


@pytest.mark.parametrize(
    ("given", "ttl"),
    [
        ({"ttl": 60, "use_ttl": True}, 60),
        ({"ttl": 60, "use_ttl": False}, None),
        ({"ttl": 60}, None),
        ({}, None),
    ],
)
def test_a_ttl_counts_where_it_is_used(given: dict[str, Any], ttl: int | None) -> None:
    found = held(KINDS[const.A], a(**given), MARKING)
    assert found is not None
    assert found.ttl == ttl


@pytest.mark.parametrize(
    "wrong",
    [
        {"ipv4addr": "10.0.0.256"},
        {"ipv4addr": None},
        {"ipv4addr": 5},
        {"name": "a..b"},
        {"name": None},
        {"name": "x" * 64 + f".{ORIGIN}"},
        {"_ref": "record:aaaa/x:y/default"},
        {"_ref": "zone_auth/x:y/default"},
        {"_ref": "record:a/../zone_auth/x"},
        {"_ref": "record:a/"},
        {"_ref": None},
        {"_ref": "record:a/" + "x" * 5000},
        {"use_ttl": True, "ttl": -1},
        {"use_ttl": True, "ttl": True},
    ],
)
def test_ours_that_cannot_be_read_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        held(KINDS[const.A], a(**OURS, **wrong) | wrong, MARKING)


def test_others_that_cannot_be_read_are_in_the_way_all_the_same() -> None:
    found = held(KINDS[const.A], a(ipv4addr="nonsense"), MARKING)
    assert found == Held("record:a/x:y/default", Key(names.from_text(WEB), 1), b"", None, False)
    assert held(KINDS[const.A], a(name="b\u00fc..cher"), MARKING) is None


def test_a_name_is_taken_in_lower_case_and_as_dns_has_it() -> None:
    found = held(KINDS[const.A], a(name="B\u00fccher.Example", dns_name="XN--X.example"), MARKING)
    assert found is not None
    assert found.key.name == names.from_text("xn--x.example")


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({"type": "record:host_ipv4addr", "name": "web"}, ["web A"]),
        ({"type": "record:host_ipv6addr", "name": "web"}, ["web AAAA"]),
        ({"type": "record:mx", "name": "web"}, ["web MX"]),
        ({"type": "record:dname", "name": "web"}, ["web DNAME"]),
        ({"type": "sharedrecord:txt", "name": "Web"}, ["web TXT"]),
        ({"type": "UNSUPPORTED", "name": "web"}, [f"web TYPE{UNTOLD}"]),
        ({"type": None, "name": "web"}, [f"web TYPE{UNTOLD}"]),
        ({"type": "record:ns", "name": ""}, [f"{ORIGIN}. NS"]),
        ({"type": "record:mx", "name": WEB}, ["web MX", f"web.{ORIGIN} MX"]),
        ({"type": "record:mx", "name": "a..b"}, []),
        ({"type": "record:mx"}, []),
        ({"type": "record:a", "name": "web"}, []),
        ({"type": "record:soa", "name": ""}, []),
    ],
)
def test_what_else_is_in_a_zone(given: dict[str, Any], keys: list[str]) -> None:
    found = others(given, names.from_text(ORIGIN))
    assert sorted(map(key_text, found)) == sorted(keys)


def one(text: str, ttl: int | None = 30, *, ours: bool = True) -> Held:
    ((key, rrset),) = records({"web A": text}).items()
    (data,) = rrset.data
    return Held(f"record:a/{text}", key, data, ttl, ours)


def test_a_base_has_ours_and_others() -> None:
    found = base([one("10.0.0.1"), one("10.0.0.2"), one("10.0.0.3", ours=False)], [])
    assert found.ours == records({"web A": "10.0.0.1 10.0.0.2"})
    assert found.foreign.keys() == found.ours.keys()
    assert found.serial is None


@pytest.mark.parametrize("ttls", [(30, 60), (None, None), (30, None)])
def test_a_set_without_one_ttl_has_one_that_nobody_wants(ttls: tuple[int | None, ...]) -> None:
    found = base([one("10.0.0.1", ttls[0]), one("10.0.0.2", ttls[1])], [])
    assert [rrset.ttl for rrset in found.ours.values()] == [NO_TTL]


def test_the_mark_is_of_all_that_is_there_and_of_nothing_else() -> None:
    held_ = [one("10.0.0.1"), one("10.0.0.2", ours=False)]
    key = Key(names.from_text(WEB), const.MX)
    mark = base(held_, [key]).mark
    assert mark
    again = [each._replace(ref="record:a/other") for each in reversed(held_)]
    assert base(again, [key, key]).mark == mark
    for changed in (
        base(held_, []),
        base(held_[:1], [key]),
        base([held_[0]._replace(ttl=31), held_[1]], [key]),
        base([held_[0]._replace(ours=False), held_[1]], [key]),
        base([*held_, one("10.0.0.3")], [key]),
    ):
        assert changed.mark != mark


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("svc.example.com", "svc.example.com"),
        ("10.in-addr.arpa", "10.0.0.0/8"),
        ("2.0.192.in-addr.arpa", "192.0.2.0/24"),
        ("8.b.d.0.1.0.0.2.ip6.arpa", "2001:db8::/32"),
        ("256.in-addr.arpa", "256.in-addr.arpa"),
        ("0-25.2.0.192.in-addr.arpa", "0-25.2.0.192.in-addr.arpa"),
    ],
)
def test_reverse_zones_are_networks(name: str, text: str) -> None:
    assert zone_text(names.from_text(name)) == text
    assert zone_wires(text) == [names.from_text(name)]


@pytest.mark.parametrize("text", ["", "a..b", "10.0.0.1/8", "x/y", "b\u00fc..cher"])
def test_what_is_no_zone_is_none(text: str) -> None:
    assert zone_wires(text) in ([], [names.ROOT])
