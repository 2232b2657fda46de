"""How often names are asked for, from what can be seen of it."""

from __future__ import annotations

import random

import pytest

from consulfwd.core.interest import (
    ADMIT_WITHIN,
    HALF,
    LEAST_AGE,
    MAX_SEEN,
    UNSEEN,
    Interest,
    Seen,
)
from consulfwd.core.subjects import SERVICE, Subject
from consulfwd.net.relays import KEEP_AGAIN

WEB = Subject(SERVICE, "web")


@pytest.mark.parametrize("rate", [0.2, 1.0, 5.0, 50.0, 500.0])
def test_names_that_are_asked_for_at_consul_each_time(rate: float) -> None:
    """But for those within a tenth of a second after another."""
    rng = random.Random(1)
    at, seen_at = 0.0, 0.0
    interest = Interest(at)
    while at < 120:
        at += rng.expovariate(rate)
        if at - seen_at >= UNSEEN:
            interest.asked(at)
            seen_at = at
    assert rate / 2 < interest.rate(at) < rate * 2


@pytest.mark.parametrize("rate", [0.2, 1.0, 5.0, 50.0, 500.0])
def test_names_that_are_reused(rate: float) -> None:
    """All that is seen is who asks first once that is over."""
    rng = random.Random(2)
    at, lasted = 0.0, 10.0
    interest = Interest(at)
    while at < 400:
        pause = rng.expovariate(rate)
        at += lasted + pause
        interest.seen(at)
        interest.spared(lasted, pause)
    assert rate / 2.5 < interest.rate(at) < rate * 2.5


def test_it_fades() -> None:
    interest = Interest(0.0)
    for number in range(1, 61):
        interest.asked(float(number))
    now = interest.rate(60.0)
    # Of so long ago that it has lasted for ever, near enough.
    assert interest.rate(60.0 + HALF) / now == pytest.approx(0.5, rel=0.2)


def test_what_is_new_is_not_taken_to_last() -> None:
    interest = Interest(0.0)
    interest.asked(0.001)
    assert interest.rate(0.001) == pytest.approx(2 / LEAST_AGE, rel=0.2)


def test_who_waits_long_is_not_in_a_hurry() -> None:
    interest = Interest(0.0)
    for number in range(1, 61):
        interest.asked(float(number))
    assert interest.rate(60.0, waits=0.5) == interest.rate(60.0) > 0.5
    assert interest.rate(60.0, waits=20.0) == 2 / 20.0


def test_the_bounds_of_being_asked_again() -> None:
    for pause, worth in ((ADMIT_WITHIN, True), (ADMIT_WITHIN + 0.001, False)):
        seen = Seen()
        assert seen.asked(WEB, 0.0) is None
        assert (seen.asked(WEB, pause) is not None) == worth


def test_names_remembered_are_bounded() -> None:
    seen = Seen()
    for number in range(MAX_SEEN + 10):
        seen.asked(Subject(SERVICE, f"s{number}"), 0.0)
        seen.rest(Subject(SERVICE, f"s{number}"), 0.0)
    assert (len(seen.interests), len(seen.resting)) == (MAX_SEEN, MAX_SEEN)
    assert Subject(SERVICE, "s9") not in seen.interests


def test_what_is_not_seen_is_what_the_fast_lane_does_not_tell() -> None:
    assert UNSEEN == KEEP_AGAIN


def test_a_question_of_long_ago_says_nothing_of_how_often_it_is_asked_now() -> None:
    interest = Interest(0.0)
    interest.asked(6 * 3600.0)
    at = 6 * 3600.0
    # Asked for all the time: what is seen is one in a tenth of a second, then one in 10 s of reuse.
    for _ in range(20):
        at += UNSEEN + 0.002
        interest.asked(at)
    for _ in range(12):
        at += 10.0
        interest.seen(at)
        interest.spared(10.0, 0.002)
    assert interest.rate(at) > 50
