"""Which changes of an upstream are told, and which counted."""

from __future__ import annotations

import pytest

from consulfwd.core.telling import LINES, WINDOW, Telling


def told(telling: Telling, start: float, changes: int) -> int:
    return sum(telling.tell(start + number / 1000) for number in range(changes))


@pytest.mark.parametrize("changes", [1, LINES])
def test_what_happens_now_and_then_is_told(changes: int) -> None:
    telling = Telling()
    for start in (0, WINDOW, 2 * WINDOW + 1):
        assert told(telling, start, changes) == changes


def test_a_window_ends_when_it_ends() -> None:
    telling = Telling()
    assert told(telling, 0, LINES) == LINES
    assert telling.ends_at == WINDOW
    assert told(telling, WINDOW, 1) == 1
    telling = Telling()
    told(telling, 0, LINES)
    assert not telling.tell(WINDOW - 0.001)


def test_what_is_held_back_is_counted_and_told_when_the_window_ends() -> None:
    telling = Telling()
    assert told(telling, 0, LINES) == LINES
    waits = []
    for number in range(3):
        assert not telling.tell(1 + number)
        waits.append(telling.waits)
    assert waits == [True, False, False]
    assert not telling.tell(WINDOW + 0.5), "the end is the caller's to see"
    assert telling.held(WINDOW + 1) == 4
    assert told(telling, WINDOW + 2, LINES + 1) == LINES


def test_what_goes_on_has_a_line_for_each_window() -> None:
    telling = Telling()
    told(telling, 0, 5 * LINES)
    for window in (1, 2, 3):
        start = window * WINDOW
        assert telling.held(start) == (4 if window == 1 else 5) * LINES
        assert told(telling, start, 5 * LINES) == 0
    assert telling.held(4 * WINDOW) == 5 * LINES
    assert told(telling, 4 * WINDOW, 1) == 0
    assert telling.held(5 * WINDOW) == 1
    assert told(telling, 5 * WINDOW, LINES + 1) == LINES
