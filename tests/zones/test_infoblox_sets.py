"""Objects of a zone together, and what they are after a push."""

from __future__ import annotations

import random
from collections.abc import Mapping

from consulfwd.dns import const, names
from consulfwd.zones.model import Key, RRset, difference
from consulfwd.zones.sinks.infoblox_objects import Held
from consulfwd.zones.sinks.infoblox_sets import NO_TTL, base, pushed
from consulfwd.zones.target import Base
from tests.zones.made import ORIGIN, records

Wanted = Mapping[Key, RRset]
THEIRS = Key(names.from_text(f"db.{ORIGIN}"), const.A)


def read(wanted: Wanted, rng: random.Random | None = None) -> Base:
    """Return what is read where that is there, in an order of no meaning."""
    found = [Held("", key, data, one.ttl, True) for key, one in wanted.items() for data in one.data]
    if rng is not None:
        rng.shuffle(found)
    return base(found, [THEIRS])


def some(rng: random.Random) -> Wanted:
    given = {
        f"n{number} {kind}": " ".join(rng.sample(texts, rng.randint(1, 3)))
        for kind, texts in (("A", ["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
                            ("AAAA", ["2001:db8::1", "2001:db8::2", "2001:db8::3"]))
        for number in range(6)
        if rng.random() < 0.6
    }  # fmt: skip
    return records(given, ttl=rng.choice([30, 60]))


def test_what_is_there_after_a_push_is_what_would_be_read() -> None:
    rng = random.Random(5)
    now = read({})
    for _ in range(200):
        wanted = some(rng) if rng.random() < 0.9 else {}
        known = pushed(now, difference(now.ours, wanted))
        assert known == read(wanted, rng)
        assert known is not None
        now = known


def test_a_checksum_is_another_one_whatever_differs() -> None:
    one = records({"web A": "10.0.0.1 10.0.0.2"})
    marks = [
        read(each).mark
        for each in (
            {}, one, records({"web A": "10.0.0.1"}), records({"web AAAA": "2001:db8::1"}),
            records({"web A": "10.0.0.1 10.0.0.2"}, ttl=60),
            records({"app A": "10.0.0.1 10.0.0.2"}),
        )
    ]  # fmt: skip
    theirs = [Held("", key, data, 30, False) for key, each in one.items() for data in each.data]
    marks += [base(theirs, []).mark, base([], []).mark, base([], [THEIRS, THEIRS]).mark]
    # The last one is the first: who is named twice is there once.
    assert len(set(marks)) == len(marks) - 1
    assert marks[-1] == marks[0]


def test_what_cannot_be_told_is_not_guessed() -> None:
    """What each record of a set had, where they differ or inherit it."""
    before = {key: one._replace(ttl=NO_TTL) for key, one in records({"web A": "10.0.0.1"}).items()}
    assert pushed(read(before), difference(before, records({"web A": "10.0.0.1"}))) is None
    assert pushed(read(before), difference(before, {**before, **records({"app A": "10.0.0.1"})}))
