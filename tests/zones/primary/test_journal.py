"""The journal as octets: cut and spoiled anywhere, what is whole before is what there is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.dns import names
from consulfwd.zones.model import difference
from consulfwd.zones.primary import journal
from consulfwd.zones.primary.versions import Delta, Versions, Whole, Writer
from tests.zones.primary.pulled import APEX, WIRE, some_records, version


def lives(rng: random.Random, number: int) -> tuple[Whole, list[Delta]]:
    """A zone and what became of it."""
    held = Versions(WIRE)
    whole = Whole(version(1), some_records(rng, 3), Writer("first", 7))
    held.begin(whole)
    for index in range(number):
        after = some_records(rng, 3)
        apex = APEX._replace(refresh=index, servers=(WIRE,) * (index % 3))
        acts = difference(held.content.records, after)
        delta = held.delta(acts, apex, 0, Writer("next", index))
        assert delta is not None
        held.take(delta)
    return whole, list(held.deltas)


def ends(whole: Whole, deltas: list[Delta]) -> tuple[bytes, list[int]]:
    """A journal, and where each entry ends."""
    octets, chain = journal.start(WIRE, whole)
    found = [len(octets)]
    for delta in deltas:
        more, chain = journal.entry(delta, chain)
        octets += more
        found.append(len(octets))
    assert journal.whole_text(WIRE, whole, deltas) == (octets, chain)
    return octets, found


def test_there_and_back() -> None:
    whole, deltas = lives(random.Random(1), 10)
    octets, _ = ends(whole, deltas)
    found = journal.read(octets, WIRE)
    assert (found.whole, found.deltas) == (whole, deltas)
    assert (found.end, found.torn, found.damage) == (len(octets), False, "")
    _, chain = journal.whole_text(WIRE, whole, deltas)
    assert found.chain == chain
    assert journal.read(b"", WIRE) == journal.Found(None, [], 0, b"")


def test_cut_anywhere() -> None:
    whole, deltas = lives(random.Random(2), 2)
    octets, where = ends(whole, deltas)
    for size in range(len(octets)):
        found = journal.read(octets[:size], WIRE)
        entries = sum(end <= size for end in where)
        assert found.damage == ""
        assert found.torn == (size not in (0, len(journal.MAGIC), *where))
        assert len(found.deltas) == max(0, entries - 1)
        assert (found.whole is not None) == (entries > 0)
        assert found.end == (where[entries - 1] if entries else 0)


def test_room_that_was_not_written_yet_is_a_cut() -> None:
    whole, deltas = lives(random.Random(3), 3)
    octets, where = ends(whole, deltas)
    for size in (where[1], where[1] + 30):
        found = journal.read(octets[:size] + bytes(4000), WIRE)
        assert len(found.deltas) == 1
        # After a part of an entry, zeros are indistinguishable from one that was damaged.
        assert found.torn == (size == where[1])
    # The entry's whole length is there, and not all of it was written.
    half = (where[2] + where[3]) // 2
    found = journal.read(octets[:half] + bytes(len(octets) - half), WIRE)
    assert (found.torn, found.damage, len(found.deltas)) == (True, "", 2)


def test_damage_anywhere_is_told() -> None:
    whole, deltas = lives(random.Random(4), 3)
    octets, where = ends(whole, deltas)
    rng = random.Random(5)
    for at in range(where[2]):
        spoiled = octets[:at] + bytes((octets[at] ^ rng.randint(1, 255),)) + octets[at + 1 :]
        found = journal.read(spoiled, WIRE)
        entries = sum(end <= at for end in where)
        assert found.damage
        assert not found.torn
        assert len(found.deltas) == max(0, entries - 1)
    # In the last entry it may as well be a cut, which nobody was given yet.
    for at in range(where[2], len(octets)):
        spoiled = octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :]
        found = journal.read(spoiled, WIRE)
        assert found.damage or found.torn
        assert len(found.deltas) == 2


def test_entries_that_are_missing_or_of_others() -> None:
    whole, deltas = lives(random.Random(6), 3)
    octets, where = ends(whole, deltas)
    missing = octets[: where[0]] + octets[where[1] :]
    twice = octets[: where[1]] + octets[where[0] :]
    other, _ = ends(*lives(random.Random(7), 3))
    mixed = octets[: where[0]] + other[where[0] :]
    for spoiled in (missing, twice, mixed):
        assert journal.read(spoiled, WIRE).damage
    elsewhere = journal.read(octets, names.from_text("other.example"))
    assert "another zone's" in elsewhere.damage
    assert elsewhere.whole is None
    assert journal.read(b"; a zone file\n", WIRE).damage == "it is no journal"


@given(st.binary(max_size=300), st.booleans())
def test_whatever_the_octets(octets: bytes, begins: bool) -> None:
    found = journal.read(journal.MAGIC * begins + octets, WIRE)
    assert found.whole is None


@pytest.mark.parametrize("holder", ["", "ä" * 600, "a\nb"])
def test_any_holder(holder: str) -> None:
    whole = Whole(version(1), {}, Writer(holder, 2**63))
    found = journal.read(journal.start(WIRE, whole)[0], WIRE)
    assert found.whole is not None
    assert found.whole.writer.number == 2**63
    assert holder.startswith(found.whole.writer.holder.rstrip("\ufffd"))
