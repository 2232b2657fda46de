"""Versions: serials, what is known of older ones, who wrote last."""

from __future__ import annotations

import random

import pytest

from consulfwd.zones.model import applied, difference
from consulfwd.zones.primary import versions as module
from consulfwd.zones.primary.content import Content
from consulfwd.zones.primary.versions import Version, Versions, Writer
from tests.zones.made import records
from tests.zones.primary.pulled import APEX, WIRE, become, change, some_records, versions

HALF = 1 << 31


def test_a_zone_begins_with_the_time() -> None:
    held = Versions(WIRE)
    assert (held.serial, held.mark, held.behind) == (None, "", False)
    whole = held.whole([], APEX, 1_800_000_000.7, Writer())
    held.begin(whole)
    assert held.serial == 1_800_000_000
    assert held.mark


@pytest.mark.parametrize(
    ("serial", "wall", "then"),
    [
        (100, 200, 200),
        (100, 100, 101),
        (100, 50, 101),
        (100, 100 + HALF - 1, 100 + HALF - 1),
        (100, 100 + HALF, 101),
        ((1 << 32) - 1, 0, 1),
    ],
)
def test_a_change_raises_the_serial(serial: int, wall: float, then: int) -> None:
    held = versions({}, serial)
    become(held, {"web A": "10.0.0.1"}, wall)
    assert held.serial == then


def test_what_was_given_out_elsewhere_is_passed() -> None:
    held = versions({"web A": "10.0.0.1"}, 100)
    held.given(100)
    assert not held.behind
    held.given(99)
    assert not held.behind
    held.given(150)
    held.given(120)
    assert held.behind
    # No difference leads there from here: what was given out is not known.
    assert held.delta([], APEX, 0, Writer()) is None
    held.begin(held.whole([], APEX, 0, Writer()))
    assert held.serial == 150 + module.LEAP
    assert not held.behind
    assert held.since(100) is None
    assert held.since(150) is None


def test_each_lock_leaves_room_for_what_was_not_remembered() -> None:
    held = versions({}, 100)
    for number, serial in ((0, 101), (1, 201), (1, 202), (3, 402), (3, 403), (1 << 40, 100_403)):
        delta = held.delta([], APEX, 0, Writer("", number))
        assert delta is not None
        held.take(delta)
        assert held.serial == serial
    # Of what others gave out the same holds.
    held = versions({}, 100)
    held.writer = Writer("", 8)
    held.given(500, number=7)
    assert held.next_serial(0, 9) == 700
    assert held.next_serial(0, 8) == 600


def test_what_others_gave_out_is_the_same_version_if_it_is_the_same_content() -> None:
    ours = versions({"web A": "10.0.0.1"}, 100)
    others = versions({"db A": "10.0.0.2", "web A": "10.0.0.1"}, 150)
    ours.given(150, others.digest)
    acts = difference(ours.content.records, others.content.records)
    same = ours.whole(acts, APEX, 0, Writer())
    assert same.version.serial == 150
    assert ours.whole(acts[1:], APEX, 0, Writer()).version.serial == 250
    later = APEX._replace(refresh=APEX.refresh + 1)
    assert ours.whole(acts, later, 0, Writer()).version.serial == 250
    ours.begin(same)
    assert ours.mark == others.mark
    # They may have given out more before they ended.
    become(ours, {})
    assert ours.serial == 150 + module.LEAP
    assert ours.since(150) is not None
    become(ours, {"web A": "10.0.0.1"})
    assert ours.serial == 151 + module.LEAP


def test_what_changed_twice_is_one_difference() -> None:
    held = versions({"web A": "10.0.0.1", "db A": "10.0.0.2"}, 1)
    become(held, {"web A": "10.0.0.9", "db A": "10.0.0.2"})
    become(held, {"web A": "10.0.0.8", "db A": "10.0.0.2", "new A": "10.0.0.3"})
    become(held, {"web A": "10.0.0.8"})
    found = held.since(1)
    assert found is not None
    before, acts = found
    assert before.serial == 1
    assert sorted(acts) == difference(
        records({"web A": "10.0.0.1", "db A": "10.0.0.2"}), records({"web A": "10.0.0.8"})
    )
    become(held, {"web A": "10.0.0.1", "db A": "10.0.0.2"})
    assert held.since(1) == (before, [])
    assert held.since(held.serial or 0) is None
    assert held.since(77) is None


def test_the_versions_of_a_hundred_changes_lead_to_the_last_one() -> None:
    rng = random.Random(1995)
    held = versions(some_records(rng, 30), 1)
    known = {1: dict(held.content.records)}
    for _ in range(100):
        after = dict(held.content.records)
        after.update(some_records(rng, 3))
        for key in rng.sample(sorted(after), 3):
            del after[key]
        change(held, difference(held.content.records, after))
        known[held.serial or 0] = after
    for serial, content in known.items():
        if found := held.since(serial):
            assert applied(content, found[1]) == held.content.records
    oldest = held.oldest()
    assert oldest is not None
    assert oldest.records == known[1]
    assert oldest.version.serial == 1
    # What is kept up is what would be made anew.
    anew = Content(WIRE, held.content.records)
    assert anew.digest(APEX) == held.content.digest(APEX)
    assert anew.count == held.content.count
    assert sorted(anew.pieces()) == sorted(held.content.pieces())
    assert vars(anew)["_below"] == vars(held.content)["_below"]


def test_old_differences_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_DELTAS", 3)
    held = versions({}, 1)
    for number in range(5):
        become(held, {"web A": f"10.0.0.{number}"})
    assert [one.before.serial for one in held.deltas] == [3, 4, 5]
    assert held.since(2) is None
    assert held.since(3) is not None
    monkeypatch.setattr(module, "MOST_DELTAS", 100)
    monkeypatch.setattr(module, "MOST_ACTS", 4)
    become(held, {f"web-{number} A": "10.0.0.1" for number in range(6)})
    # The last one is kept whatever its size.
    assert [one.before.serial for one in held.deltas] == [6]


def test_a_difference_from_elsewhere_is_not_taken() -> None:
    held, other = versions({}, 1), versions({}, 2)
    delta = other.delta([], APEX, 0, Writer())
    assert delta is not None
    with pytest.raises(ValueError, match="from 2, not 1"):
        held.take(delta)
    assert held.now == Version(1, APEX)


def test_the_mark_is_another_one_for_another_content() -> None:
    one = versions({"web A": "10.0.0.1"}, 1)
    for other in ({"web A": "10.0.0.2"}, {"web AAAA": "::1"}, {"web A": "10.0.0.1 10.0.0.2"}, {}):
        assert versions(other, 1).mark != one.mark
    assert versions({"web A": "10.0.0.1"}, 2).mark != one.mark
    assert versions({"web A": "10.0.0.1"}, 1).mark == one.mark
