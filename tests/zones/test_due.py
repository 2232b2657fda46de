"""What is due when."""

from __future__ import annotations

from consulfwd.zones.due import Due
from consulfwd.zones.seen import Whose

A, B = (Whose("", "web", one, one) for one in "ab")


def test_in_order_and_once() -> None:
    due = Due()
    assert due.next() is None
    due.put(1, A, 5, 0)
    due.put(0, B, 3, 0)
    due.put(0, A, 5, 0)
    assert due.next() == 3
    assert list(due.past(2.999)) == []
    assert list(due.past(5)) == [(0, B), (0, A), (1, A)]
    assert due.next() is None


def test_what_is_past_is_not_due() -> None:
    due = Due()
    due.put(0, A, 5, 5)
    assert due.next() is None
    due.put(0, A, 5.001, 5)
    assert due.next() == 5.001


def test_the_earliest_of_a_kind() -> None:
    due = Due()
    due.put(0, A, 5, 0)
    for when in range(6, 100):
        due.put(0, A, when, 0)
    assert len(due._heap) == 1
    due.put(0, A, 4, 0)
    assert list(due.past(4)) == [(0, A)]
    assert list(due.past(5)) == []


def test_put_again_while_it_is_taken() -> None:
    due = Due()
    due.put(0, A, 5, 0)
    for _ in due.past(5):
        due.put(0, A, 9, 5)
    assert due.next() == 9
