"""Penalties that fade."""

from __future__ import annotations

from math import inf

import pytest

from consulfwd.config.zones import DampingSettings
from consulfwd.zones.penalties import Penalty

# From 6,000 to 750 it is three times a half.
ON = DampingSettings(enabled=True, half_life=100, longest=400)


def test_half_of_it_is_left_after_the_half_life() -> None:
    penalty = Penalty(ON, 0)
    penalty.penalised(1_000, 10)
    assert penalty.value(10) == 1_000
    assert penalty.value(110) == 500
    assert penalty.value(5) == 1_000
    penalty.penalised(1_000, 110)
    assert penalty.value(110) == 1_500


def test_off_until_asked_for() -> None:
    penalty = Penalty(DampingSettings(), 0)
    penalty.penalised(20_000, 0)
    assert penalty.value(0) == 0
    assert not penalty.suppressed


@pytest.mark.parametrize(("by", "suppressed"), [(5_999, False), (6_000, True), (6_001, True)])
def test_from_where_on_it_suppresses(by: float, suppressed: bool) -> None:
    penalty = Penalty(ON, 0)
    penalty.penalised(by, 0)
    assert penalty.suppressed is suppressed


def test_until_it_has_faded() -> None:
    penalty = Penalty(ON, 0)
    penalty.penalised(6_000, 0)
    assert penalty.until == 300
    assert not penalty.relieved(299.999)
    assert penalty.suppressed
    assert penalty.relieved(300)
    assert not penalty.suppressed
    assert not penalty.relieved(301)
    # 750 are left: 5,249 more are too little.
    penalty.penalised(5_249, 300)
    assert not penalty.suppressed
    penalty.penalised(1, 300)
    assert penalty.suppressed


def test_a_penalty_while_it_is_suppressed_makes_it_longer() -> None:
    penalty = Penalty(ON, 0)
    penalty.penalised(6_000, 0)
    penalty.penalised(3_000, 100)
    assert penalty.until == 400


def test_the_longest_is_counted_from_the_last_one() -> None:
    penalty = Penalty(ON, 0)
    for now in range(100):
        penalty.penalised(20_000, now)
    assert penalty.value(99) == 12_000
    assert penalty.until == 99 + 400


def test_a_longest_time_of_no_use_for_a_power_of_two() -> None:
    penalty = Penalty(DampingSettings(enabled=True, half_life=1, longest=604_800), 0)
    for _ in range(10):
        penalty.penalised(20_000, 0)
    assert penalty.until < 20


def test_reuse_above_suppress_suppresses_nobody() -> None:
    penalty = Penalty(DampingSettings(enabled=True, suppress=100, reuse=200), 0)
    penalty.penalised(150, 0)
    assert not penalty.suppressed


def test_forgotten_at_half_of_reuse() -> None:
    penalty = Penalty(ON, 0)
    assert penalty.forgotten_at() == 0
    penalty.penalised(375, 7)
    assert penalty.forgotten_at() == 7
    penalty.penalised(375, 7)
    assert penalty.forgotten_at() == 107


def test_one_that_is_remembered() -> None:
    penalty = Penalty(ON, 50, 1_500, suppressed=True)
    assert penalty.suppressed
    assert penalty.until == 150
    assert Penalty(ON, 50, 1_500).until == -inf
    assert Penalty(ON, 50, 1e30).value(50) == 12_000
