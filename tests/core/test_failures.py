"""For how long a question that failed is not asked again."""

from __future__ import annotations

import pytest

from consulfwd.core.failures import FIRST, LONGEST, MAX_FAILURES, RECHECK, Failures

NOW, JUST = 1000.0, 0.001
KEY = b"\1a\0"


def note(
    failures: Failures,
    now: float = NOW,
    key: bytes = KEY,
    *,
    risen: int = 0,
    has_stale: bool = False,
    grows: bool = True,
) -> None:
    failures.note(key, 22, "why", now, risen=risen, has_stale=has_stale, grows=grows)


@pytest.mark.parametrize(("has_stale", "lasts"), [(False, FIRST), (True, RECHECK)])
def test_how_long_it_counts(has_stale: bool, lasts: float) -> None:
    failures = Failures()
    assert not failures
    note(failures, has_stale=has_stale)
    assert failures
    held = failures.holds(KEY, NOW + lasts - JUST, 0)
    assert held is not None
    assert (held.ede, held.reason) == (22, "why")
    assert failures.holds(KEY, NOW + lasts, 0) is None
    assert failures.holds(b"\1b\0", NOW, 0) is None


def test_it_counts_longer_each_time() -> None:
    failures, now, lasted = Failures(), NOW, []
    for _ in range(6):
        note(failures, now)
        held = failures.holds(KEY, now, 0)
        assert held is not None
        lasted.append(held.lasts)
        now = held.until
    assert lasted == [1, 2, 4, 8, LONGEST, LONGEST]
    # After some time without it begins anew.
    note(failures, now + LONGEST)
    held = failures.holds(KEY, now + LONGEST, 0)
    assert held is not None
    assert held.lasts == FIRST


def test_where_it_may_be_over_the_next_moment_it_stays_short() -> None:
    failures = Failures()
    for _ in range(3):
        note(failures, grows=False)
        held = failures.holds(KEY, NOW, 0)
        assert held is not None
        assert held.lasts == FIRST


def test_whoever_comes_back_may_have_the_answer() -> None:
    failures = Failures()
    note(failures, risen=3)
    assert failures.holds(KEY, NOW, 4) is None
    note(failures, NOW + 0.5, risen=4)
    held = failures.holds(KEY, NOW + 0.5, 4)
    assert held is not None
    assert held.lasts == FIRST


def test_they_are_forgotten_and_bounded() -> None:
    failures = Failures()
    note(failures)
    failures.forget(KEY)
    failures.forget(KEY)
    assert len(failures) == 0
    for number in range(MAX_FAILURES + 5):
        note(failures, key=number.to_bytes(4, "big"))
    assert len(failures) == MAX_FAILURES
    assert failures.holds(bytes(4), NOW, 0) is None
