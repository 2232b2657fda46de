"""The checker of histories finds what is wrong, and only that."""

from __future__ import annotations

import random

import pytest

from tests.integration.history import (
    FUTURE,
    LOST,
    MIX,
    OLD,
    UNKNOWN,
    Change,
    Read,
    Verdict,
    check,
)

BOUND = 0.2
# Version 1 came about between 10.0 and 10.1, version 2 between 20.0 and 20.1.
CHANGES = [Change(7, 1, 10.0, 10.1), Change(7, 2, 20.0, 20.1)]
EPSILON = 1e-6


def read(begin: float, end: float, *seen: int) -> Read:
    return Read(7, begin, end, frozenset(seen))


def checked(*reads: Read, bound: float = BOUND) -> Verdict:
    return check({7: 0.0}, CHANGES, reads, bound)


def kinds(*reads: Read) -> list[str]:
    return [fault.kind for fault in checked(*reads).faults]


@pytest.mark.parametrize(
    "one",
    [
        read(5.0, 5.1, 0),
        # While a change is made, either may be seen.
        read(10.05, 10.06, 0),
        read(10.05, 10.06, 1),
        read(9.9, 10.0, 1),
        # Until the bound after its end, the old one may.
        read(10.1 + BOUND - EPSILON, 11.0, 0),
        read(20.3 - EPSILON, 20.4, 1),
        read(99.0, 99.1, 2),
        # One that takes long may see what was there at any moment meanwhile.
        read(5.0, 99.0, 0),
        read(5.0, 99.0, 1),
        read(5.0, 99.0, 2),
    ],
)
def test_what_may_be_seen(one: Read) -> None:
    assert checked(one).faults == []


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (read(10.1 + BOUND + EPSILON, 11.0, 0), OLD),
        (read(20.3 + EPSILON, 20.4, 1), OLD),
        (read(20.0, 20.1, 0), OLD),
        (read(9.0, 10.0 - EPSILON, 1), FUTURE),
        (read(15.0, 15.1, 2), FUTURE),
        (read(15.0, 15.1, 3), UNKNOWN),
        (read(15.0, 15.1, -1), UNKNOWN),
        (read(10.05, 10.06, 0, 1), MIX),
        (read(15.0, 15.1), MIX),
        (Read(7, 15.0, float("inf"), None), LOST),
    ],
)
def test_what_may_not(one: Read, kind: str) -> None:
    assert kinds(read(5.0, 5.1, 0), one, read(99.0, 99.1, 2)) == [kind]


def test_how_old_answers_were() -> None:
    verdict = checked(read(10.2, 10.3, 0), read(10.25, 10.3, 0), read(11.0, 11.1, 1))
    assert verdict.oldest == pytest.approx(0.15)
    verdict = checked(read(13.1, 13.2, 0), read(12.1, 12.2, 0))
    assert verdict.oldest == pytest.approx(3.0)
    assert [fault.by for fault in verdict.faults] == pytest.approx([3.0, 2.0])


def test_reads_that_go_backwards() -> None:
    assert checked(read(10.0, 10.1, 1), read(10.11, 10.2, 0)).backwards == 1
    # They overlap: either may have come first.
    assert checked(read(10.0, 10.1, 1), read(10.1, 10.2, 0)).backwards == 0
    assert checked(read(10.0, 10.1, 0), read(10.11, 10.2, 1)).backwards == 0
    # What counts is the newest that any of them saw before.
    reads = [read(10.0, 10.01, 1), read(10.0, 10.02, 0), read(10.03, 10.04, 0)]
    assert checked(*reads).backwards == 1


def test_services_are_apart() -> None:
    reads = [Read(7, 15.0, 15.1, frozenset({1})), Read(8, 15.0, 15.1, frozenset({0}))]
    assert check({7: 0.0, 8: 0.0}, CHANGES, reads, 0.0).faults == []


@pytest.mark.parametrize(
    "changes",
    [
        [Change(7, 2, 1.0, 1.1)],
        [Change(7, 1, 1.0, 1.1), Change(7, 1, 2.0, 2.1)],
        [Change(7, 1, 1.0, 1.1), Change(7, 2, 1.05, 1.2)],
        [Change(7, 1, 1.0, 0.9)],
    ],
)
def test_what_is_no_history(changes: list[Change]) -> None:
    with pytest.raises(ValueError, match="cannot follow"):
        check({7: 0.0}, changes, [], BOUND)


@pytest.mark.parametrize("seed", range(20))
def test_a_cache_that_is_late(seed: int) -> None:
    """A server whose answers are up to `lag` old is found out when the bound is smaller."""
    rng = random.Random(seed)
    lag = 0.5
    changes, took_effect, now = [], [0.0], 1.0
    for version in range(1, 50):
        took = rng.uniform(0.0, 0.05)
        changes.append(Change(1, version, now, now + took))
        took_effect.append(now + rng.uniform(0.0, took))
        now += took + rng.uniform(0.0, 2.0)
    reads = []
    for _ in range(3000):
        begin = rng.uniform(1.0, now)
        answered = begin + rng.uniform(0.0, 0.01)
        shown = answered - rng.uniform(0.0, lag)
        seen = max(version for version, at in enumerate(took_effect) if at <= max(shown, 0.0))
        reads.append(Read(1, begin, answered + rng.uniform(0.0, 0.01), frozenset({seen})))
    fine = check({1: 0.0}, changes, reads, lag)
    assert fine.faults == []
    assert lag / 2 < fine.oldest <= lag
    assert fine.backwards
    found = check({1: 0.0}, changes, reads, lag / 2).faults
    assert found
    assert {fault.kind for fault in found} == {OLD}
