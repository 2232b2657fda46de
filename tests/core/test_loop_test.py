"""Loop tests: what is asked, what a reply means, and what becomes of one that leads back."""

from __future__ import annotations

import pytest

from consulfwd.core.health import Health
from consulfwd.core.loop_test import EXPIRES, LoopTest, Tests, name_for, places
from consulfwd.core.order import Group, rank
from consulfwd.core.routes import Kind, Route, Routes
from consulfwd.core.states import State
from consulfwd.core.upstreams import Upstream
from consulfwd.dns.names import ROOT, from_text, to_text
from tests.core.play import EPOCH, Play, upstream

TOKEN = b"0123456789abcdef"
LABEL = "consulfwd-loop-0123456789abcdef"
UP, SUSPECT, DOWN, PROBING = State


def routes(*steps: tuple[str, Kind, str, str], reverse: str = "") -> Routes:
    """Routes as (zone, kind, label, members); `reverse` are members of a reverse zone."""
    everyone: dict[str, Upstream] = {}
    health = Health()
    made = []
    for zone, kind, label, members in steps:
        found = [everyone.setdefault(one, upstream(one)) for one in members]
        made.append(Route(from_text(zone), kind, (Group(label, found, "ordered", health),)))
    if reverse:
        group = Group("agents", [everyone[one] for one in reverse], "ordered", health)
        then = Route(ROOT, Kind.RECURSE)
        made.insert(0, Route(from_text("10.in-addr.arpa"), Kind.CONSUL, (group,), then=then))
    return Routes(made)


def member(found: Routes, name: str) -> Upstream:
    return next(
        one
        for route in found
        for group in route.groups
        for one in group.members
        if one.name == name
    )


ALL = routes(
    ("consul", Kind.CONSUL, "agents", "AB"),
    ("dc2.consul", Kind.CONSUL, "agents of dc2", "C"),
    ("corp.example", Kind.FORWARD, "forwarders of corp.example", "SR"),
    (".", Kind.RECURSE, "recursors", "RT"),
    reverse="AB",
)


@pytest.mark.parametrize(
    ("name", "asked", "where"),
    [
        ("A", f"{LABEL}.service.consul.", "consul.agents"),
        ("C", f"{LABEL}.service.dc2.consul.", "consul.datacenters"),
        ("S", f"{LABEL}.corp.example.", "forward"),
        # Asked for everything: the name is to take the way of everything.
        ("R", f"{LABEL}.example.", "forward, recursors (or resolv.conf)"),
        ("T", f"{LABEL}.example.", "recursors (or resolv.conf)"),
    ],
)
def test_each_is_asked_for_what_it_would_be_asked_for(name: str, asked: str, where: str) -> None:
    one = member(ALL, name)
    found = name_for(one, ALL, TOKEN)
    assert found is not None
    assert to_text(found) == asked
    assert places(one, ALL) == where


def test_nobody_is_asked_for_a_name_that_cannot_be() -> None:
    assert name_for(upstream("X"), ALL, TOKEN) is None
    zone = ".".join(["x" * 49] * 5)  # 250 octets and the label
    found = routes((zone, Kind.FORWARD, "forwarders", "S"))
    assert name_for(member(found, "S"), found, TOKEN) is None
    short = zone[:-31]
    found = routes((short, Kind.FORWARD, "forwarders", "S"))
    assert len(name_for(member(found, "S"), found, TOKEN) or b"") <= 255


def test_a_test_is_known_by_its_name_until_it_expires() -> None:
    tests = Tests()
    first = looking("R").lookup
    assert isinstance(first, LoopTest)
    tests.add(b"one", first)
    assert tests.find(b"one", EPOCH) is first
    assert tests.find(b"two", EPOCH) is None
    assert tests.find(b"one", EPOCH + EXPIRES - 0.1) is first
    assert tests.find(b"one", EPOCH + EXPIRES) is None
    later = looking("R").lookup
    assert isinstance(later, LoopTest)
    later.started_at = EPOCH + EXPIRES
    tests.add(b"two", later)
    assert list(tests._by_name) == [b"two"]


