"""What `python -m benchmarks` makes of its command line."""

from __future__ import annotations

import pytest

from benchmarks.choice import KINDS, REAL_ONLY, Step, plan
from consulfwd.errors import UsageError


def test_a_benchmark_has_the_agents_it_needs() -> None:
    assert plan("miss", None) == [Step("miss", "stub"), Step("miss", "real")]
    assert plan("miss", "real") == [Step("miss", "real")]
    assert plan("fresh", "both") == [Step("fresh", "real")]
    assert {step.name for step in plan("all", None)} == set(KINDS)


def test_light_agents_cannot_stand_for_real_ones() -> None:
    for name in REAL_ONLY:
        with pytest.raises(UsageError, match=f"{name} needs real Consul: leave out --upstream"):
            plan(name, "stub")


def test_agents_off_the_host_are_light_ones() -> None:
    assert plan("miss", None, veth=True) == [Step("miss", "stub")]
    assert not {step.name for step in plan("all", None, veth=True)} & set(REAL_ONLY)
    with pytest.raises(UsageError, match="fresh needs real Consul: leave out --veth"):
        plan("fresh", None, veth=True)
    with pytest.raises(UsageError, match="--veth has light agents"):
        plan("miss", "real", veth=True)
