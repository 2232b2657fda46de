"""When a target is attended to, at the boundary, one before and one after."""

from __future__ import annotations

from math import inf

from consulfwd.zones.publish.place import RETRY_MAX, Place
from tests.zones.publish.world import Target


def place(interval: float = 5.0, look: float = 300.0) -> Place:
    return Place(Target(), interval, look=look)


def test_a_new_one_is_due_at_once() -> None:
    assert place().due() == -inf


def test_after_a_look_it_is_due_by_time_or_when_it_is_called() -> None:
    one = place()
    one.begun()
    one.attended(100.0)
    assert one.due() == 400.0
    one.call("news")
    assert one.due() == -inf
    assert one.begun() == {"news"}
    assert one.due() == 400.0
    assert one.begun() == frozenset()


def test_after_a_push_the_interval_comes_first() -> None:
    one = place()
    one.wrote(100.0)
    one.attended(100.0)
    one.call("news")
    assert one.due() == 105.0
    # What only looked is no push.
    one.attended(103.0)
    one.call("news")
    assert one.due() == 105.0


def test_pauses_after_failures_double_and_are_over_once_it_is_well() -> None:
    one = place()
    pauses = [one.failed(0.0, "away", frozenset({"news"})) for _ in range(8)]
    assert pauses == [5, 10, 20, 40, 80, 160, RETRY_MAX, RETRY_MAX]
    assert one.due() == RETRY_MAX
    assert one.why == {"news"}
    # A change has it tried sooner, but not at once.
    one.call("more")
    assert one.due() == 5.0
    assert one.begun() == {"news", "more"}
    one.attended(10.0)
    assert (one.fault, one.complete) == ("", True)
    assert one.failed(20.0, "away", frozenset()) == 5


def test_what_waits_is_no_failure() -> None:
    one = place()
    one.waits(50.0, "the first look", "not begun")
    assert one.due() == 50.0
    assert not one.complete
    assert (one.fault, one.waiting) == ("", "not begun")
