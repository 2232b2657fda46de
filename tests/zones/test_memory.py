"""What is remembered over a restart."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulfwd.errors import ApplyError
from consulfwd.zones import memory
from consulfwd.zones.budget import ALLOWED_FOR, ITEM, Allowance, Spent
from consulfwd.zones.claims import Group
from consulfwd.zones.memory import Memory, Served
from consulfwd.zones.seen import Whose
from consulfwd.zones.steady import Penalised

WHOSE = Whose("dc1", "web", "node", "web-1")
MEMORY = Memory(
    penalised=(Penalised(WHOSE, 6_000.5, True),),
    kept={Group("web", "primary"): frozenset((WHOSE,)), Group("web", "", "dc1"): frozenset()},
    spent={
        "x": Spent([(60.0, b"abcdef"), (60.0, b"ghijkl")], [(7.0, b"mnopqr")], [(50.0, 9)], [])
    },
    serial=4_294_967_295,
    number=7,
    paused="by me",
    allowances={"x": Allowance(5, 130.0, frozenset({"a", "b"})), "y": Allowance(6, 140.0)},
    served={"x": Served(7, "digest", 3)},
)


def again(given: Memory, now: float = 100, wall: float = 5_000, passed: float = 0) -> Memory:
    return memory.load(memory.write(given, now, wall), "f", now, wall + passed)


def test_there_and_back() -> None:
    assert again(MEMORY) == MEMORY
    assert again(Memory()) == Memory()
    assert again(MEMORY.replace(serial=None, paused="")).serial is None


def test_time_passes_meanwhile() -> None:
    found = again(MEMORY, passed=20)
    assert found.spent["x"].addresses == [(27.0, b"mnopqr")]
    assert found.spent["x"].most_names == [(70.0, 9)]
    assert found.allowances["x"].until == 110
    assert "x" in again(MEMORY, passed=29.9).allowances
    assert again(MEMORY, passed=30).allowances == {"y": Allowance(6, 110.0)}


def test_the_time_of_day_was_set_back() -> None:
    assert again(MEMORY, passed=-1_000) == MEMORY


def test_an_allowance_out_of_time_is_not_written() -> None:
    assert sorted(json.loads(memory.write(MEMORY, 129.9, 0))["allowances"]) == ["x", "y"]
    assert sorted(json.loads(memory.write(MEMORY, 130, 0))["allowances"]) == ["y"]


def test_an_allowance_does_not_last_longer_than_any_may() -> None:
    made = json.loads(memory.write(MEMORY, 0, 0))
    made["allowances"]["x"]["left"] = 1e9
    found = memory.load(json.dumps(made).encode(), "f", 5, 0)
    assert found.allowances["x"].until == 5 + ALLOWED_FOR


def test_ages_are_in_whole_seconds_and_never_older() -> None:
    given = Memory(spent={"x": Spent([(3_599.9, b"abcdef")], [], [], [])})
    assert again(given).spent["x"].names == [(3_599, b"abcdef")]


def item(number: int) -> bytes:
    return number.to_bytes(ITEM, "big")


def test_what_has_no_room_is_counted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_ITEMS", 4)
    spent = Spent([(float(50 - at), item(at)) for at in range(5)], [], [], [])
    found = again(Memory(spent={"x": spent})).spent["x"].names
    assert len(found) == 5
    assert [one for _, one in found if len(one) == ITEM] == [item(3), item(4)]
    assert [age for age, one in found if len(one) != ITEM] == [48] * 3
    # Again and again, it stays that many.
    once_more = again(Memory(spent={"x": Spent(found, [], [], [])})).spent["x"].names
    assert sorted(once_more) == sorted(found)
    fit = Spent(spent.names[:2], [], [], [])
    assert all(len(one) == ITEM for _, one in again(Memory(spent={"x": fit})).spent["x"].names)


def test_it_is_small_whatever_there_is() -> None:
    long = "n" * 1_000
    whose = [Whose(long, long, long, f"{at}{long[8:]}") for at in range(2_000)]
    items = [(float(30_000 - at), item(at)) for at in range(30_000)]
    peaks = [(float(1_000 - at), 1_000 - at) for at in range(1_000)]
    huge = Memory(
        penalised=tuple(Penalised(one, 1, True) for one in whose),
        kept={Group(one.id): frozenset(whose) for one in whose[:10]},
        spent={f"t{at}": Spent(items, items, peaks, peaks) for at in range(3)},
        allowances={"t0": Allowance(5, 1e6, frozenset(one.id for one in whose))},
        serial=5,
    )
    text = memory.write(huge, 0, 0)
    assert len(text) <= memory.LARGEST
    found = memory.load(text, "f", 0, 0)
    assert found.serial == 5
    assert found.allowances == {}
    assert len(found.spent["t0"].names) == 30_000


def test_numbers_that_anybody_may_write_take_up_little_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "MOST_UNNAMED", 1_000)
    made = json.loads(memory.write(MEMORY, 0, 0))
    one = {"names": [[0, 10**9]] * 50, "addresses": [[0, 10**9]], "most_names": [],
           "most_addresses": []}  # fmt: skip
    made["spent"] = {f"t{at}": one for at in range(memory.MOST_TARGETS)}
    found = memory.load(json.dumps(made).encode(), "f", 0, 0).spent
    assert sum(len(each.names) + len(each.addresses) for each in found.values()) == 1_000


def test_what_fits_is_kept() -> None:
    whose = [Whose("dc1", "web", f"node-{at}", f"web-{at}") for at in range(600)]
    given = Memory(penalised=tuple(Penalised(one, 1, True) for one in whose))
    assert again(given).penalised == given.penalised[: memory.MOST_PENALISED]


def test_a_newer_version_may_say_more() -> None:
    made = json.loads(memory.write(MEMORY, 0, 0))
    made["more"] = {"a": 1}
    assert memory.load(json.dumps(made).encode(), "f", 0, 0).number == 7


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: one.update(format=2),
         "f: format: another version of this program has written it"),
        (lambda one: one.pop("spent"), "f: spent: it is missing"),
        (lambda one: one.update(serial=2**32), "f: serial: it must be 0 to 4294967295"),
        (lambda one: one["penalised"].append([1]), "f: penalised[1]: it must have 6 parts"),
        (lambda one: one["penalised"][0].append(1), "f: penalised[0]: 7 are more than 6"),
        (lambda one: one["spent"]["x"]["names"][0].__setitem__(1, "a"),
         "f: spent.x.names[0][1]: it is not base64"),
        (lambda one: one["spent"]["x"]["names"][0].__setitem__(1, "YQ=="),
         "f: spent.x.names[0][1]: it is not made of 6 octets each"),
        (lambda one: one["spent"]["x"]["names"][0].__setitem__(0, -1),
         "f: spent.x.names[0][0]: it must be 0 to 1e+09"),
        (lambda one: one["spent"]["x"]["names"].append([0, 2**41]),
         "f: spent.x.names[1][1]: it must be 0 to 1099511627776"),
        (lambda one: one["kept"][0][3].append("a"), "f: kept[0][3][1]: it must be a list"),
        (lambda one: one["allowances"]["x"].update(left=None),
         "f: allowances.x.left: it must be a number"),
    ],
)  # fmt: skip
def test_what_is_no_memory(change: Callable[[Any], object], why: str) -> None:
    made = json.loads(memory.write(MEMORY.replace(kept=dict(list(MEMORY.kept.items())[:1])), 0, 0))
    change(made)
    with pytest.raises(ApplyError, match=f"^{re.escape(why)}$"):
        memory.load(json.dumps(made).encode(), "f", 0, 0)


_MADE = json.loads(memory.write(MEMORY, 100, 0))


@given(
    st.sampled_from(list(_MADE)),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.just([]) | st.just({}) | st.just([[]]) | st.just({"x": {}}) | st.just([[1] * 6]),
)  # fmt: skip
@settings(max_examples=300)
def test_any_value_anywhere(key: str, value: Any) -> None:
    made = copy.deepcopy(_MADE)
    made[key] = value
    try:
        found = memory.load(json.dumps(made).encode(), "f", 0, 0)
    except ApplyError as error:
        assert error.where.startswith("f: ")  # noqa: PT017
        return
    assert again(found).number == found.number
