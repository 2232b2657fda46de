"""What a server is asked, letter by letter, and what becomes of its replies; no sockets."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from consulfwd.core.attempts import Attempt
from consulfwd.core.spelling import AGAIN, CHANGED, ENOUGH, TRIAL
from consulfwd.core.upstreams import Upstream
from consulfwd.dns.names import from_text
from consulfwd.net.ports import Port
from consulfwd.net.speller import Speller

# Of so many letters not all are small by chance.
LONG = "many-letters.of-many-labels.example.test"
HEAD = b"\1\0\0\1\0\0\0\0\0\0"
THERE = Upstream("there", "192.0.2.53", 53, is_agent=False)
NOW = 100.0


def tail(name: str) -> bytes:
    return HEAD + from_text(name) + b"\0\1\0\1"


def port() -> Port:
    nothing: Any = None
    return Port(nothing, nothing, NOW)


def attempt(*others: Attempt) -> Attempt:
    lookup: Any = SimpleNamespace(attempts=[*others])
    made = Attempt(lookup, THERE, False, NOW, "")
    lookup.attempts.append(made)
    return made


def reply_to(sent: bytes) -> bytes:
    return b"id\x81\x80" + sent[2:]


def asked(speller: Speller, name: str, now: float = NOW) -> tuple[Port, bytes]:
    by = port()
    return by, speller.spell(by, attempt(), tail(name), now)


@pytest.fixture
def sure() -> Speller:
    speller = Speller()
    for number in range(ENOUGH):
        by, sent = asked(speller, f"name{number}.test")
        assert sent != tail(f"name{number}.test")
        assert speller.read(by, reply_to(sent), NOW) == reply_to(tail(f"name{number}.test"))
    assert speller.known
    return speller


def test_a_name_without_letters_is_no_trial() -> None:
    speller = Speller()
    for name in (".", "1.2.3", "."):
        by, sent = asked(speller, name)
        assert (sent, by.spelled) == (tail(name), None)
    # The trial is still to be had.
    assert asked(speller, LONG)[1] != tail(LONG)
    assert asked(speller, LONG)[1] == tail(LONG)


def test_a_trial_differs_whatever_chance_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    speller = Speller()
    assert asked(speller, "a.b")[1] == HEAD + b"\1A\1B\0\0\1\0\1"


def test_trials_without_a_reply_are_ever_rarer() -> None:
    speller = Speller()
    tried = [at for at in range(100) if asked(speller, LONG, NOW + at)[1] != tail(LONG)]
    assert tried == [0, 2, 6, 14, 30, 62]
    assert tried[1] == TRIAL


def test_another_question_is_left_to_who_checks_that(sure: Speller) -> None:
    by, sent = asked(sure, LONG)
    for data in (reply_to(tail("xyz.test")), b"id\x81\x85" + bytes(8), b"id", b""):
        assert sure.read(by, data, NOW) == data
    assert sure.known
    assert sure.read(by, reply_to(sent), NOW) == reply_to(tail(LONG))


def test_other_letters_are_a_false_reply_of_who_repeats_them(sure: Speller) -> None:
    asks = [asked(sure, LONG) for _ in range(CHANGED)]
    last = asked(sure, "two.test")
    for by, _ in asks:
        # One that was guessed is no reason to spare anybody guessing from then on.
        assert asked(sure, LONG)[1] != tail(LONG)
        assert sure.read(by, reply_to(tail(LONG)), NOW) is None
    # What was on its way by then keeps what it was promised; from then on letters are small.
    assert sure.read(last[0], reply_to(last[1].swapcase()), NOW) is None
    assert asked(sure, "three.test", NOW + AGAIN - 0.001)[1] == tail("three.test")
    assert asked(sure, "three.test", NOW + AGAIN)[1] != tail("three.test")


def test_what_was_asked_in_vain_goes_in_small_letters(sure: Speller) -> None:
    first = attempt()
    by = port()
    assert sure.spell(by, first, tail(LONG), NOW) != tail(LONG)
    again = Attempt(first.lookup, THERE, False, NOW, "")
    first.lookup.attempts.append(again)
    assert sure.spell(by, again, tail(LONG), NOW) == tail(LONG)
    assert by.again
    # But not where somebody guesses: that is what it is spelled by chance for.
    first.strays = 1
    assert sure.spell(by, again, tail(LONG), NOW) != tail(LONG)
    assert not by.again


def test_turned_off(sure: Speller) -> None:
    sure.on = False
    by, sent = asked(sure, LONG)
    assert (sent, by.spelled) == (tail(LONG), None)
