"""Bursts of changes: one acts when they pause, and in time when they do not."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.keep.quiescence import Quiescence


def test_nothing_is_due_before_a_change() -> None:
    assert Quiescence(2).due_at is None


def test_each_change_postpones_until_the_deadline() -> None:
    quiescence = Quiescence(2, 5)
    due = []
    for now in (10, 11, 12.5, 13.5, 14.9):
        quiescence.changed(now)
        due.append(quiescence.due_at)
    assert due == [12, 13, 14.5, 15, 15]


def test_the_deadline_is_four_times_the_pause_if_not_given() -> None:
    quiescence = Quiescence(2)
    for now in (0, 1.5, 3, 4.5, 6, 7.5):
        quiescence.changed(now)
    assert quiescence.due_at == 8


def test_what_fired_starts_anew() -> None:
    quiescence = Quiescence(2, 3)
    quiescence.changed(0)
    quiescence.changed(1.9)
    quiescence.fired(3)
    assert quiescence.due_at is None
    quiescence.changed(3)
    assert quiescence.due_at == 5


def test_it_fires_when_it_is_due_and_not_before() -> None:
    quiescence = Quiescence(2)
    with pytest.raises(ValueError, match="not due"):
        quiescence.fired(0)
    quiescence.changed(0)
    with pytest.raises(ValueError, match=r"not due at 1\.999, but at 2"):
        quiescence.fired(1.999)
    assert quiescence.due_at == 2
    quiescence.fired(2)


@pytest.mark.parametrize(("least", "most"), [(2, 1.9), (-1, 1), (1, inf), (nan, 1)])
def test_pauses_that_contradict_each_other_are_refused(least: float, most: float) -> None:
    with pytest.raises(ValueError, match="not 0 <="):
        Quiescence(least, most)


# Whole numbers: sums of them are exact.
GAPS = st.lists(st.integers(0, 20), min_size=1, max_size=30)


@given(gaps=GAPS, least=st.integers(0, 10), more=st.integers(0, 40))
def test_it_acts_after_a_pause_or_at_the_deadline_and_never_misses_a_change(
    gaps: list[int], least: int, more: int
) -> None:
    quiescence = Quiescence(least, least + more)
    now = 0
    burst: list[int] = []  # the changes not acted on yet

    def fire(at: float) -> None:
        last, deadline = burst[-1], burst[0] + least + more
        assert at == min(last + least, deadline)
        quiescence.fired(at)
        burst.clear()

    for gap in gaps:
        now += gap
        if quiescence.due_at is not None and quiescence.due_at <= now:
            fire(quiescence.due_at)
        quiescence.changed(now)
        burst.append(now)
    assert quiescence.due_at is not None
    fire(quiescence.due_at)
    assert quiescence.due_at is None
