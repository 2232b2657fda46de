"""When the command runs, and what it is told: as transcripts, at the boundary."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise

import pytest

from consulfwd.backends.due import RETRY, RETRY_MAX, Due
from consulfwd.backends.model import Backend
from consulfwd.keep.quiescence import Quiescence


def backend(name: str, weight: int = 1) -> Backend:
    return Backend("web", name, "n", "10.0.0.1", 80, "dc1", (), weight, "passing", {})


A, B, C = map(backend, "abc")


def due() -> Due:
    return Due(Quiescence(1.0, 4.0))


def begun(one: Due, now: float) -> tuple[str, str, str]:
    """What a run is told: added, removed, all."""
    assert one.due_at is not None
    with pytest.raises(ValueError, match="not due"):
        one.begin(one.due_at - 0.01)
    change = one.begin(now)
    assert change is not None
    return ids(change.added), ids(change.removed), ids(change.backends)


def ids(backends: Iterable[Backend]) -> str:
    return "".join(sorted(each.id for each in backends))


def test_the_first_comes_at_once_changes_once_they_pause() -> None:
    one = due()
    assert one.due_at is None
    one.seen((A, B), 0.0)
    assert one.due_at == 0.0
    assert begun(one, 0.0) == ("ab", "", "ab")
    one.ended(True, 0.5)
    one.seen((A, B), 0.6)
    assert one.due_at is None
    one.seen((B,), 1.0)
    one.seen((B, C), 1.5)
    assert one.due_at == 2.5
    assert begun(one, 2.5) == ("c", "a", "bc")


def test_changes_that_never_pause_are_told_all_the_same() -> None:
    one = due()
    one.seen((), 0.0)
    assert begun(one, 0.0) == ("", "", "")
    one.ended(True, 0.0)
    for tenth in range(10, 200):
        one.seen((backend("a", tenth),), tenth / 10)
    assert one.due_at == 1.0 + 4.0


def test_one_runs_at_a_time_and_what_changes_meanwhile_is_told_next_as_one() -> None:
    one = due()
    one.seen((A,), 0.0)
    begun(one, 0.0)
    one.seen((A, B), 1.0)
    one.seen((A, B, C), 2.0)
    assert one.due_at is None
    with pytest.raises(ValueError, match="not due"):
        one.begin(100.0)
    one.ended(True, 50.0)
    assert one.due_at == 3.0
    assert begun(one, 50.0) == ("bc", "", "abc")


def test_what_changed_back_is_not_told() -> None:
    one = due()
    one.seen((A,), 0.0)
    begun(one, 0.0)
    one.ended(True, 0.0)
    one.seen((A, B), 1.0)
    one.seen((A,), 1.2)
    assert one.begin(2.2) is None
    assert one.due_at is None


def test_what_failed_is_told_again_with_all_that_changed_since_the_last_good_run() -> None:
    one = due()
    one.seen((A,), 0.0)
    begun(one, 0.0)
    one.ended(True, 0.0)
    one.seen((B,), 1.0)
    assert begun(one, 2.0) == ("b", "a", "b")
    one.ended(False, 3.0)
    assert one.due_at == 3.0 + RETRY
    one.seen((B, C), 4.0)
    assert begun(one, 5.0) == ("bc", "a", "bc")
    one.ended(False, 5.0)
    assert one.due_at == 5.0 + 2 * RETRY
    assert begun(one, 15.0) == ("bc", "a", "bc")
    one.ended(True, 15.0)
    assert one.due_at is None
    assert one.pause == RETRY


def test_the_pauses_grow_to_their_limit() -> None:
    one, now, pauses = due(), 0.0, []
    one.seen((A,), now)
    for _ in range(9):
        begun(one, now)
        one.ended(False, now)
        assert one.due_at is not None
        pauses.append(one.due_at - now)
        now = one.due_at
    assert pauses[0] == RETRY
    assert all(after == min(2 * before, RETRY_MAX) for before, after in pairwise(pauses))
    assert pauses[-1] == RETRY_MAX


def test_an_end_without_a_beginning_is_wrong() -> None:
    with pytest.raises(ValueError, match="nothing runs"):
        due().ended(True, 0.0)


def test_whatever_happens_the_last_good_run_adds_up_to_what_there_is() -> None:
    rng = random.Random(3)
    every = [backend(name) for name in "abcdef"]
    one, now = due(), 0.0
    known: set[Backend] = set()
    there: tuple[Backend, ...] = ()
    for _ in range(2000):
        now += rng.random()
        if rng.random() < 0.5:
            there = tuple(each for each in every if rng.random() < 0.5)
            one.seen(there, now)
        if one.due_at is not None and one.due_at <= now:
            change = one.begin(now)
            if change is not None:
                told = (known - set(change.removed)) | set(change.added)
                assert told == set(change.backends) == set(there)
                well = rng.random() < 0.7
                one.ended(well, now)
                known = told if well else known
    while one.due_at is not None:
        now = max(now, one.due_at)
        if (change := one.begin(now)) is not None:
            known = (known - set(change.removed)) | set(change.added)
            one.ended(True, now)
    assert known == set(there)
