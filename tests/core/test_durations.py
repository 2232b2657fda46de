"""How long servers took: which of their times count, and where."""

from __future__ import annotations

import random

from consulfwd.core.durations import BOUNDS
from consulfwd.core.health import Health
from consulfwd.core.states import State
from consulfwd.core.upstreams import Upstream


def server(*, is_agent: bool) -> Upstream:
    return Upstream("one", "127.0.0.1", 53, is_agent=is_agent, on_host=True)


def test_a_time_is_counted_with_the_bound_it_reaches() -> None:
    health, agent = Health(), server(is_agent=True)
    for time in (0.0, BOUNDS[0], BOUNDS[0] + 1e-9, BOUNDS[-1], BOUNDS[-1] + 1e-9, 3.0):
        health.good(agent, 10.0, time)
    recursors, agents = health.took
    assert agents.counts == [2, 1, *[0] * (len(BOUNDS) - 3), 1, 2]
    assert abs(agents.seconds - (BOUNDS[0] * 2 + BOUNDS[-1] * 2 + 3.0)) < 1e-6
    assert sum(recursors.counts) == 0
    health.good(server(is_agent=False), 10.0, 0.2)
    assert sum(recursors.counts) == 1


def test_neither_what_says_nothing_nor_who_is_not_up_counts() -> None:
    health, agent = Health(), server(is_agent=True)
    health.good(agent, 10.0, 2.0, measure=False)
    health.refused(agent, 11.0, "refused")
    health.good(agent, 12.0, 0.9)
    assert agent.state is State.PROBING
    assert sum(health.took[True].counts) == 0


def test_changes_of_state_are_counted() -> None:
    health, agent = Health(), server(is_agent=True)
    assert agent.changes == 0
    health.refused(agent, 11.0, "refused")
    health.refused(agent, 11.1, "refused")
    assert (agent.state, agent.changes) == (State.DOWN, 1)
    health.good(agent, 12.0, 0.001)
    assert (agent.state, agent.changes) == (State.PROBING, 2)
    now, rng = 12.0, random.Random(1)
    while agent.state is not State.UP:
        now += 0.1 + rng.random()
        health.good(agent, now, 0.001)
    assert agent.changes == 3
