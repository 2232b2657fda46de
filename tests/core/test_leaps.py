"""Pauses that only the time of day tells of."""

from __future__ import annotations

import pytest

from consulfwd.core.leaps import LEAP, SENSIBLE, Leaps

WALL = SENSIBLE + 1e7


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        # The time of day against the clock, looked at each second.
        ([0, 0, 0], [0, 0, 0]),
        ([LEAP], [0]),
        ([LEAP + 0.5], [LEAP + 0.5]),
        ([3600, 0, 0], [3600, 0, 0]),
        # Short pauses add up.
        ([1, 1, 1, 0], [0, 0, 3, 0]),
        # Set back it is no time at all, and goes on from there; as much ahead soon after is none.
        ([-3600, 0, 3600], [0, 0, 0]),
        ([-3600, 0, 3700], [0, 0, 100]),
        ([-3600, *[0] * 70, 3600], [0, *[0] * 70, 3600]),
        # Two programs that set it in turn.
        ([3, -3] * 30, [3, *[0] * 59]),
        ([1, -1, 1], [0, 0, 0]),
    ],
)
def test_leaps(steps: list[float], told: list[float]) -> None:
    leaps, ahead = Leaps(100.0, 100.0 + WALL), WALL
    for second, (step, leapt) in enumerate(zip(steps, told, strict=True), 1):
        ahead += step
        assert leaps.look(100.0 + second, 100.0 + second + ahead) == pytest.approx(leapt)


@pytest.mark.parametrize(
    ("before", "leapt"), [(0.0, 0.0), (SENSIBLE - 31, 0.0), (SENSIBLE - 30, 1e6)]
)
def test_a_clock_that_was_wrong_and_is_set_right_has_not_leapt(before: float, leapt: float) -> None:
    leaps = Leaps(10.0, before)
    assert leaps.look(40.0, SENSIBLE + 1e6) == pytest.approx(leapt)
    # From here on it is right.
    assert leaps.look(50.0, SENSIBLE + 2e6) == pytest.approx(1e6 - 10)


def test_the_sleep_the_clock_tells_of_is_none_more() -> None:
    leaps = Leaps(100.0, 100.0 + WALL)
    assert leaps.look(5000.0, 5000.0 + WALL) == 0