def looking(name: str, *, looped: bool = False) -> Play:
    play = Play(name, kind=LoopTest)
    play.plan[0].looped = looped
    if looped:
        play.plan[0].state = DOWN
        play.plan[0].up = False
    play.do(0, "start")
    return play


# What happens to the test of one that led back -> whether it is asked again.
@pytest.mark.parametrize(
    ("event", "trusted"),
    [
        ("yes", True),
        ("no", True),
        ("nodata", True),
        # Another server that found the same loop says so.
        ("servfail", False),
        ("refused", False),
        ("gone", False),
        ("lost", False),
        ("stray", False),
    ],
)
@pytest.mark.parametrize("name", ["A", "R"])
def test_only_an_answer_shows_that_it_leads_elsewhere(name: str, event: str, trusted: bool) -> None:
    play = looking(name, looped=True)
    play.do(5, f"{name} {event}")
    one = play.plan[0]
    assert (one.looped, one.state) == (not trusted, PROBING if trusted else DOWN)


@pytest.mark.parametrize("event", ["yes", "no"])
def test_not_if_the_question_came_back(event: str) -> None:
    play = looking("R", looped=True)
    assert isinstance(play.lookup, LoopTest)
    play.lookup.seen = True
    play.do(5, f"R {event}")
    assert (play.plan[0].looped, play.plan[0].state) == (True, DOWN)


@pytest.mark.parametrize("event", ["yes", "servfail", "gone", "lost", "stray"])
def test_the_health_of_one_that_leads_elsewhere_is_not_touched(event: str) -> None:
    play = looking("A")
    before = {slot: getattr(play.plan[0], slot) for slot in Upstream.__slots__}
    play.do(5, f"A {event}")
    assert {slot: getattr(play.plan[0], slot) for slot in Upstream.__slots__} == before
    assert play.health.changes == []


def test_one_without_a_reply_ends_at_its_deadline() -> None:
    play = looking("R")
    assert play.due == pytest.approx(1000 * (play.lookup.deadline - EPOCH))
    assert play.do(play.due, "timer") == "= nothing (23): no reply to a loop test"


@pytest.mark.parametrize("state", State)
def test_one_that_leads_back_is_down_and_told_once(state: State) -> None:
    health, one = Health(), upstream("R")
    one.state, one.up = state, state is UP
    health.looped(one, 100.0)
    health.looped(one, 101.0)
    assert (one.looped, one.state, one.up) == (True, DOWN, False)
    assert [change[1:] for change in health.changes] == [(state, DOWN, "leads back to this server")]
    assert health.version == 1


def test_good_replies_do_not_bring_it_back_and_a_test_does() -> None:
    health, one = Health(), upstream("R")
    health.looped(one, 100.0)
    for tick in range(10):
        health.good(one, 101.0 + tick, 0.001)
    assert one.state is DOWN
    health.unlooped(one, 120.0)
    assert (one.looped, one.state) == (False, PROBING)
    health.unlooped(one, 121.0)
    health.good(one, 121.0, 0.001)
    assert one.state is UP
    assert [why for *_, why in health.changes] == [
        "leads back to this server", "leads elsewhere now", "2 good replies in a row",
    ]  # fmt: skip


@pytest.mark.parametrize("policy", ["ordered", "fastest", "round_robin"])
def test_it_is_left_out_of_the_order(policy: str) -> None:
    health = Health()
    members = [upstream(name) for name in "ABC"]
    group = Group("agents", members, policy, health)
    assert len(group.order()) == 3
    health.looped(members[0], 100.0)
    assert {one.name for one in group.order()} == {"B", "C"}
    for one in members[1:]:
        health.looped(one, 100.0)
    assert (group.order(), group.first()) == ((), None)
    health.unlooped(members[1], 101.0)
    assert (group.order(), group.first()) == ((members[1],), members[1])
    assert rank(members[1]) == 1


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ("", "no upstream is configured for this name"),
        ("A", "A leads back to this server, and there is no other"),
        ("AB", "A, B lead back to this server, and there is no other"),
    ],
)
def test_why_there_is_nobody_to_ask(members: str, why: str) -> None:
    group = Group("recursors", [upstream(one) for one in members], "ordered", Health())
    assert Route(ROOT, Kind.RECURSE, (group,)).nobody() == why
