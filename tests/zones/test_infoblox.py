"""A zone in a grid: published, kept, and others' records left alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consulfwd.apply.change import Change
from consulfwd.dns import const, names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Act, Key, RRset, difference
from consulfwd.zones.sinks.infoblox_reading import PAGE
from consulfwd.zones.sinks.infoblox_sets import NO_TTL
from consulfwd.zones.target import Push, Target
from tests.zones.infobloxed import (
    MARK,
    Given,
    NeverEmpty,
    Site,
    fill,
    foreign,
    foreign_keys,
    grid,
    small_pages,
    texts,
)
from tests.zones.made import ORIGIN, key_text, records
from tests.zones.wapi import Member, always, writing
from tests.zones.wapi_served import serving

WEB = f"web.{ORIGIN}."
WANTED: Given = {
    "web A": "10.0.0.1 10.0.0.2",
    "web AAAA": "2001:db8::1",
    "_web._tcp SRV": [f"1 1 80 {WEB}", f"1 1 81 {WEB}"],
    "www CNAME": WEB,
    "web TXT": ['"version=1"', '"a b" "c"', r'"say \"hi\" \\ \195\164"', r'"$INCLUDE x\010"'],
}
SiteOf = Callable[..., Site]


@pytest.fixture
def member() -> Member:
    return Member(grid())


@pytest.fixture
def site(member: Member, tmp_path: Path, signed_here: Path) -> Iterator[Site]:
    one = Site([member], tmp_path, signed_here)
    yield one
    one.target.close()


@pytest.fixture
def served(tmp_path: Path, signed_here: Path) -> Iterator[Site]:
    """A site whose grid is asked over TLS; its view has a space in its name."""
    member = Member(grid(view="in side"))
    with serving([member], signed_here):
        one = Site([member], tmp_path, signed_here, settings={"view": "in side"}, served=True)
        yield one
        one.target.close()


def test_it_is_a_target(site: Site) -> None:
    target: Target = site.target
    change: Change = site.target.change(Push(site.target.read(), []))
    assert target.where == change.where == f"infoblox 127.0.0.1:{site.members[0].port} view default"
    assert not change.due()


def test_every_type_goes_there_and_comes_back(site: Site) -> None:
    base = site.round(WANTED)
    assert base.ours == records(WANTED)
    assert site.acts(base, WANTED) == []
    for one in site.grid.objects.values():
        assert (one["ttl"], one["use_ttl"], one["extattrs"]) == (30, True, MARK)
    # SRV records are objects of their own, one for each value.
    assert len(site.grid.records()[(f"_web._tcp.{ORIGIN}", "record:srv")]) == 2


def test_every_type_goes_over_tls_and_comes_back(served: Site) -> None:
    assert served.round(WANTED).ours == records(WANTED)
    (member,) = served.members
    member.grid.writes.clear()
    for _ in range(3):
        assert served.round(WANTED).ours == records(WANTED)
    assert member.grid.writes == []
    changed: Given = {"web A": "10.0.0.9", "web AAAA": "2001:db8::2 2001:db8::3"}
    assert served.round(changed).ours == records(changed)
    assert {method for method, _, _ in member.grid.writes} == {"PUT", "POST", "DELETE"}
    assert (member.logins, {one.shown for one in member.asked[4:]}) == (1, {"cookie"})
    assert 1 < member.most_at_once <= 4


@pytest.mark.parametrize(
    ("origin", "address"),
    [("0.10.in-addr.arpa", "10.0.0.1"), ("8.b.d.0.1.0.0.2.ip6.arpa", "2001:db8::1")],
)
def test_pointers_go_to_a_reverse_zone(
    member: Member, tmp_path: Path, signed_here: Path, origin: str, address: str
) -> None:
    member.begin(grid(origin))
    site = Site([member], tmp_path, signed_here, origin)
    reverse = {
        "10.0.0.1": "1.0.0.10.in-addr.arpa.",
        "2001:db8::1": "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa.",
    }[address]
    wanted = {f"{reverse} PTR": WEB}
    assert site.round(wanted).ours == records(wanted)
    other = {f"{reverse} PTR": f"other.{ORIGIN}."}
    assert site.round(other).ours == records(other)
    assert [method for method, _, _ in site.grid.writes] == ["POST", "PUT"]
    assert site.round({}).ours == {}
    site.target.close()


def test_a_hundred_rounds_without_a_change_write_nothing(site: Site) -> None:
    mark = site.round(WANTED).mark
    site.grid.writes.clear()
    for _ in range(100):
        assert site.round(WANTED).mark == mark
    assert site.grid.writes == []
    assert not any(map(writing, site.members[0].asked[-100:]))
    assert site.members[0].logins == 1


def test_a_value_that_changes_is_put_on_its_reference(site: Site) -> None:
    site.round({"web A": "10.0.0.1", "www CNAME": WEB})
    (ref,) = (one for one in site.grid.objects if one.startswith("record:a/"))
    site.grid.writes.clear()
    NeverEmpty(site.grid, "web", "www")
    wanted = {"web A": "10.0.0.9", "www CNAME": f"other.{ORIGIN}."}
    assert site.round(wanted).ours == records(wanted)
    assert [method for method, _, _ in site.grid.writes] == ["PUT", "PUT"]
    assert site.grid.writes[0][1] == ref
    # The reference is another one by that.
    assert ref not in site.grid.objects
    site.grid.watches.clear()
    assert site.round({"web A": "10.0.0.8"}).ours == records({"web A": "10.0.0.8"})


def test_a_ttl_that_changes_is_all_that_is_written(site: Site) -> None:
    site.round(WANTED)
    site.grid.writes.clear()
    other = records(WANTED, ttl=60)
    assert site.round(other).ours == other
    assert {method for method, _, _ in site.grid.writes} == {"PUT"}
    assert all(body == {"ttl": 60, "use_ttl": True} for _, _, body in site.grid.writes)


@pytest.mark.parametrize("ttls", [(30, 60), (None, None), (30, None)])
def test_a_ttl_that_somebody_changed_is_mended(site: Site, ttls: tuple[int | None, ...]) -> None:
    wanted = {"web A": "10.0.0.1 10.0.0.2"}
    site.round(wanted)
    for one, ttl in zip(list(site.grid.objects.values()), ttls, strict=True):
        one["use_ttl"] = ttl is not None
        one["ttl"] = ttl
    assert [one.ttl for one in site.target.read().ours.values()] == [NO_TTL]
    assert site.round(wanted).ours == records(wanted)


@pytest.mark.parametrize("back", [False, True])
def test_a_name_becomes_an_alias_and_is_one_no_more(site: Site, back: bool) -> None:
    before: Given = {"web A": "10.0.0.7", "www A": "10.0.0.1 10.0.0.2", "www TXT": ['"x"']}
    after: Given = {"web A": "10.0.0.7", "www CNAME": WEB}
    if back:
        before, after = after, before
    site.round(before)
    assert site.round(after).ours == records(after)


def test_internationalised_names_are_the_same_however_they_are_spelled(site: Site) -> None:
    name, shown = "xn--bcher-kva", "b\u00fccher"
    wanted: Given = {
        f"{name} A": "10.0.0.1 10.0.0.2",
        f"_{name}._tcp SRV": [f"1 1 80 {name}.{ORIGIN}."],
        "www CNAME": f"{name}.{ORIGIN}.",
    }
    base = site.round(wanted)
    assert base.ours == records(wanted)
    less = {**wanted, f"{name} A": "10.0.0.2"}
    base = site.round(less)
    # Others write them as people read them, at the last moment too.
    foreign(site.grid, "record:a", shown, ipv4addr="192.0.2.1")
    site.push(site.acts(base, wanted), base)
    assert [key_text(one.act.key) for one in site.left] == [f"{name} A"]
    site.grid.besides.append(("default", ORIGIN, f"x.{shown}", "UNSUPPORTED"))
    base = site.target.read()
    assert {f"{name} A", f"x.{name} TYPE65280"} <= set(foreign_keys(base))
    assert texts(base) == {
        f"{name} A": "10.0.0.2", "www CNAME": f"{name}.{ORIGIN}.",
        f"_{name}._tcp SRV": f"1 1 80 {name}.{ORIGIN}.",
    }  # fmt: skip


def test_what_comes_is_there_before_what_goes_is_gone(site: Site) -> None:
    old, new = f"old.{ORIGIN}.", f"new.{ORIGIN}."
    before: Given = {"web A": "10.0.0.1 10.0.0.2", "old A": "10.0.0.1"}
    site.round({**before, "_web._tcp SRV": [f"1 1 1 {old}"]})
    NeverEmpty(site.grid, "web", "_web._tcp")
    led_to: list[bool] = []

    def led(grid: Any) -> None:
        there = {one["name"] for one in grid.objects.values()}
        leads = {one["target"] for one in grid.objects.values() if "target" in one}
        led_to.append(leads <= there)

    site.grid.watches.append(led)
    wanted: Given = {
        "web A": "10.0.0.3 10.0.0.4 10.0.0.5",
        "new A": "10.0.0.3",
        "_web._tcp SRV": [f"1 1 1 {new}"],
    }
    assert site.round(wanted).ours == records(wanted)
    assert all(led_to)


def test_more_than_a_page_is_read_whole(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PAGE == site.grid.limit == 1_000
    small_pages(site.grid, monkeypatch)
    fill(site.grid, 25)
    fill(site.grid, 12, "o", extattrs=MARK)
    base = site.target.read()
    # The zone's own NS records are there, too.
    assert len(base.foreign) == 26
    assert len(base.ours) == 12
    assert {one.query.get("_max_results") for one in site.members[0].asked} == {"1", "10"}


def test_a_zone_below_and_what_others_have_is_foreign(site: Site) -> None:
    zones = site.grid.zones
    zones["default", f"sub.{ORIGIN}"] = "zone_auth"
    zones["default", f"gone.{ORIGIN}"] = "zone_delegated"
    zones["default", f"fwd.{ORIGIN}"] = "zone_forward"
    zones["other", ORIGIN] = "zone_auth"
    foreign(site.grid, "record:host", "db", ipv4addrs=[{"ipv4addr": "192.0.2.1"}])
    foreign(site.grid, "record:caa", "web", ca_flag=0, ca_tag="issue", ca_value="x")
    foreign(site.grid, "record:a", "Web", ipv4addr="192.0.2.2")
    foreign(site.grid, "record:a", "in.sub", ipv4addr="192.0.2.3")
    foreign(site.grid, "record:a", "app", ipv4addr="192.0.2.4", view="other")
    foreign(site.grid, "record:mx", "", mail_exchanger="mx.example.com", preference=1)
    base = site.target.read()
    assert base.ours == {}
    assert sorted(foreign_keys(base)) == sorted([
        f"{ORIGIN}. NS", f"{ORIGIN}. MX", "db A", "web A", "web TYPE65280",
        "sub NS", "gone NS", "fwd NS",
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("told", "types"),
    [
        ("sharedrecord:a", "A"),
        ("sharedrecord:cname", "CNAME"),
        ("record:dtclbdn", "A CNAME AAAA"),
        ("record:alias", "A AAAA"),
        ("record:host_ipv6addr", "AAAA"),
        ("record:dname", "DNAME"),
        ("UNSUPPORTED", "TYPE65280"),
    ],
)
def test_what_is_in_a_zone_without_an_object_there_is_foreign(
    site: Site, told: str, types: str
) -> None:
    site.grid.besides.append(("default", ORIGIN, "web", told))
    site.grid.besides.append(("other", ORIGIN, "app", told))
    base = site.round({"web A": "10.0.0.1", "app A": "10.0.0.2"})
    assert foreign_keys(base) == [f"{ORIGIN}. NS", *(f"web {one}" for one in types.split())]
    free = not {"A", "CNAME"} & set(types.split())
    assert texts(base) == {"app A": "10.0.0.2", **({"web A": "10.0.0.1"} if free else {})}


def test_others_records_are_never_touched(site: Site) -> None:
    site.round({"web A": "10.0.0.1", "app A": "10.0.0.2", "db A": "10.0.0.3"})
    foreign(site.grid, "record:a", "web", ipv4addr="192.0.2.1")
    foreign(site.grid, "record:txt", "db", text="theirs", extattrs={"Publisher": {"value": "they"}})
    others = [dict(one) for one in site.grid.objects.values() if one["extattrs"] != MARK]
    base = site.round({"app A": "10.0.0.9"})
    # A name that others have records of that type at stays as it is; the rest goes on.
    assert texts(base) == {"app A": "10.0.0.9", "web A": "10.0.0.1"}
    assert [one for one in site.grid.objects.values() if one["extattrs"] != MARK] == others


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("record:cname", {"canonical": "x.example.com"}),
        ("record:a", {"ipv4addr": "192.0.2.9"}),
        ("record:a", {"ipv4addr": "10.0.0.1"}),
        ("record:caa", {"ca_flag": 0, "ca_tag": "issue", "ca_value": "x"}),
    ],
)
def test_a_record_that_somebody_else_was_faster_with_costs_itself_alone(
    site: Site, kind: str, data: dict[str, Any]
) -> None:
    base = site.target.read()
    wanted: Given = {"app A": "10.0.0.2", "web A": "10.0.0.1", "zoo A": "10.0.0.3"}
    if kind == "record:caa":
        wanted = {"app A": "10.0.0.2", "web CNAME": WEB, "zoo A": "10.0.0.3"}
    foreign(site.grid, kind, "web", **data)
    site.push(site.acts(base, wanted), base)
    assert texts(site.target.read()) == {"app A": "10.0.0.2", "zoo A": "10.0.0.3"}
    (left,) = site.left
    assert key_text(left.act.key).startswith("web ")
    assert "already exists" in left.why or "which is not ours" in left.why
    # From then on it is known, and nothing is tried again.
    site.grid.writes.clear()
    site.round(wanted)
    assert site.grid.writes == []


def test_one_record_alone_that_is_in_the_way_is_told_and_no_failure(site: Site) -> None:
    base = site.target.read()
    foreign(site.grid, "record:cname", "web", canonical="x.example.com")
    site.push(site.acts(base, {"web A": "10.0.0.1"}), base)
    (left,) = site.left
    assert "The record 'web.svc.example.com' already exists." in left.why


def test_an_alias_that_is_refused_leaves_the_addresses(site: Site) -> None:
    site.round({"www A": "10.0.0.1 10.0.0.2", "app A": "10.0.0.3"})
    base = site.target.read()
    acts = site.acts(base, {"www CNAME": WEB, "app A": "10.0.0.4"})
    foreign(site.grid, "record:txt", "www", text="theirs")
    site.push(acts, base)
    assert texts(site.target.read()) == {"www A": "10.0.0.1 10.0.0.2", "app A": "10.0.0.4"}
    assert {key_text(one.act.key) for one in site.left} == {"www A", "www CNAME"}


def test_what_others_lead_to_stays_as_long_as_they_do(site: Site) -> None:
    old, new = f"old.{ORIGIN}.", f"new.{ORIGIN}."
    before: Given = {"old A": "10.0.0.1", "gone A": "10.0.0.9"}
    base = site.round({**before, "_web._tcp SRV": [f"1 1 1 {old}"]})
    site.grid.forbidden["record:srv"] = "Write permission is needed"
    wanted: Given = {"new A": "10.0.0.2", "_web._tcp SRV": [f"1 1 1 {new}"]}
    site.push(site.acts(base, wanted), base)
    assert texts(site.target.read()) == {
        "_web._tcp SRV": f"1 1 1 {old}", "old A": "10.0.0.1", "new A": "10.0.0.2",
    }  # fmt: skip
    assert [key_text(one.act.key) for one in site.left] == ["_web._tcp SRV", "old A"]
    assert site.left[1].why == "what leads to it could not be changed"


def test_nothing_leads_to_what_could_not_be_added(site: Site) -> None:
    base = site.round({"app A": "10.0.0.1"})
    foreign(site.grid, "record:cname", "new", canonical="x.example.com")
    new = f"new.{ORIGIN}."
    leading: Given = {"_web._tcp SRV": [f"1 1 1 {new}"], "www CNAME": new}
    wanted: Given = {"new A": "10.0.0.2", "app A": "10.0.0.3", **leading}
    site.push(site.acts(base, wanted), base)
    assert texts(site.target.read()) == {"app A": "10.0.0.3"}
    assert [key_text(one.act.key) for one in site.left] == ["_web._tcp SRV", "new A", "www CNAME"]


def test_nothing_is_removed_for_what_is_not_there(site: Site) -> None:
    """A grid that says yes and does nothing costs no address."""
    base = site.round({"web A": "10.0.0.1", "app A": "10.0.0.2"})
    NeverEmpty(site.grid, "web", "app")
    site.members[0].faults = [always("body 5", lambda asked: asked.method == "PUT")]
    site.push(site.acts(base, {"web A": "10.0.0.3", "app A": "10.0.0.4"}), base)
    assert {one.why for one in site.left} == {"what was added is not there, so nothing is removed"}
    assert site.target.read() == base


def test_a_plan_for_what_is_there_no_more_is_refused_by_name(site: Site) -> None:
    base = site.round({"web A": "10.0.0.1"})
    acts = site.acts(base, {"web A": "10.0.0.2"})
    foreign(site.grid, "record:a", "db", ipv4addr="192.0.2.1")
    site.target.read()
    with pytest.raises(ApplyError, match=rf"changed meanwhile, at db\.{ORIGIN}\. A \(plan anew\)"):
        site.target.change(Push(base, acts))


def test_a_plan_is_carried_out_once(site: Site) -> None:
    base = site.target.read()
    acts = site.acts(base, {"web A": "10.0.0.1"})
    site.push(acts, base)
    with pytest.raises(ApplyError, match=r"changed meanwhile, at web\."):
        site.target.change(Push(base, acts))


def test_what_was_changed_just_before_is_left_alone(site: Site) -> None:
    site.round({"web A": "10.0.0.1", "app A": "10.0.0.2"})
    base = site.target.read()
    acts = site.acts(base, {"web A": "10.0.0.5", "app A": "10.0.0.6"})
    for one in site.grid.objects.values():
        if one["name"].startswith("web"):
            one["ipv4addr"] = "10.0.0.77"
    site.push(acts, base)
    assert texts(site.target.read()) == {"web A": "10.0.0.77", "app A": "10.0.0.6"}
    (left,) = site.left
    assert left.why == "A 10.0.0.77 is there, which was not when this was planned"


def test_what_is_disabled_by_hand_stays_so_and_is_ours(site: Site) -> None:
    site.round({"web A": "10.0.0.1 10.0.0.2"})
    (one, *_) = site.grid.objects.values()
    one["disable"] = True
    site.grid.writes.clear()
    site.round({"web A": "10.0.0.1 10.0.0.2"})
    assert site.grid.writes == []
    assert site.round({}).ours == {}


def test_a_zone_that_somebody_locked_is_told_at_once(site: Site) -> None:
    base = site.round({"web A": "10.0.0.1", "old A": "10.0.0.9"})
    site.grid.locked["default", ORIGIN] = "admin"
    site.grid.writes.clear()
    site.members[0].asked.clear()
    wanted = {f"n{one} A": "10.0.0.1" for one in range(40)}
    with pytest.raises(ApplyError, match=r"zone is locked .*is locked by 'admin'.*unlock it"):
        site.push(site.acts(base, wanted), base)
    assert sum(map(writing, site.members[0].asked)) <= 4
    site.grid.locked.clear()
    assert site.round(wanted).ours == records(wanted)


def test_a_type_that_is_not_written_there_is_refused_aloud(site: Site) -> None:
    base = site.target.read()
    key = Key(names.from_text(f"web.{ORIGIN}"), const.NAPTR)
    with pytest.raises(ApplyError, match="type NAPTR are not written there"):
        site.push([Act(key, None, RRset(30, frozenset({b"\0"})))], base)
    outside = Key(names.from_text("web.example.org"), const.A)
    with pytest.raises(ApplyError, match="not of this zone"):
        site.push([Act(outside, None, RRset(30, frozenset({bytes(4)})))], base)
    assert site.grid.writes == []


def test_ours_that_cannot_be_read_is_told_and_nothing_is_done(site: Site) -> None:
    site.round({"web A": "10.0.0.1"})
    (one,) = site.grid.objects.values()
    one["ipv4addr"] = "nonsense"
    with pytest.raises(ApplyError, match=r"marked as ours cannot be read: 'web\.svc.*take the"):
        site.target.read()


def test_what_is_verified_is_what_is_read_back(site: Site) -> None:
    base = site.target.read()
    acts = site.acts(base, {"web TXT": ['"a"'], "app A": "10.0.0.1"})

    def meddle(grid: Any) -> None:
        for one in grid.objects.values():
            if one["_kind"] == "record:txt":
                one["text"] = "b"

    site.grid.watches.append(meddle)
    with pytest.raises(ApplyError, match=r"not what was written, at web\.svc"):
        site.push(acts, base)


def test_many_names_are_verified_at_once(site: Site) -> None:
    wanted = {f"n{number} A": f"10.0.0.{number}" for number in range(1, 80)}
    base = site.target.read()
    acts = site.acts(base, wanted)
    site.members[0].asked.clear()
    site.push(acts, base)
    reads = sum(one.method == "GET" for one in site.members[0].asked)
    assert reads < 2 * len(acts)
    assert site.target.read().ours == records(wanted)


def test_the_lock_is_asked_for_before_each_write(site: Site) -> None:
    base = site.round({"web A": "10.0.0.1", "old A": "10.0.0.9"})
    wanted = {"app A": "10.0.0.2", "web A": "10.0.0.3 10.0.0.4", "zoo A": "10.0.0.5"}
    acts = site.acts(base, wanted)
    for allowed in range(4):
        site.grid.writes.clear()
        NeverEmpty(site.grid, "web")
        base = site.target.read()
        asked: list[int] = []

        def may(allowed: int = allowed, asked: list[int] = asked) -> str:
            asked.append(1)
            return "" if len(asked) <= allowed else "the lock is lost"

        with pytest.raises(ApplyError, match="nothing more is written: the lock is lost"):
            site.push(site.acts(base, wanted), base, may)
        assert len(site.grid.writes) == allowed
        if allowed:
            site.round({"web A": "10.0.0.1", "old A": "10.0.0.9"})
    assert len(acts) == 4
    # Who has it next goes on from there.
    assert site.round(wanted).ours == records(wanted)


def test_what_fails_half_way_is_taken_back(site: Site) -> None:
    before: Given = {"web A": "10.0.0.1 10.0.0.2", "old A": "10.0.0.9", "www CNAME": WEB}
    base = site.round(before)
    wanted: Given = {"web A": "10.0.0.3", "new A": "10.0.0.8", "www A": "10.0.0.1"}
    change = site.target.change(Push(base, site.acts(base, wanted)))
    with change:
        assert change.plan()
        change.put()
        assert change.verify() == ""
        assert texts(site.target.read()) != texts(base)
        change.put_back()
        assert site.target.read() == base
        site.grid.writes.clear()
        change.put_back()
    assert site.grid.writes == []


def test_rounds_of_several_threads_wait_for_each_other(site: Site) -> None:
    site.round(WANTED)
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(site.target.read().ours)) for _ in range(5)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert found == [records(WANTED)] * 5


def test_it_may_be_used_again_after_it_was_closed(site: Site) -> None:
    site.round(WANTED)
    site.target.close()
    site.target.close()
    assert site.target.read().ours == records(WANTED)


def test_it_may_be_closed_by_who_is_in_an_event_loop(served: Site) -> None:
    served.round({"web A": "10.0.0.1"})

    async def end() -> None:
        served.target.close()

    asyncio.run(end())
    assert served.target.read().ours == records({"web A": "10.0.0.1"})


def test_a_view_is_a_world_of_its_own(
    member: Member, tmp_path: Path, signed_here: Path
) -> None:
    member.begin(grid(view="in side"))
    member.grid.zones["default", ORIGIN] = "zone_auth"
    foreign(member.grid, "record:a", "web", ipv4addr="10.0.0.1")
    site = Site([member], tmp_path, signed_here, settings={"view": "in side"})
    assert site.round({"web A": "10.0.0.1"}).foreign.keys() == {
        Key(names.from_text(ORIGIN), const.NS)
    }
    assert site.round({"web A": "10.0.0.2"}).ours == records({"web A": "10.0.0.2"})
    assert site.round({}).ours == {}
    assert len(member.grid.objects) == 1
    site.target.close()


def test_difference_is_of_sets(site: Site) -> None:
    """A name with several addresses is not taken out and put in again in every round."""
    base = site.round({"web A": "10.0.0.2 10.0.0.1 10.0.0.3"})
    assert difference(base.ours, records({"web A": "10.0.0.3 10.0.0.1 10.0.0.2"})) == []
