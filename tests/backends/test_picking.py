"""Whose turn it is: spread by weight, who failed left out for a while, tried again one by one."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Iterable

import pytest

from consulfwd.backends.model import Backend
from consulfwd.backends.picking import FIRST, LONGEST, STOOD, TRIAL, Picker


def backend(name: str, weight: int = 1, port: int = 80) -> Backend:
    at = f"10.0.0.{ord(name)}"
    return Backend("web", name, "node", at, port, "dc1", (), weight, "passing", {})


A, B, C = map(backend, "abc")


def picker(backends: Iterable[Backend] = (A, B, C), seed: int = 1) -> Picker:
    one = Picker(random.Random(seed))
    one.use(backends)
    return one


def picked(one: Picker, times: int, now: float = 0.0) -> str:
    found = [one.pick(now) for _ in range(times)]
    return "".join(each.id if each is not None else "-" for each in found)


def test_nobody_to_pick() -> None:
    assert picked(picker(()), 2) == "--"


def test_each_is_picked_equally_often_within_any_stretch() -> None:
    seen = picked(picker(), 300)
    for begin in range(0, 300, 3):
        assert sorted(seen[begin : begin + 3]) == ["a", "b", "c"]


def test_programs_do_not_begin_at_the_same_instance() -> None:
    first = Counter(picked(picker(seed=seed), 1) for seed in range(300))
    assert all(70 < times < 130 for times in first.values()), first


@pytest.mark.parametrize("seed", range(5))
def test_as_often_as_the_weights_say_off_by_one(seed: int) -> None:
    weights = {"a": 1, "b": 3, "c": 6}
    one = picker([backend(name, weight) for name, weight in weights.items()], seed)
    counts: Counter[str] = Counter()
    for times in range(1, 201):
        counts[picked(one, 1)] += 1
        for name, weight in weights.items():
            assert abs(counts[name] - times * weight / 10) <= 1.5


def test_weight_0_is_for_when_there_is_nobody_else() -> None:
    counts = Counter(picked(picker([A, backend("b", 0)]), 900))
    assert counts["b"] <= 1
    assert picked(picker([backend("b", 0)]), 3) == "bbb"


def test_another_weight_counts_at_once() -> None:
    one = picker([A, backend("b", 0)])
    picked(one, 10)
    one.use([A, backend("b", 1)])
    assert Counter(picked(one, 20))["b"] in (9, 10, 11)


def test_a_new_one_makes_up_for_nothing() -> None:
    one = picker([A, B])
    picked(one, 1000)
    one.use([A, B, C])
    assert Counter(picked(one, 30)) == {"a": 10, "b": 10, "c": 10}


def test_who_failed_is_left_out_then_on_trial_then_well() -> None:
    one = picker()
    one.failed(A.key, 0.0)
    assert one.excluded(0.0) == (A,)
    assert "a" not in picked(one, 30, FIRST - 0.01)
    back = FIRST * 1.25
    assert one.excluded(back) == ()
    # Once a second only: whoever else asks meanwhile is not to stumble over it.
    assert picked(one, 30, back).count("a") == 1
    assert picked(one, 30, back + TRIAL - 0.01).count("a") == 0
    assert picked(one, 30, back + TRIAL).count("a") == 1
    assert picked(one, 30, back + STOOD).count("a") in (9, 10, 11)


def test_whoever_says_that_it_works_ends_the_trial() -> None:
    one = picker()
    one.failed(A.key, 0.0)
    assert picked(one, 1, 2.0) == "a"
    one.worked(A.key)
    assert picked(one, 30, 2.0).count("a") in (9, 10, 11)
    one.worked(A.key)  # which changes nothing
    assert picked(one, 30, 2.0).count("a") == 10


def test_it_is_left_out_twice_as_long_each_time_and_a_minute_at_most() -> None:
    one, now, pauses = picker(), 0.0, []
    for _ in range(9):
        one.failed(A.key, now)
        begun = now
        while one.excluded(now):
            now += 0.25
        pauses.append(now - begun)
        assert picked(one, 1, now) == "a"
    expected = [min(2.0**n, LONGEST) for n in range(9)]
    for pause, least in zip(pauses, expected, strict=True):
        assert least <= pause <= 1.25 * least + 0.25
    one.worked(A.key)
    one.failed(A.key, now)
    assert one.excluded(now + 1.3) == ()


def test_tries_under_way_together_count_once() -> None:
    one = picker()
    for _ in range(10):
        one.failed(A.key, 0.0)
    assert one.excluded(1.3) == ()


def test_where_all_failed_they_are_tried_in_turn() -> None:
    one = picker()
    for each in (C, A, B):
        one.failed(each.key, 0.0)
    assert sorted(picked(one, 3, 0.1)) == ["a", "b", "c"]
    assert Counter(picked(one, 30, 0.1)) == {"a": 10, "b": 10, "c": 10}
    one.worked(B.key)
    assert picked(one, 3, 0.1) == "bbb"


def test_who_is_gone_is_nobody_and_comes_back_well() -> None:
    one = picker()
    one.failed(A.key, 0.0)
    one.use([B, C])
    assert one.excluded(0.0) == ()
    one.failed(A.key, 0.0)
    one.worked(A.key)
    assert "a" not in picked(one, 30)
    one.use([A, B, C])
    assert picked(one, 30).count("a") == 10


def test_one_at_another_address_is_another_one() -> None:
    one = picker()
    one.failed(A.key, 0.0)
    one.use([dataclasses.replace(A, tags=("new",)), B, C])
    assert one.excluded(0.0) != ()
    one.use([backend("a", port=81), B, C])
    assert one.excluded(0.0) == ()
    assert {each.port for each in (one.pick(0.0) for _ in range(3)) if each} == {80, 81}


def test_whatever_happens_only_members_are_picked_and_nothing_grows() -> None:
    rng, now = random.Random(5), 0.0
    every = [backend(name, weight) for weight, name in enumerate("abcdefgh")]
    one = picker(())
    there: list[Backend] = []
    for _ in range(3000):
        now += rng.random() / 2
        act = rng.randrange(6)
        if act == 0:
            there = [each for each in every if rng.random() < 0.5]
            one.use(there)
        elif act == 1:
            one.failed(rng.choice(every).key, now)
        elif act == 2:
            one.worked(rng.choice(every).key)
        else:
            found = one.pick(now)
            assert (found in there) if there else found is None
        assert {each.key for each in one.excluded(now)} <= {each.key for each in there}
        assert len(one._line) <= 2 * len(every) + 17 + 8
