"""Who waits at an agent for changes."""

from __future__ import annotations

import pytest

from consulfwd.config import Agent
from consulfwd.consul.seats import FAR, NEAR, Room, Seats, room


def test_there_are_so_many_seats_and_whoever_has_one_keeps_it() -> None:
    seats: Seats[str] = Seats(2)
    assert seats.take("a")
    assert seats.take("a")
    assert (len(seats), seats.free) == (1, True)
    assert seats.take("b")
    assert (seats.free, seats.take("c")) == (False, False)
    assert seats.take("a")
    seats.leave("a")
    seats.leave("nobody")
    assert seats.take("c")
    assert list(seats) == ["b", "c"]


def test_a_seat_is_handed_over() -> None:
    seats: Seats[str] = Seats(1)
    seats.take("a")
    seats.hand_over("a", "b")
    assert ("a" in seats, "b" in seats, seats.free) == (False, True, False)
    # Who is on the way out takes nothing with it.
    seats.leave("a")
    assert not seats.free


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", NEAR), ("::1", NEAR), ("10.0.0.1", FAR), ("fe80::1%lo", FAR)],
)
def test_an_agent_off_this_host_has_other_hosts_too(address: str, expected: Room) -> None:
    assert room(Agent(address=address)) is expected


def test_a_seat_is_kept_for_those_on_whom_others_depend() -> None:
    seats: Seats[str] = Seats(3)
    seats.keep("hub")
    assert (seats.take("a"), seats.take("b"), seats.free) == (True, True, False)
    assert not seats.take("c")
    assert seats.take("hub")
    seats.leave("hub")
    assert (seats.free, seats.take("c"), seats.take("hub")) == (False, False, True)
    seats.forget("hub")
    seats.leave("hub")
    assert (seats.free, seats.take("c")) == (True, True)


def test_one_seat_at_least_is_for_the_others() -> None:
    seats: Seats[str] = Seats(2)
    for one in ("a", "b", "c"):
        seats.keep(one)
    assert [seats.kept(one) for one in ("a", "b", "c")] == [True, False, False]
    assert (seats.free, seats.take("b"), seats.take("c")) == (True, True, False)
