"""One agent as HTTP shows it, by a clock of the test's own."""

from __future__ import annotations

import pytest

from consulfwd.consul.quality import (
    CONFIRM,
    IDLE_TURNS,
    KEPT,
    MOST_TURNS,
    WARN_AGAIN,
    Look,
    News,
    Sight,
    fault,
)
from tests.consul.replies import reply

GOOD, LEADERLESS = reply(), reply(leader=False, contact_ms=700)
EVERY, LIMIT = 10.0, 5.0


@pytest.fixture
def sight() -> Sight:
    return Sight(EVERY, LIMIT)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({}, ""),
        ({"leader": False}, "knows no leader"),
        ({"leader": False, "contact_ms": 99_000}, "knows no leader"),
        ({"contact_ms": 5_000}, ""),
        ({"contact_ms": 5_001}, "its data is 5 s behind the leader's"),
        ({"contact_ms": 90_000}, "its data is 90 s behind the leader's"),
        # Headers that mean nothing, or are not there, speak for nobody and against nobody.
        ({"leader": False, "contact_ms": 99_000, "streaming": True}, ""),
        ({"leader": None, "contact_ms": None}, ""),
    ],
)
def test_what_speaks_against_an_agent(how: dict[str, object], why: str) -> None:
    assert fault(reply(**how), LIMIT) == why  # type: ignore[arg-type]


def test_bad_news_count_when_told_twice(sight: Sight) -> None:
    assert sight.heard(GOOD, 0) == Look(EVERY)
    assert sight.heard(LEADERLESS, 10) == Look(CONFIRM)
    assert sight.poor == ""
    assert sight.heard(LEADERLESS, 11.5) == Look(2 * CONFIRM)
    assert sight.poor == "knows no leader"
    assert sight.heard(reply(contact_ms=8_000), 14.5) == Look(4 * CONFIRM)
    assert sight.poor == "its data is 8 s behind the leader's"
    assert sight.heard(GOOD, 20.5) == Look(EVERY)
    assert sight.poor == ""


def test_a_poor_one_is_looked_at_soon_then_ever_later(sight: Sight) -> None:
    pauses = [sight.heard(LEADERLESS, 0).pause for _ in range(6)]
    assert pauses == [CONFIRM, 2 * CONFIRM, 4 * CONFIRM, EVERY, EVERY, EVERY]
    assert [sight.heard(LEADERLESS, 0).pause for _ in range(2_000)][-1] == EVERY


def test_an_election_passes_unnoticed(sight: Sight) -> None:
    for _ in range(3):
        assert sight.heard(LEADERLESS, 0) == Look(CONFIRM)
        assert sight.heard(GOOD, CONFIRM) == Look(EVERY)
        assert sight.poor == ""


def test_a_short_turn_is_not_made_longer_by_a_second_look() -> None:
    sight = Sight(0.5, LIMIT)
    assert sight.heard(LEADERLESS, 0) == Look(0.5)
    assert sight.failed(1, True) == Look(0.5)


def test_one_that_cannot_be_asked_is_told_once_and_left_more_and_more_alone(
    sight: Sight,
) -> None:
    assert sight.failed(0, True) == Look(CONFIRM)
    assert sight.failed(1, True) == Look(2 * EVERY, News.LOST)
    pauses = [sight.failed(n, True) for n in range(2, 9)]
    turns = [4, 8, 16, MOST_TURNS, MOST_TURNS, MOST_TURNS, MOST_TURNS]
    assert pauses == [Look(one * EVERY) for one in turns]
    assert sight.poor == ""
    assert sight.heard(GOOD, 9) == Look(EVERY, News.BACK)
    assert sight.heard(GOOD, 19) == Look(EVERY)


def test_http_that_comes_and_goes_is_told_once_an_hour(sight: Sight) -> None:
    def outage(now: float) -> list[News]:
        looks = [sight.failed(now, True), sight.failed(now, True), sight.heard(GOOD, now)]
        return [look.news for look in looks]

    assert outage(0) == [News.NONE, News.LOST, News.BACK]
    assert outage(WARN_AGAIN - 1) == [News.NONE] * 3
    assert outage(WARN_AGAIN) == [News.NONE, News.LOST, News.BACK]


def test_one_that_is_down_is_not_told_of_for_http_as_well(sight: Sight) -> None:
    for now in range(5):
        assert sight.failed(now, False).news is News.NONE
    assert sight.heard(GOOD, 6).news is News.NONE
    sight.failed(7, False)
    assert sight.failed(8, True).news is News.LOST


def test_poor_holds_for_a_while_when_nothing_more_is_heard(sight: Sight) -> None:
    sight.heard(LEADERLESS, 0)
    sight.heard(LEADERLESS, 2)
    assert sight.failed(2 + KEPT - 1, False) == Look(CONFIRM)
    # As long as it holds it is looked at each turn.
    assert sight.failed(2 + KEPT, False) == Look(EVERY)
    assert sight.poor == "knows no leader"
    assert sight.failed(2 + KEPT + 0.1, False) == Look(4 * EVERY)
    assert sight.poor == ""


def test_doubts_are_not_carried_over_a_failure(sight: Sight) -> None:
    sight.heard(LEADERLESS, 0)
    sight.failed(1, True)
    assert sight.heard(LEADERLESS, 2) == Look(CONFIRM)
    assert sight.poor == ""


def test_those_nobody_asks_are_looked_at_each_sixth_turn(sight: Sight) -> None:
    assert not sight.idle(False)
    assert [sight.idle(False) for _ in range(2 * IDLE_TURNS)] == (
        [True] * (IDLE_TURNS - 1) + [False]
    ) * 2
    assert not sight.idle(True)
    # It counts from the last look.
    assert [sight.idle(False) for _ in range(IDLE_TURNS)] == [True] * (IDLE_TURNS - 1) + [False]


def test_the_turns_in_between_may_be_left_out_at_once(sight: Sight) -> None:
    assert not sight.idle(False)
    assert sight.idle(False)
    # With the turn that was left out already it is as long as one by one.
    assert sight.rest() == (IDLE_TURNS - 1) * sight.every
    assert not sight.idle(False)
    assert [sight.idle(False) for _ in range(3)] == [True] * 3
    assert sight.rest() == (IDLE_TURNS - 3) * sight.every
    assert sight.rest() == 0


def test_doubtful_and_poor_ones_are_looked_at_each_turn(sight: Sight) -> None:
    sight.heard(LEADERLESS, 0)
    assert not sight.idle(False)
    sight.heard(LEADERLESS, 2)
    assert not sight.idle(False)
    sight.heard(GOOD, 3)
    assert sight.idle(False)
