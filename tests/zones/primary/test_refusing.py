"""What is told of those who are refused: enough for who has to mend it, and never too much."""

from __future__ import annotations

from consulfwd.zones.primary.refusing import AGAIN, MOST, Refusals


def test_once_an_hour() -> None:
    found = Refusals()
    told = "a.example.: 10.0.0.1 is refused: BADKEY"
    assert found.tell("a.example.", "10.0.0.1", "BADKEY", 1_000) == told
    assert found.tell("a.example.", "10.0.0.1", "BADKEY", 1_000 + AGAIN - 1) == ""
    assert found.tell("a.example.", "10.0.0.1", "BADTIME", 1_000) != ""
    assert found.tell("b.example.", "10.0.0.1", "BADKEY", 1_000) != ""
    assert found.tell("a.example.", "10.0.0.1", "BADKEY", 1_000 + AGAIN) == told


def test_strangers_do_not_fill_the_log() -> None:
    found = Refusals()
    said = [found.tell("a.example.", number, "why", number / 100) for number in range(10_000)]
    assert sum(map(bool, said)) == MOST
    assert said[MOST - 1].endswith(" is refused: why; others are not told of for an hour")
    assert found.tell("a.example.", 1, "why", AGAIN + 1)
