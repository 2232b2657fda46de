"""Which slices count, and what they come to."""

from __future__ import annotations

import pytest

from benchmarks.samples import FEWEST, QUIET
from tests.benchmarks.figures import sample, server


def test_only_slices_that_nobody_disturbed_count() -> None:
    quiet = [sample(cpu_us=float(number)) for number in range(FEWEST)]
    result = server("x", *quiet, sample(cpu_us=100.0, other_load=QUIET * 2))
    assert result.middle("cpu_us") == pytest.approx(1.5)


def test_of_too_few_that_were_quiet_all_count() -> None:
    noisy = [sample(cpu_us=9.0, other_load=QUIET * 2) for _ in range(FEWEST)]
    assert server("x", sample(cpu_us=1.0), *noisy).middle("cpu_us") == 9.0


def test_a_ratio_is_of_slices_of_the_same_round() -> None:
    ours = server("ours", sample(cpu_us=10.0), sample(cpu_us=40.0))
    its = server("its", sample(cpu_us=5.0), sample(cpu_us=20.0))
    assert ours.ratios(its) == [2.0, 2.0]


def test_a_ratio_is_of_slices_that_were_both_quiet() -> None:
    ours = server("ours", *[sample(cpu_us=10.0)] * 5)
    its = server("its", *[sample(cpu_us=5.0)] * 4, sample(cpu_us=90.0, other_load=QUIET * 2))
    assert ours.ratios(its) == [2.0] * 4


def test_the_agents_are_part_of_the_whole() -> None:
    one = server("x", sample(cpu_us=10.0, upstream_cpu_us=30.0))
    assert one.middle("whole_us") == 40.0
    assert one.ratios(server("y", sample(cpu_us=20.0)), "whole_us") == [2.0]


def test_json_has_each_slice_and_the_medians() -> None:
    told = server("x", sample(cpu_us=1.0, wakes=1.5), sample(cpu_us=3.0)).as_json()
    assert isinstance(told["median"], dict)
    assert told["median"]["cpu_us"] == 2.0
    assert told["median"]["wakes"] == 1.5
    assert told["median"]["whole_us"] == 2.0
    assert "hot_share" not in told["median"]
    assert isinstance(told["samples"], list)
    assert len(told["samples"]) == 2
