"""Which agent is asked next."""

from __future__ import annotations

from consulfwd.consul.turns import LONGEST, PASSED_OVER, Turns


def test_the_first_that_is_not_known_to_fail() -> None:
    turns = Turns(3)
    assert turns.first(0.0) == 0
    turns.failed(0, 0.0)
    assert turns.first(0.0) == 1
    turns.failed(1, 1.0)
    assert turns.first(1.0) == 2
    turns.failed(2, 2.0)
    assert turns.first(2.0) == 0  # its time is over soonest
    turns.answered(1)
    assert turns.first(2.0) == 1


def test_those_that_just_refused_come_last() -> None:
    turns = Turns(2)
    assert turns.first(0.0, {0}) == 1
    assert turns.first(0.0, {0, 1}) == 0
    turns.failed(1, 0.0)
    assert turns.first(0.0, {0}) == 1


def test_an_agent_is_passed_over_longer_the_oftener_it_failed() -> None:
    turns = Turns(2)
    turns.failed(0, 0.0)
    turns.failed(0, 1.0)  # another question's, of the same time
    assert turns.first(PASSED_OVER - 0.01) == 1
    assert turns.first(PASSED_OVER) == 0
    turns.failed(0, 10.0)
    assert turns.first(10 + 2 * PASSED_OVER - 0.01) == 1
    assert turns.first(10 + 2 * PASSED_OVER) == 0
    for number in range(2, 50):
        turns.failed(0, number * 1000.0)
    assert turns.first(49_000.0 + LONGEST - 0.01) == 1
    assert turns.first(49_000.0 + LONGEST) == 0
    turns.answered(0)
    turns.failed(0, 60_000.0)
    assert turns.first(60_000.0 + PASSED_OVER) == 0
