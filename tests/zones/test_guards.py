"""What may not be done, and what follows of that."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from consulfwd.dns import names
from consulfwd.zones.guards import (
    Judged,
    Kind,
    Withheld,
    clear_of,
    consistent,
    withhold,
    without_withdrawal,
)
from consulfwd.zones.model import Act, Key, RRset, difference
from tests.zones.made import ORIGIN, key_text, records, set_text

Given = Mapping[str, str | list[str]]


def acts(before: Given, after: Given) -> list[Act]:
    return difference(records(before), records(after))


def told(found: list[Act]) -> dict[str, str]:
    return {key_text(act.key): set_text(act.key, act.after) for act in found}


def withheld(judged: Judged) -> dict[str, str]:
    return {key_text(one.act.key): one.kind.value for one in judged.withheld}


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        ({}, {"web A": "10.0.0.1"}, {"web A": "10.0.0.1"}),
        ({"web A": "10.0.0.1"}, {}, {}),
        ({"web A": "10.0.0.1 10.0.0.2"}, {"web A": "10.0.0.1"}, {}),
        ({"web A": "10.0.0.1"}, {"web A": "10.0.0.2"}, {"web A": "10.0.0.1 10.0.0.2"}),
        ({"web CNAME": "a."}, {"web CNAME": "b."}, {}),
        ({}, {"web CNAME": "b."}, {"web CNAME": "b."}),
    ],
)
def test_what_withdraws_nothing(before: Given, after: Given, left: dict[str, str]) -> None:
    (act,) = acts(before, after)
    found = without_withdrawal(act)
    assert told([found] if found else []) == left


def test_what_withdraws_some_of_it() -> None:
    (act,) = acts({"web A": "10.0.0.1 10.0.0.2 10.0.0.3"}, {"web A": "10.0.0.3 10.0.0.4"})
    kept = frozenset((b"\x0a\0\0\1", b"\x0a\0\0\x09"))
    judged = withhold([act], lambda act: (Kind.BUDGET, "no"), lambda act: kept)
    assert told(judged.acts) == {"web A": "10.0.0.1 10.0.0.3 10.0.0.4"}
    (act,) = acts({"web A": "10.0.0.1 10.0.0.2"}, {})
    left = without_withdrawal(act, kept)
    assert left is not None
    assert told([left]) == {"web A": "10.0.0.1"}
    assert without_withdrawal(act, frozenset()) == act


def test_a_ttl_changes_all_the_same() -> None:
    before = records({"web A": "10.0.0.1 10.0.0.2"}, ttl=30)
    after = records({"web A": "10.0.0.1"}, ttl=5)
    (act,) = difference(before, after)
    found = without_withdrawal(act)
    assert found is not None
    assert found.after == RRset(5, next(iter(before.values())).data)


def test_only_withdrawals_are_asked_for_their_reason() -> None:
    every = acts({"a A": "10.0.0.1", "b A": "10.0.0.1"}, {"a A": "10.0.0.1 10.0.0.2"})
    asked = []

    def reason(act: Act) -> tuple[Kind, str]:
        asked.append(key_text(act.key))
        return Kind.DOUBT, "why"

    judged = withhold(every, reason)
    assert asked == ["b A"]
    assert told(judged.acts) == {"a A": "10.0.0.1 10.0.0.2"}
    assert judged.withheld == [Withheld(every[1], Kind.DOUBT, "why")]
    assert withhold(every, lambda act: None) == Judged(every, [])


@pytest.mark.parametrize(
    ("foreign", "why"),
    [
        ({}, ""),
        ({"web A": "10.9.9.9"}, "its A records are not ours"),
        ({"web TXT": ['"x"']}, ""),
        ({"web CNAME": "x."}, "a CNAME record is there that is not ours"),
        ({"web NS": "x."}, f"web.{ORIGIN}. is delegated to other servers"),
        ({"b.web NS": "x."}, ""),
        ({f"{ORIGIN}. NS": "x."}, ""),
        ({f"{ORIGIN}. DNAME": ["\\# 1 00"]}, ""),
        ({"web DNAME": ["\\# 1 00"]}, ""),
    ],
)
def test_others_in_the_way(foreign: Given, why: str) -> None:
    every = acts({}, {"web A": "10.0.0.1", "other A": "10.0.0.1"})
    judged = clear_of(records(foreign), names.from_text(ORIGIN), every)
    assert [one.why for one in judged.withheld] == ([why] if why else [])
    assert all(one.kind is Kind.FOREIGN for one in judged.withheld)
    assert "other A" in told(judged.acts)
    assert ("web A" in told(judged.acts)) is not bool(why)


def test_others_above() -> None:
    every = acts({}, {"v1.web A": "10.0.0.1"})
    origin = names.from_text(ORIGIN)
    for foreign, why in (
        (records({"web NS": "x."}), f"web.{ORIGIN}. is delegated to other servers"),
        (records({"web DNAME": ["\\# 1 00"]}), f"a DNAME record is at web.{ORIGIN}."),
    ):
        assert [one.why for one in clear_of(foreign, origin, every).withheld] == [why]


def test_a_cname_among_others() -> None:
    every = acts({}, {"web CNAME": "x."})
    judged = clear_of(records({"web TXT": ['"x"']}), names.from_text(ORIGIN), every)
    assert withheld(judged) == {"web CNAME": "foreign"}


def test_ours_may_go_from_beside_others() -> None:
    origin = names.from_text(ORIGIN)
    every = acts({"web A": "10.0.0.1"}, {})
    assert clear_of(records({"web CNAME": "x."}), origin, every).acts == every
    assert clear_of(records({"web A": "10.0.0.1"}), origin, every).acts == []


def judge(before: Given, after: Given, *kept: str) -> Judged:
    every = acts(before, after)
    judged = withhold(
        every, lambda act: (Kind.BUDGET, "no") if key_text(act.key) in kept else None
    )
    return consistent(judged, records(before))


HOST = "0a000001.addr A"
SRV = f"1 1 80 0a000001.addr.{ORIGIN}."


def test_names_that_srv_records_lead_to_stay_with_them() -> None:
    before: Given = {"_web._tcp SRV": [SRV], HOST: "10.0.0.1", "0a000002.addr A": "10.0.0.2"}
    judged = judge(before, {}, "_web._tcp SRV")
    assert withheld(judged) == {"_web._tcp SRV": "budget", HOST: "beside"}
    assert told(judged.acts) == {"0a000002.addr A": ""}
    assert withheld(judge(before, {}, HOST)) == {HOST: "budget"}
    part = judge(before, {"_web._tcp SRV": [SRV.replace("80", "81")]}, "_web._tcp SRV")
    assert withheld(part) == {"_web._tcp SRV": "budget", HOST: "beside"}


def test_other_types_at_such_a_name_may_go() -> None:
    before: Given = {"_web._tcp SRV": [SRV], HOST: "10.0.0.1", "0a000001.addr TXT": ['"x"']}
    judged = judge(before, {}, "_web._tcp SRV")
    assert told(judged.acts) == {"0a000001.addr TXT": ""}


def test_srv_records_that_are_not_ours_keep_nothing() -> None:
    every = acts({HOST: "10.0.0.1"}, {})
    ((key, rrset),) = records({"_web._tcp SRV": [SRV]}).items()
    judged = Judged(every, [Withheld(Act(key, rrset, None), Kind.FOREIGN, "x")])
    assert told(consistent(judged, records({HOST: "10.0.0.1"})).acts) == {HOST: ""}


def test_a_cname_stays_alone() -> None:
    judged = judge({"web CNAME": "x."}, {"web A": "10.0.0.1"}, "web CNAME")
    assert withheld(judged) == {"web CNAME": "budget", "web A": "beside"}
    judged = judge({"web A": "10.0.0.1"}, {"web CNAME": "x."}, "web A")
    assert withheld(judged) == {"web A": "budget", "web CNAME": "beside"}
    judged = judge({"web A": "10.0.0.1", "web TXT": ['"x"']}, {"web CNAME": "x."}, "web TXT")
    assert withheld(judged) == {"web TXT": "budget", "web CNAME": "beside", "web A": "beside"}
    assert judged.acts == []


def test_what_leads_clients_on_stays_until_its_successor_comes() -> None:
    before: Given = {"web A": "10.0.0.1", "app A": "10.0.0.1", "web TXT": ['"x"']}
    every = acts(before, {"web CNAME": "x."})
    judged = clear_of(records({"web MX": ["\\# 1 00"]}), names.from_text(ORIGIN), every)
    found = consistent(judged, records(before))
    assert withheld(found) == {"web CNAME": "foreign", "web A": "beside"}
    assert told(found.acts) == {"app A": "", "web TXT": ""}


def test_other_types_beside_what_is_withheld() -> None:
    judged = judge({"web A": "10.0.0.1"}, {"web AAAA": "2001:db8::1"}, "web A")
    assert withheld(judged) == {"web A": "budget"}
    assert told(judged.acts) == {"web AAAA": "2001:db8::1"}


def test_nothing_withheld_changes_nothing() -> None:
    every = acts({"web CNAME": "x."}, {"web A": "10.0.0.1"})
    assert consistent(Judged(list(every), []), records({"web CNAME": "x."})) == Judged(every, [])
    assert Key(b"", 1) < Key(b"\0", 1)
