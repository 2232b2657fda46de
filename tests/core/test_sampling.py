"""Which of many are taken: as many as asked for, whatever the batches."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.core.sampling import Sampler


@given(st.lists(st.integers(0, 300), max_size=50))
def test_all_are_taken_at_rate_one(batches: list[int]) -> None:
    sampler = Sampler(1.0, random.Random(0))
    assert [list(sampler.take(one)) for one in batches] == [list(range(one)) for one in batches]


@given(st.integers(0, 2**32), st.floats(1e-6, 1), st.lists(st.integers(0, 300), max_size=50))
def test_how_they_come_does_not_matter(seed: int, rate: float, batches: list[int]) -> None:
    """The same are taken one by one and in batches, each once, in order."""
    singly = Sampler(rate, random.Random(seed))
    wanted = [number for number in range(sum(batches)) if singly.take(1)]
    sampler, taken, before = Sampler(rate, random.Random(seed)), [], 0
    for size in batches:
        some = sampler.take(size)
        assert all(0 <= one < size for one in some)
        taken += [before + one for one in some]
        before += size
    assert taken == wanted


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.3, 0.9])
def test_so_many_are_taken(rate: float) -> None:
    sampler = Sampler(rate, random.Random(7))
    taken = sum(len(sampler.take(100)) for _ in range(10_000))
    # Five standard deviations.
    assert abs(taken - 1e6 * rate) < 5 * (1e6 * rate * (1 - rate)) ** 0.5
