"""What must hold between the keys of zones, and what is only told."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.config import zone_forms
from consulfwd.config.cautions import cautions
from consulfwd.config.forms import BadValue
from consulfwd.config.objections import dotted
from consulfwd.config.settings import Settings
from consulfwd.config.zone_conflicts import conflicts
from consulfwd.config.zones import ZoneSettings

ORIGIN = "svc.example.com"
GRID = {"urls": ["https://grid.example/wapi/v2.11"], "user": "a", "password_file": "/p"}
UPDATES = {"servers": ["10.0.0.53"], "key_file": "/k"}
SERVED = {"listen": ["10.0.0.5:53"], "key_file": "/k"}


def zone(*targets: Any, **values: Any) -> ZoneSettings:
    given = {"origin": ORIGIN, "ns": ["ns.example.com"], "targets": targets}
    return ZoneSettings(**{**given, **values})


def found(*zones: ZoneSettings) -> list[str]:
    return [f"{dotted(one.path)}: {one.what}" for one in conflicts(zones)]


@pytest.mark.parametrize(
    "zones",
    [
        [zone()],
        [zone(view="inside"), zone(view="outside"), zone()],
        [zone({"file": {"path": "/a"}}, {"file": {"path": "/b"}})],
        [zone({"rfc2136": UPDATES}, ns=[])],
        [zone({"infoblox": GRID}, ns=[])],
        # A key's file may hold its name.
        [zone({"primary": SERVED})],
        [zone({"primary": {"listen": ["10.0.0.5:53"], "unsigned": True}})],
        # Any free port.
        [zone({"primary": {**SERVED, "listen": ["127.0.0.1:0", "127.0.0.1:0"]}})],
        [zone({"rfc2136": {**UPDATES, "ownership": "subtree", "subtree": ORIGIN}})],
        [zone({"rfc2136": {**UPDATES, "ownership": "subtree", "subtree": f"a.{ORIGIN}"}})],
        # Two publishers of one zone that leave each other's names alone.
        [
            zone({"rfc2136": {**UPDATES, "ownership": "registry", "owner": "a"}}, view="a"),
            zone({"rfc2136": {**UPDATES, "ownership": "registry", "owner": "b"}}, view="b"),
        ],
        [zone({"infoblox": GRID}, view="a"), zone({"infoblox": {**GRID, "view": "b"}}, view="b")],
        [zone(origin="10.in-addr.arpa", names_in=ORIGIN)],
        [zone(origin="8.b.d.0.1.0.0.2.ip6.arpa", names_in=ORIGIN)],
        [zone(damping={"reuse": 5_999})],
    ],
)
def test_what_goes_together(zones: list[ZoneSettings]) -> None:
    assert found(*zones) == []


@pytest.mark.parametrize(
    ("zones", "said"),
    [
        (
            [zone(view="a"), zone(), zone(view="a")],
            "zones[2].origin: svc.example.com in the view a is in the list already",
        ),
        (
            [zone({"rfc2136": UPDATES}, view="a"), zone({"rfc2136": UPDATES}, view="b")],
            "zones[1].targets[0].rfc2136.servers[0]: svc.example.com at 10.0.0.53:53 is a target"
            " already",
        ),
        (
            [zone({"infoblox": GRID}, view="a"), zone({"infoblox": GRID}, view="b")],
            "zones[1].targets[0].infoblox.urls[0]: svc.example.com at"
            " https://grid.example/wapi/v2.11 is a target already",
        ),
        (
            [zone({"primary": SERVED}, view="a"), zone({"primary": SERVED}, view="b")],
            "zones[1].targets[0].primary.listen[0]: svc.example.com at 10.0.0.5:53 is a target"
            " already",
        ),
        (
            [zone(lock={"prefix": "a"}), zone(view="b", lock={"prefix": "a"})],
            "zones[1].lock.prefix: a is another zone's already",
        ),
        (
            [zone({"primary": SERVED}, ns=[])],
            "zones[0].targets[0].primary: the zone needs to say which its servers are, and ns is"
            " not given",
        ),
    ],
)
def test_what_does_not(zones: list[ZoneSettings], said: str) -> None:
    assert found(*zones) == [said]


def test_a_lock_that_is_off_has_no_prefix() -> None:
    off = {"prefix": "a", "enabled": False}
    assert found(zone(lock=off), zone(view="b", lock=off)) == []


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (zone(ns=[f"ns.{ORIGIN}"]), "zones[0].ns[0]"),
        (zone({"rfc2136": {"servers": ["10.0.0.53"]}}), "zones[0].targets[0].rfc2136"),
        (
            zone({"primary": {"listen": ["10.0.0.5:53"], "unsigned": True}}),
            "zones[0].targets[0].primary.unsigned",
        ),
        (zone({"file": {"path": "/a"}}, lock={"enabled": False}), "zones[0].lock.enabled"),
    ],
)
def test_what_is_hardly_meant(one: ZoneSettings, said: str) -> None:
    assert [dotted(each.path) for each in cautions(Settings(zones=(one,)))] == [said]


@pytest.mark.parametrize(
    ("zones", "said"),
    [
        ([zone(origin="svc.consul")], ["zones[0].origin: svc.consul is among Consul's own names"]),
        ([zone(origin="consul")], ["zones[0].origin: consul is among Consul's own names"]),
        ([zone(origin="svcconsul")], []),
        (
            [zone(origin=f"a.{ORIGIN}"), zone()],
            [f"zones[0].origin: a.{ORIGIN} is inside of the zone {ORIGIN}"],
        ),
        ([zone(origin=f"a.{ORIGIN}", view="a"), zone(view="b")], []),
        ([zone(budget={"percent": 0})], ["zones[0].budget.percent: 0 % lets no name go"]),
        ([zone(budget={"percent": 0.1})], []),
        (
            [zone(soa={"refresh": 300, "retry": 60, "expire": 360})],
            ["zones[0].soa.expire: 360 s is no longer than refresh and retry"],
        ),
        ([zone(soa={"refresh": 300, "retry": 60, "expire": 361})], []),
        (
            [zone(aliases={f"www.{ORIGIN}": "web"})],
            [f"zones[0].aliases.www.{ORIGIN}: www.{ORIGIN} has the origin behind it already"],
        ),
        (
            [zone(aliases={"www": f"web.{ORIGIN}"})],
            [f"zones[0].aliases.www: web.{ORIGIN} has the origin behind it already"],
        ),
    ],
)
def test_what_is_hardly_meant_of_whole_zones(zones: list[ZoneSettings], said: list[str]) -> None:
    found = [f"{dotted(one.path)}: {one.what}" for one in cautions(Settings(zones=tuple(zones)))]
    assert len(found) == len(said)
    for text, begins in zip(found, said, strict=True):
        assert text.startswith(begins)


@pytest.mark.parametrize("pattern", ["web-[", "[]", "[!]", "[]a", "a[b]c[d"])
def test_a_set_of_letters_that_is_not_ended(pattern: str) -> None:
    with pytest.raises(BadValue, match="without its"):
        zone_forms.glob(pattern)


@pytest.mark.parametrize("pattern", ["web-*", "![ab]?", "[[]", "[]]", "[!]]", "a]b"])
def test_patterns(pattern: str) -> None:
    assert zone_forms.glob(pattern) == pattern


def test_what_is_missing_and_what_is_not_given_is_told_once() -> None:
    # A value of `ns` that is none has its own line.
    found = conflicts([zone({"file": {"path": "/a"}}, ns=[])])
    assert [one.also for one in found] == [(("zones", 0, "ns"),)]


def test_a_path_is_the_same_however_it_is_written() -> None:
    paths = [{"file": {"path": "/a/b"}}, {"file": {"path": "/a/../a/b"}}]
    assert found(zone(*paths)) == ["zones[0].targets[1].file.path: /a/../a/b is a target already"]
