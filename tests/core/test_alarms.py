"""What is told again while it lasts."""

from __future__ import annotations

from itertools import pairwise

from consulfwd.core.alarms import AGAIN, LONGEST, REMEMBERED, Alarms


def told(alarms: Alarms, until: float, thing: str = "x", begin: float = 0.0) -> list[float]:
    """When it is told, of a thing that is found to be wrong each second."""
    return [now for now in range(int(begin), int(until)) if alarms.wrong(thing, float(now))]


def test_at_once_then_ever_more_seldom_up_to_an_interval() -> None:
    times = told(Alarms(), 1100)
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert times[0] == 0
    assert gaps == [AGAIN, 2 * AGAIN, 4 * AGAIN, LONGEST, LONGEST]


def test_each_thing_has_its_own() -> None:
    alarms = Alarms()
    assert alarms.wrong("x", 0.0)
    assert alarms.wrong("y", 0.0)
    assert not alarms.wrong("x", AGAIN - 0.01)
    assert alarms.wrong("x", AGAIN)


def test_that_it_is_over_is_told_once_and_only_where_it_was_told() -> None:
    alarms = Alarms()
    assert not alarms.well("x")
    alarms.wrong("x", 0.0)
    assert alarms.well("x")
    assert not alarms.well("x")


def test_what_comes_and_goes_is_told_no_more_often() -> None:
    alarms = Alarms()
    alarms.wrong("x", 0.0)
    alarms.well("x")
    assert not alarms.wrong("x", 1.0)
    assert not alarms.well("x")
    assert alarms.wrong("x", AGAIN)
    # After a long quiet it is as if for the first time.
    alarms.well("x")
    begin = AGAIN + 3 * LONGEST
    assert told(alarms, begin + 2 * AGAIN, begin=begin)[:2] == [begin, begin + AGAIN]


def test_each_way_of_being_wrong_is_told_by_itself() -> None:
    alarms = Alarms()
    told = [alarms.wrong("x", float(now), str(now % 2)) for now in range(6)]
    assert told == [True, True, False, False, False, False]
    assert not alarms.wrong("x", AGAIN - 0.01, "0")
    assert alarms.wrong("x", AGAIN, "0")
    assert alarms.since("x") == 0.0
    assert alarms.well("x")
    assert (alarms.since("x"), alarms.well("x")) == (None, False)


def test_since_when_it_lasts_though_it_is_not_told_again() -> None:
    alarms = Alarms()
    alarms.wrong("x", 0.0)
    alarms.well("x")
    assert not alarms.wrong("x", 10.0)
    assert not alarms.wrong("x", 20.0)
    assert alarms.since("x") == 10.0


def test_what_there_is_no_more_is_forgotten() -> None:
    alarms = Alarms()
    for thing in "xy":
        alarms.wrong(thing, 0.0, "how")
    alarms.well("x")
    alarms.keep({"y"})
    assert alarms.wrong("x", 1.0, "how")
    assert not alarms.wrong("y", 1.0, "how")


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    alarms = Alarms()
    for number in range(3 * REMEMBERED):
        assert alarms.wrong(number, 0.0)
    remembered = len(alarms._due), len(alarms._since), len(alarms._told)
    assert max(remembered) <= REMEMBERED
    # One thing may be wrong in ever new ways.
    for number in range(3 * REMEMBERED):
        assert alarms.wrong("x", 0.0, number)
    assert len(alarms._due) <= REMEMBERED
    assert alarms.well("x")
