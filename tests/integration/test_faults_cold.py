"""A server that starts while agents are silent, or gone: nothing is measured, nothing is cached."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from consulfwd.dev import DevAgent
from consulfwd.dev.child import Guard
from tests.integration.faulted import (
    DEADLINE_S,
    DEV_QUESTIONS,
    FAILED,
    LATE_S,
    RIGHT,
    STALL_S,
    Injector,
    Place,
    Tell,
    answered_at,
    black_hole,
    consul,
    nobody,
    run,
)
from tests.stolen import stolen_s

RATE = 200
BACK_S, LONGEST_S = 1.0, 10.0


@pytest.mark.parametrize("first", [black_hole, nobody])
def test_the_first_agent_is_not_there(
    first: Callable[[], AbstractContextManager[Place]],
    guard: Guard,
    tmp_path: Path,
    record_property: Tell,
) -> None:
    with Injector(2) as dev, first() as place:
        settings = {"consul": consul(place, *dev.agents)}
        expected = dev.expected()
        with run(
            settings, tmp_path, guard, DEV_QUESTIONS, expected, rate=RATE, light=True
        ) as under:
            time.sleep(2.5)
    under.tell(record_property, f"cold, first: {first.__name__.replace('_', ' ')}")
    opening = min(answered_at(one) for one in under.results)
    slowest = max(one.took_s or 0.0 for one in under.results if one.sent_at > opening)
    record_property(
        "failover",
        f"  the first answer {(opening - under.results[0].sent_at) * 1000:.1f} ms after the first"
        f" query; slowest of those asked then {slowest * 1000:.1f} ms",
    )
    assert under.other(RIGHT) == []
    assert slowest < LATE_S + under.stall()
    assert under.slowest() < DEADLINE_S / 2 + under.stall()
    assert under.hedges_are_few()


def stop(agent: DevAgent) -> object:
    return agent.stop()


def freeze(agent: DevAgent) -> object:
    agent.faults.frozen = True
    return None


def start(agent: DevAgent) -> object:
    agent.faults.frozen = False
    return agent.start()


@pytest.mark.parametrize("harm", [stop, freeze])
def test_no_agent_is_there(
    harm: Callable[[DevAgent], object], guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    with Injector() as dev:
        expected = dev.expected()
        settings = {"consul": consul(*dev.agents)}
        for agent in dev.agents:
            dev.do(harm, agent)
        with run(
            settings, tmp_path, guard, DEV_QUESTIONS, expected, rate=RATE, light=True
        ) as under:
            time.sleep(DEADLINE_S + 0.5)
            back = under.mark("back")
            for agent in dev.agents:
                dev.do(start, agent)
            stolen = stolen_s()
            time.sleep(BACK_S + 1.0)
            # Late queries are those after all that the machine did not let go on.
            time.sleep(min(stolen_s() - stolen, LONGEST_S))
    under.tell(record_property, f"cold, all: {harm.__name__}")
    fresh = min(answered_at(one) for one in under.results if under.verdict(one) == RIGHT) - back
    asked = under.counted("upstream", back, back + 1.0)
    queries = under.counted("queries", back, back + 1.0)
    record_property(
        "failover",
        f"  the first answer {fresh * 1000:.0f} ms after they came back;"
        f" {asked} upstream queries for {queries} of clients in the second after it",
    )
    assert under.other(RIGHT, FAILED) == []
    assert under.slowest() < DEADLINE_S + STALL_S
    assert fresh < 1.0 + under.stall()
    late = [one for one in under.results if one.sent_at > back + BACK_S + under.stall()]
    assert {under.verdict(one) for one in late} == {RIGHT}
