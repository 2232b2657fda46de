"""Places for connections: bounds in all and for each client, and who has been idle longest."""

from __future__ import annotations

import random

import pytest

from consulfwd.core.places import STRANGER, Places

ONE, OTHER = "10.0.0.1", "10.0.0.2"


def taken(most: int, most_each: int, *clients: str | None) -> Places[int]:
    places: Places[int] = Places(most, most_each)
    for number, client in enumerate(clients):
        places.take(number, client)
    return places


@pytest.mark.parametrize(
    ("clients", "full"),
    [
        ((), (False, False, False)),
        ((ONE,), (False, False, False)),
        ((ONE, ONE), (True, False, False)),
        ((None, None, None), (False, False, False)),
        ((None, None, None, OTHER), (True, True, True)),
        ((ONE, ONE, OTHER, None), (True, True, True)),
    ],
)
def test_bounds(clients: tuple[str | None, ...], full: tuple[bool, bool, bool]) -> None:
    places = taken(4, 2, *clients)
    assert (places.full(ONE), places.full(OTHER), places.full(None)) == full
    assert len(places) == len(list(places)) == len(clients)


def test_the_longest_idle_comes_first_whoever_it_is() -> None:
    places = taken(5, 3, ONE, None, OTHER, ONE, None)
    assert list(places.idle(OTHER)) == [0, 1, 2, 3, 4]
    places.work(0)
    places.work(2)
    assert list(places.idle(OTHER)) == [1, 3, 4]
    places.rest(0)
    assert list(places.idle(None)) == [1, 3, 4, 0]
    places.rest(3)
    assert list(places.idle(None)) == [1, 4, 0, 3]


def test_who_has_its_part_gives_way_to_itself() -> None:
    places = taken(9, 3, OTHER, ONE, None, ONE, ONE)
    places.rest(1)
    assert list(places.idle(ONE)) == [3, 4, 1]
    places.work(4)
    assert list(places.idle(ONE)) == [3, 1]
    assert list(places.idle(OTHER)) == [0, 2, 3, 1]


def test_places_are_given_back_once() -> None:
    places = taken(2, 1, ONE, None)
    for _ in range(2):
        places.give_back(0)
        assert (len(places), places.full(ONE), list(places.idle(ONE))) == (1, False, [1])
    # Who has none is not idle either.
    places.rest(0)
    assert list(places.idle(ONE)) == [1]


@pytest.mark.parametrize(("count", "left"), [(0, 1.0), (1, 0.75), (3, 0.25), (4, 0.0)])
def test_how_much_is_left(count: int, left: float) -> None:
    places = taken(4, 9, *[ONE] * count)
    assert places.left == left
    places.most = 2
    assert places.left == max(1 - count / 2, 0)


@pytest.mark.parametrize("seed", range(20))
def test_in_any_order_the_counts_are_those_of_who_is_there(seed: int) -> None:
    rng = random.Random(seed)
    places: Places[int] = Places(1000, 1000)
    there: dict[int, str | None] = {}
    idle: list[int] = []
    for step in range(300):
        one = rng.choice([*there, step])
        done = rng.choice(["take", "back", "work", "rest"])
        if done == "take" and one not in there:
            there[one] = rng.choice([ONE, OTHER, None])
            places.take(one, there[one])
            idle.append(one)
        elif one in there and done != "take":
            if one in idle:
                idle.remove(one)
            if done == "back":
                places.give_back(one)
                del there[one]
            elif done == "work":
                places.work(one)
            else:
                places.rest(one)
                idle.append(one)
        assert list(places) == list(there)
        assert list(places.idle(None)) == idle
        for client in (ONE, OTHER):
            assert places.of(client) == list(there.values()).count(client)
    for one in list(there):
        places.give_back(one)
    assert (places._of, places._idle) == ({}, {})


def test_an_eighth_is_not_for_this_hosts_programs() -> None:
    places = taken(16, 4, *[None] * 14)
    assert (places.full(None), places.full(ONE)) == (True, False)
    # One more of them takes the place of another of them.
    places.take(14, ONE)
    places.rest(0)
    assert list(places.idle(None)) == [*range(1, 14), 0]


def test_who_may_not_ask_takes_nobody_elses_place() -> None:
    places = taken(8, 4, ONE, None, STRANGER)
    assert not places.full(STRANGER)
    assert list(places.idle(STRANGER)) == [2]
    places.take(3, STRANGER)
    assert places.full(STRANGER)
    assert list(places.idle(STRANGER)) == [2, 3]
    # Whoever may ask takes theirs.
    assert list(places.idle(ONE)) == [0, 1, 2, 3]
