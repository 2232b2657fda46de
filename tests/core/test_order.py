"""Whom to ask first: the policies, over every mix of states; what hedges may cost; probe jitter."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product

import pytest

from consulfwd.core.health import Health, jitter
from consulfwd.core.order import MEASURE_AGAIN, Budget, Group, note_pace
from consulfwd.core.routes import Kind, Route
from consulfwd.core.states import State
from consulfwd.core.upstreams import LIMP, LIMP_TIMES, Upstream
from tests.core.play import upstream

UP, SUSPECT, DOWN, PROBING = State.UP, State.SUSPECT, State.DOWN, State.PROBING
LETTERS = {"u": UP, "p": PROBING, "s": SUSPECT, "d": DOWN}


def group(policy: str, states: str, rtts: tuple[float, ...] = (0.001,) * 5) -> Group:
    """Return a group of A, B, ... in the states of these letters."""
    members = []
    for name, letter, rtt in zip("ABCDE", states, rtts, strict=False):
        one = upstream(name, rtt=rtt)
        one.state = LETTERS[letter]
        members.append(one)
    return Group("agents", members, policy, Health())


@pytest.mark.parametrize(
    ("states", "poor", "order"),
    [("uuu", "A", "BCA"), ("uuu", "AB", "CAB"), ("uuu", "ABC", "ABC"), ("usd", "A", "ABC")],
)
def test_who_is_poor_comes_behind_who_is_up_and_not(states: str, poor: str, order: str) -> None:
    for policy in ("ordered", "fastest"):
        agents = group(policy, states)
        for one in agents.members:
            agents._health.rank(one, "knows no leader" if one.name in poor else "")
        assert names(agents.order()) == order
        route = Route(b"\0", Kind.CONSUL, (agents, group("ordered", "u")))
        assert route.plan()[0].name == order[0]


def test_rank_tells_what_is_news() -> None:
    agents = group("ordered", "uu")
    health = agents._health
    first = agents.members[0]
    told = []
    for reason in ("", "knows no leader", "is 9 s behind", "", ""):
        before = health.version
        health.rank(first, reason)
        told.append((health.version - before, [why for *_, why in health.changes]))
        health.changes.clear()
        assert first.poor == reason
        assert first.state is State.UP
    assert told == [
        (0, []), (1, ["knows no leader"]), (0, []), (1, ["its data is good again"]), (0, []),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rtts", "states", "slow", "order"),
    [
        ((LIMP + 0.001, 0.001, 0.001), "uuu", "A", "BCA"),
        ((LIMP, 0.001, 0.001), "uuu", "", "ABC"),
        ((LIMP_TIMES * 0.02 + 0.001, 0.02, 0.02), "uuu", "A", "BCA"),
        ((LIMP_TIMES * 0.02, 0.02, 0.02), "uuu", "", "ABC"),
        ((0.2, 0.2, 0.001), "uuu", "AB", "CAB"),
        # Only one that is up can be faster, and only what is measured is known.
        ((0.2, 0.001, 0.001), "udd", "", "ABC"),
        ((0.2, 0.0, 0.0), "uuu", "", "ABC"),
        # One that is not up may limp, and had better not come first when it is up again.
        ((0.2, 0.001, 0.001), "sud", "A", "BAC"),
    ],
)
def test_an_agent_that_limps_comes_behind(
    rtts: tuple[float, ...], states: str, slow: str, order: str
) -> None:
    agents = group("ordered", states, rtts)
    note_pace([agents], agents._health)
    assert "".join(one.name for one in agents.members if one.slow) == slow
    assert names(agents.order()) == order
    due = {one.name for one in agents.to_measure(0.0)}
    up = {name for name, state in zip("ABC", states, strict=True) if state == "u"}
    assert due == up & {*slow}


def test_one_that_limps_must_be_faster_than_that_by_half() -> None:
    agents = group("ordered", "uu", (0.2, 0.001))
    health, first = agents._health, agents.members[0]
    told = []
    for srtt in (0.2, LIMP, LIMP / 2 + 0.001, LIMP / 2, LIMP):
        first.srtt = srtt
        note_pace([agents], health)
        told.append((names(agents.order()), [why for *_, why in health.changes]))
        health.changes.clear()
    assert told == [
        ("BA", ["much slower than the others"]), ("BA", []), ("BA", []),
        ("AB", ["no other is much faster"]), ("AB", []),
    ]  # fmt: skip


def test_one_limps_if_it_does_in_every_group_it_is_in() -> None:
    agents = group("ordered", "uu", (0.2, 0.001))
    health, first = agents._health, agents.members[0]
    note_pace([agents, Group("alone", [first], "ordered", health)], health)
    assert not first.slow
    note_pace([Group("alone", [first], "ordered", health), agents], health)
    assert not first.slow


def test_a_recursor_does_not_limp() -> None:
    recursors = Group(
        "recursors", [upstream("R1", rtt=0.5), upstream("R2")], "ordered", Health()
    )
    assert recursors.limping() == set()


def test_what_limps_and_has_old_data_is_back_when_neither_is_so() -> None:
    agents = group("ordered", "uu")
    health, first = agents._health, agents.members[0]
    health.rank(first, "knows no leader")
    health.pace(first, True)
    health.rank(first, "")
    assert names(agents.order()) == "BA"
    health.pace(first, False)
    assert names(agents.order()) == "AB"
    assert [why for *_, why in health.changes] == ["knows no leader", "no other is much faster"]


def test_round_robin_leaves_out_the_poor() -> None:
    agents = group("round_robin", "uuu")
    agents._health.rank(agents.members[1], "knows no leader")
    assert {names(agents.order()) for _ in range(6)} == {"ACB", "CAB"}


def names(order: tuple[Upstream, ...]) -> str:
    return "".join(one.name for one in order)


@pytest.mark.parametrize(
    ("states", "order"),
    [
        ("uuu", "ABC"),
        ("suu", "BCA"),
        ("duu", "BCA"),
        ("dsu", "CBA"),
        ("dsp", "CBA"),
        ("psu", "CAB"),
        ("ddd", "ABC"),
        ("sdsd", "ACBD"),
    ],
)
def test_ordered_keeps_the_order_given_among_equals(states: str, order: str) -> None:
    assert names(group("ordered", states).order()) == order


@pytest.mark.parametrize(
    ("rtts", "states", "order"),
    [
        ((0.003, 0.001, 0.002), "uuu", "BCA"),
        ((0.00101, 0.00100, 0.00102), "uuu", "ABC"),  # noise is no difference
        ((0.0014, 0.0011, 0.002), "uuu", "BAC"),  # more than a fifth is one
        ((0.003, 0.001, 0.002), "usu", "CAB"),
        ((0.003, 0.0, 0.002), "uuu", "BCA"),  # nobody knows B's time yet: find out
    ],
)
def test_fastest(rtts: tuple[float, ...], states: str, order: str) -> None:
    assert names(group("fastest", states, rtts).order()) == order


def test_fastest_follows_what_is_measured() -> None:
    one = group("fastest", "uu", (0.001, 0.002))
    assert names(one.order()) == "AB"
    for _ in range(20):
        one.members[0].measured(0.010)
    assert names(one.order()) == "BA"


def test_who_gave_an_error_is_probed_once_to_know_whose_fault_it_was() -> None:
    health = Health()
    for one in group("ordered", "uusd").members[1:]:
        health.doubt(one, 1000.0)
    assert names(tuple(health.in_doubt())) == "B"
    assert health.in_doubt() == []


def test_fastest_measures_those_again_whom_nobody_asks() -> None:
    one = group("fastest", "uusd", (0.001, 0.2, 0.2, 0.2))
    now = 1000.0
    one.members[0].last_reply = now
    one.members[1].last_reply = now - MEASURE_AGAIN + 0.1
    assert names(tuple(one.to_measure(now))) == ""
    assert names(tuple(one.to_measure(now + 0.1))) == "B"
    for _ in range(60):
        one.members[1].measured(0.0001)
    assert names(one.order()) == "BACD"


@pytest.mark.parametrize("policy", ["ordered", "round_robin"])
def test_other_policies_measure_nobody(policy: str) -> None:
    assert group(policy, "uuu").to_measure(1000.0) == []


@pytest.mark.parametrize("states", ["".join(mix) for mix in product("upsd", repeat=3)])
def test_round_robin_turns_among_the_healthy_only(states: str) -> None:
    one = group("round_robin", states)
    orders = [names(one.order()) for _ in range(12)]
    healthy = {name for name, state in zip("ABC", states, strict=True) if state == "u"}
    rest = names(group("ordered", states).order())[len(healthy) :]
    firsts = Counter(order[0] for order in orders)
    for order in orders:
        assert set(order[: len(healthy)]) == healthy
        assert order[len(healthy) :] == rest
    if healthy:
        assert firsts == {name: 12 // len(healthy) for name in healthy}
    else:
        assert set(orders) == {rest}


@pytest.mark.parametrize("policy", ["ordered", "fastest", "round_robin"])
def test_the_order_follows_changes(policy: str) -> None:
    health = Health()
    members = [upstream("A"), upstream("B")]
    one = Group("agents", members, policy, health)
    assert one.first() in members
    health.refused(members[0], 100.0, "connection refused")
    assert names(one.order()) == "BA"
    assert one.first() is members[1]
    assert not one.all_down()
    health.refused(members[1], 101.0, "connection refused")
    assert one.all_down()
    for _ in range(3):
        health.good(members[0], 102.0, 0.001)
    assert (names(one.order()), one.first()) == ("AB", members[0])


def test_the_primary_takes_over_again() -> None:
    health = Health()
    members = [upstream("A"), upstream("B")]
    one = Group("agents", members, "ordered", health)
    for _ in range(3):
        health.silent(members[0], 100.0, 99.0)
    assert names(one.order()) == "BA"
    for turn in range(3):
        health.good(members[0], 100.5 + turn / 10, 0.001)
    assert names(one.order()) == "AB"


@pytest.mark.parametrize(
    ("near", "local", "plan"),
    [
        ("uu", "u", "ABa"),
        ("du", "u", "BaA"),
        ("dd", "u", "aAB"),
        ("ps", "u", "aAB"),
        ("dd", "d", "ABa"),
    ],
)
def test_a_route_asks_the_healthy_of_all_its_groups_first(near: str, local: str, plan: str) -> None:
    mine = upstream("a")
    mine.state = LETTERS[local]
    groups = (group("ordered", near), Group("agents", [mine], "ordered", Health()))
    assert names(Route(b"\0", Kind.CONSUL, groups).plan()) == plan


def test_a_route_asks_nobody_twice() -> None:
    shared, other = upstream("A"), upstream("B")
    groups = tuple(
        Group("agents", members, "ordered", Health()) for members in ([shared], [other, shared])
    )
    assert names(Route(b"\0", Kind.CONSUL, groups).plan()) == "AB"


def test_the_budget_gives_its_reserve_then_a_share_of_the_queries() -> None:
    budget = Budget(0.25, 2)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    budget.earn(3)
    assert not budget.spend()
    budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


def test_the_reserve_follows_the_rate_of_queries() -> None:
    def reserve(*asked: int) -> int:
        budget = Budget()
        for each in asked:
            budget.earn(each)
            budget.second()
        budget.earn(100_000)
        return sum(iter(budget.spend, False))

    assert reserve() == 100
    assert reserve(0) == 50
    assert reserve(0, 0, 0, 0) == 20
    assert reserve(1000) == 200
    assert reserve(1000, 0) == 100
    assert reserve(100_000) == 1000


def test_the_budget_saves_no_more_than_its_reserve() -> None:
    budget = Budget(0.10, 2)
    budget.earn(1000)
    budget.spend()
    budget.earn(1000)
    assert [budget.spend() for _ in range(3)] == [True, True, False]


def test_jitter_lengthens_by_up_to_an_eighth() -> None:
    rng = random.Random(1)
    pauses = [jitter(0.8, rng) for _ in range(1000)]
    # Never shorter: a probe that comes before it is due is not sent.
    assert 0.8 <= min(pauses) < 0.805
    assert 0.895 < max(pauses) <= 0.9
