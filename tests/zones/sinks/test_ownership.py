"""Whose records are whose: the whole zone, a subtree, names that are marked."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

import pytest

from consulfwd.config.zones import Ownership as Kind
from consulfwd.dns import const, names
from consulfwd.zones.model import Act, Key, RRset, difference
from consulfwd.zones.sinks.ownership import Ownership, unfit
from consulfwd.zones.sinks.transfers import Contents
from tests.zones.made import ORIGIN, records, shown
from tests.zones.sinks.model import soa_of

WIDE = "example.com"
Given = Mapping[str, str | Iterable[str]]
MX = {Key(names.from_text(f"mail.{ORIGIN}"), const.MX): RRset(30, frozenset({b"\0\1\1x\0"}))}


def ownership(kind: Kind = "zone", subtree: str | None = None, owner: str = "me") -> Ownership:
    wire = None if subtree is None else names.from_text(subtree)
    return Ownership(kind, names.from_text(ORIGIN), wire, owner)


def contents(given: Given, zone: str = ORIGIN) -> Contents:
    apex: Given = {f"{zone}. NS": ["ns.example.com."]}
    return Contents(names.from_text(zone), soa_of(1, zone), records({**apex, **given}))


def parts(who: Ownership, given: Contents) -> tuple[list[str], list[str]]:
    """The keys of ours and of others, but for those that only keep a name free."""
    found = who.part(given)
    others = {key: rrset for key, rrset in found.foreign.items() if rrset.data}
    return sorted(shown(found.ours)), sorted(shown(others))


ZONE: Given = {
    "web A": "10.0.0.1",
    "www CNAME": ["web.svc.example.com."],
    "web TXT": ['"x"'],
    f"{ORIGIN}. A": "10.0.0.9",
    f"{ORIGIN}. TXT": ['"v=spf1"'],
    "in.lab A": "10.0.0.2",
}


def test_a_zone_of_our_own_is_ours_but_for_its_apex() -> None:
    ours, others = parts(ownership(), contents(ZONE))
    assert ours == ["in.lab A", "web A", "web TXT", "www CNAME"]
    assert others == [f"{ORIGIN}. A", f"{ORIGIN}. TXT"]


def test_types_that_are_not_ours_are_others() -> None:
    found = contents(ZONE)
    found = found._replace(records={**found.records, **MX})
    assert parts(ownership(), found)[1] == ["mail MX", f"{ORIGIN}. A", f"{ORIGIN}. TXT"]


def test_delegations_and_addresses_of_the_zones_servers_are_others() -> None:
    given: Given = {
        f"{ORIGIN}. NS": ["ns1.svc.example.com."],
        "ns1 A": "10.0.0.1",
        "lab NS": ["ns.lab.svc.example.com."],
        "ns.lab A": "10.0.0.2",
        "deep.lab A": "10.0.0.3",
        "web A": "10.0.0.4",
    }
    ours, others = parts(ownership(), contents(given))
    assert ours == ["web A"]
    assert others == ["deep.lab A", "lab NS", "ns.lab A", "ns1 A"]


def test_a_subtree_in_a_zone_of_others() -> None:
    given: Given = {
        "web A": "10.0.0.1",
        f"{WIDE}. A": "10.0.0.2",
        f"www.{WIDE}. A": "10.0.0.3",
        f"{ORIGIN}. A": "10.0.0.4",
        "in.lab A": "10.0.0.5",
        "lab A": "10.0.0.6",
    }
    zone = contents(given, WIDE)
    assert parts(ownership("subtree"), zone) == (
        ["in.lab A", "lab A", "web A"], [f"{ORIGIN}. A"],
    )  # fmt: skip
    below = ownership("subtree", f"lab.{ORIGIN}")
    assert parts(below, zone) == (["in.lab A", "lab A"], [f"{ORIGIN}. A", "web A"])
    assert not below.may_be(names.from_text(f"web.{ORIGIN}"))
    assert not below.may_be(names.from_text(f"www.{WIDE}"))


def test_names_that_are_marked() -> None:
    given: Given = {
        "web A": "10.0.0.1",
        "www CNAME": ["web.svc.example.com."],
        "db A": "10.0.0.2",
        "mine A": "10.0.0.3",
        "_consulfwd.web TXT": ['"consulfwd-owner=me"'],
        "_consulfwd.www TXT": ['"consulfwd-owner=me"'],
        "_consulfwd.db TXT": ['"consulfwd-owner=me too"'],
        "_consulfwd.mine TXT": ['"consulfwd-owner=me"', '"consulfwd-owner=you"'],
    }
    ours, others = parts(ownership("registry"), contents(given, WIDE))
    assert ours == ["web A", "www CNAME"]
    assert others == ["_consulfwd.db TXT", "_consulfwd.mine TXT", "db A", "mine A"]


def test_beside_what_others_have_at_a_name_nothing_can_be_marked() -> None:
    """A mark is for a name: with it, what others have there would be taken for ours."""
    found = ownership("registry").part(contents({"web A": "10.0.0.1"}, WIDE))
    for kind in (const.A, const.AAAA, const.TXT, const.CNAME):
        key = Key(names.from_text(f"web.{ORIGIN}"), kind)
        assert key in found.foreign
        assert unfit(ownership("registry"), [Act(key, None, RRset(1, frozenset({b"x"})))],
                     found.foreign) == [key]  # fmt: skip


@pytest.mark.parametrize("kind", ["zone", "subtree", "registry"])
def test_what_changed_alone_is_told_apart_as_all_of_it_is(kind: Kind) -> None:
    rng = random.Random(4)
    who = ownership(kind)
    pool: Given = {
        "web A": "10.0.0.1", "lab A": "10.0.0.2", "in.lab A": "10.0.0.3", "ns1 A": "10.0.0.4",
        "lab NS": ["ns.lab.svc.example.com."], "db TXT": ['"x"'], f"{ORIGIN}. A": "10.0.0.5",
        f"{ORIGIN}. NS": ["ns1.svc.example.com."], f"www.{WIDE}. A": "10.0.0.6",
        "_consulfwd.web TXT": ['"consulfwd-owner=me"'],
    }  # fmt: skip
    zone = contents({}, WIDE)
    parted = who.part(zone)
    for _ in range(500):
        some = {key: pool[key] for key in rng.sample(sorted(pool), rng.randint(0, 6))}
        later = contents(some, WIDE)
        changed = [act.key for act in difference(zone.records, later.records)]
        parted = who.again(parted, later, changed)
        assert parted == who.part(later)
        zone = later


def acts(given: dict[str, str], *, gone: bool = False) -> list[Act]:
    made = records(given)
    return [Act(key, one if gone else None, None if gone else one) for key, one in made.items()]


def test_a_mark_comes_with_the_first_and_goes_with_the_last() -> None:
    who = ownership("registry")
    name = names.from_text(f"web.{ORIGIN}")
    empty = who.part(contents({}, WIDE))
    (mark,) = who.marking(name, acts({"web A": "10.0.0.1"}), empty)
    assert shown({mark.key: mark.after or RRset(0, frozenset())}) == {
        "_consulfwd.web TXT": '"consulfwd-owner=me"'
    }
    given: Given = {
        "web A": "10.0.0.1", "web AAAA": "2001:db8::1",
        "_consulfwd.web TXT": ['"consulfwd-owner=me"'],
    }  # fmt: skip
    there = who.part(contents(given, WIDE))
    assert who.marking(name, acts({"web A": "10.0.0.1"}, gone=True), there) == []
    both = acts({"web A": "10.0.0.1", "web AAAA": "2001:db8::1"}, gone=True)
    (mark,) = who.marking(name, both, there)
    assert (mark.key.type, mark.after) == (const.TXT, None)
    assert ownership().marking(name, both, there) == []


def test_a_name_too_long_for_a_mark_in_front_is_marked_by_its_digest() -> None:
    who = ownership("registry", owner="o" * 255)
    long = ".".join(["a" * 60] * 3 + ["b" * 48]) + f".{ORIGIN}"
    name = names.from_text(long)
    assert 244 < len(name) <= 255
    (mark,) = who.marking(name, [Act(Key(name, const.A), None, RRset(1, frozenset({b"abcd"})))],
                          who.part(contents({}, WIDE)))  # fmt: skip
    assert len(mark.key.name) < 80
    assert mark.key == who.mark_of(name)
    assert mark.after is not None
    found = contents({f"{long}. A": "10.0.0.1"}, WIDE)
    assert parts(who, found)[0] == []
    found = found._replace(records={**found.records, mark.key: mark.after})
    assert parts(who, found)[0] == sorted(shown(records({f"{long}. A": "10.0.0.1"})))


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("web A", True), ("web MX", False), (f"{ORIGIN}. A", False), (f"www.{WIDE}. A", False),
        ("taken A", False),
    ],
)  # fmt: skip
def test_what_may_be_changed(key: str, fits: bool) -> None:
    name, kind = key.split()
    owner = names.from_text(name if name.endswith(".") else f"{name}.{ORIGIN}")
    number = const.type_number(kind)
    assert number is not None
    act = Act(Key(owner, number), None, RRset(1, frozenset({b"x"})))
    foreign = records({"taken A": "10.0.0.1"})
    assert (unfit(ownership(), [act], foreign) == []) == fits
