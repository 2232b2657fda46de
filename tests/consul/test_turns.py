"""Which agent is asked next."""

from __future__ import annotations

from consulfwd.consul.turns import LONGEST, PASSED_OVER, Refusals, Turns


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


def test_those_that_were_just_asked_come_last() -> None:
    turns = Turns(2)
    assert turns.first(0.0, besides={0}) == 1
    assert turns.first(0.0, besides={0, 1}) == 0
    turns.failed(1, 0.0)
    assert turns.first(0.0, besides={0}) == 1


def test_who_refuses_one_thing_is_not_asked_for_it() -> None:
    turns, refusals = Turns(2), Refusals(2)
    refusals.refused(0, 0.0)
    assert turns.first(PASSED_OVER - 0.01, refusals.until) == 1
    assert turns.first(0.0) == 0  # it is asked for others
    assert turns.first(PASSED_OVER, refusals.until) == 0
    # Where one refuses and the other one fails, whose time is over sooner.
    turns.failed(1, 1.0)
    assert turns.first(1.0, refusals.until) == 0
    refusals.refused(0, 10.0)
    assert turns.first(10.0, refusals.until) == 1
    refusals.answered(0)
    refusals.refused(0, 100.0)
    assert turns.first(100.0 + PASSED_OVER, refusals.until) == 0


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


def test_who_failed_is_passed_over_until_its_time_is_up_or_it_answers() -> None:
    turns = Turns(2)
    turns.failed(0, 100.0)
    assert [turns.passed_over(one, 100.0 + PASSED_OVER - 0.1) for one in (0, 1)] == [True, False]
    assert not turns.passed_over(0, 100.0 + PASSED_OVER)
    turns.failed(1, 100.0)
    turns.answered(1)
    assert not turns.passed_over(1, 100.0)
