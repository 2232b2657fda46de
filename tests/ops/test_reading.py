"""Pictures read from JSON that another version, or nobody we know, has written."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from consulfwd.ops.reading import NoPicture, from_json
from consulfwd.ops.snapshot import RoundsSeen, TargetSeen, ZoneSeen, to_json
from consulfwd.ops.text.changed import changed_lines
from consulfwd.ops.text.status import is_well, lines
from tests.cli.admin import NOW, resolver, running

ZONE = ZoneSeen("a.example", "inside", "active", "here", NOW - 9, "paused", "in doubt", ("no",),
                (TargetSeen("file", 1, NOW, "+1", "no", NOW, 2, 3, ("- a",), 4),), 1, 2
                )  # fmt: skip
SEEN = resolver(missing=("[::1]:53",), querylog="all", counters={"queries": 7, "extra": 1})
ALL = running(
    replace(SEEN, groups=SEEN.groups[:1], upstreams=SEEN.upstreams[:1]), zones=(ZONE,),
    faults=("it fails",), rounds=RoundsSeen("bind", True, NOW, NOW), admin={"pages": 1},
)  # fmt: skip
OTHERS: list[Any] = [
    None, [], {}, "\x1b[2J\n", -1, 1e308, 10**400, math.nan, True, [None],
]  # fmt: skip


def test_what_was_written_is_read() -> None:
    read = from_json(json.loads(json.dumps(to_json(ALL))))
    assert read.snapshot == ALL
    assert read.missing == ()


@pytest.mark.parametrize(
    ("compiled", "words"), [(True, ", compiled fast lane, "), (False, ", in Python alone, ")]
)
def test_it_is_told_whether_the_fast_lane_is_used(compiled: bool, words: str) -> None:
    seen = replace(ALL, resolver=replace(SEEN, compiled=compiled))
    read = from_json(json.loads(json.dumps(to_json(seen))))
    assert words in [text for _, text in lines(read)][1]


@pytest.mark.parametrize("found", [None, [], {}, "", {"version": "1", "pid": 1}])
def test_what_is_no_picture_is_refused(found: object) -> None:
    with pytest.raises(NoPicture):
        from_json(found)


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in JSON there is something."""
    if path:
        yield path
    inside = value.items() if isinstance(value, dict) else enumerate(
        value) if isinstance(value, list) else ()  # fmt: skip
    for key, one in inside:
        yield from places(one, (*path, key))


def test_nothing_that_may_stand_there_is_an_error() -> None:
    """Each thing in a picture is replaced by others, and left out: the rest is shown all the same.

    What is shown is text that a terminal does not obey.
    """
    whole = json.loads(json.dumps(to_json(ALL)))
    there = list(places(whole))
    assert len(there) > 90
    for *way, last in there:
        for other in [*OTHERS, ...]:
            said = copy.deepcopy(whole)
            inner = said
            for key in way:
                inner = inner[key]
            if other is ...:
                del inner[last]
            else:
                inner[last] = other
            if not {"verb", "version", "pid"} <= said.keys():
                continue
            read = from_json(said)
            is_well(read.snapshot)
            shown = [*lines(read, ALL, whole=True), *changed_lines(read.snapshot, ALL)]
            assert all(text.isprintable() for _, text in shown)
