"""Serials: which is newer (RFC 1982), and which comes next."""

from __future__ import annotations

import pytest

from consulfwd.zones.serials import following, newer

TOP = 2**32 - 1
HALF = 2**31


@pytest.mark.parametrize(
    ("one", "other", "is_newer"),
    [
        (1, 0, True), (0, 1, False), (5, 5, False), (0, TOP, True), (TOP, 0, False),
        (HALF - 1, 0, True), (HALF, 0, False), (HALF + 1, 0, False), (44, TOP - 44, True),
    ],
)  # fmt: skip
def test_newer(one: int, other: int, is_newer: bool) -> None:
    assert newer(one, other) == is_newer


@pytest.mark.parametrize(
    ("known", "now", "next_one"),
    [
        ([], 1_700_000_000, 1_700_000_000),
        ([None], 1_700_000_000, 1_700_000_000),
        ([5], 1_700_000_000, 1_700_000_000),
        ([1_700_000_000], 1_700_000_000, 1_700_000_001),
        ([2_026_112_901], 1_700_000_000, 2_026_112_902),
        ([5, None, 9, 7], 3, 10),
        ([TOP], TOP - 5, 1),
        ([TOP - 1], TOP - 5, TOP),
        ([TOP, 3], TOP - 5, 4),
        ([], 0, 1),
    ],
)
def test_the_next_one_is_newer_than_all(
    known: list[int | None], now: float, next_one: int
) -> None:
    found = following(known, now)
    assert found == next_one
    assert all(newer(found, one) for one in known if one is not None)


def test_a_clock_set_back_does_not_set_serials_back() -> None:
    serial = following([], 1_800_000_000.5)
    for now in (1_700_000_000, 0, 1_800_000_000.2):
        later = following([serial], now)
        assert later == serial + 1
        serial = later
