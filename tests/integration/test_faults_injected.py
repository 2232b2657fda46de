"""Development agents fail under load in the ways that real Consul does not on request.

It costs no query, and none is answered wrongly. The first in order fails, where nothing else is
said. Here are the faults whose cost under load is the question: what becomes of one query in each
of them is in tests/net/test_failover.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from consulfwd.dev import DevAgent
from consulfwd.dev.child import Guard
from tests.coreless import HeldUp
from tests.integration.faulted import (
    DEADLINE_S,
    DEV_QUESTIONS,
    HEDGED,
    RIGHT,
    STALE,
    STALL_S,
    Injector,
    Run,
    Tell,
    answered_at,
    consul,
    run,
)
from tests.integration.load import Result

RATE = 200
CALM_S, FAULT_S, BACK_S = 0.5, 2.5, 1.0
FLAPS = 5


def some_over_tcp(agent: DevAgent) -> None:
    agent.faults.udp.truncate.on(0.1)


def tcp_stalls(agent: DevAgent) -> None:
    some_over_tcp(agent)
    agent.faults.tcp.stall.on()


# An agent that fails in one of these ways is left out before long.
NOTICED: dict[str, Callable[[DevAgent], object]] = {
    "delay of 300 ms": lambda it: it.faults.any.delay.on(0.3),
    "wrong ID": lambda it: it.faults.any.wrong_id.on(),
    "NXDOMAIN": lambda it: it.faults.any.nxdomain.on(),
}
# In one of these it still answers some of what it is asked, or all of it in the end.
LIMPING: dict[str, Callable[[DevAgent], object]] = {
    "loss of 30 %": lambda it: it.faults.any.drop.on(0.3),
    "TCP stalls": tcp_stalls,
}


def heal(agent: DevAgent) -> object:
    faults = agent.faults
    for group in (faults.any, faults.udp, faults.tcp):
        group.clear()
    return agent.start()


def under_fault(
    fault: Callable[[DevAgent], object], guard: Guard, folder: Path, *, failing: int = 1
) -> Run:
    """Calm, then so many agents failing, then calm again."""
    with Injector() as dev:
        expected = dev.expected()
        settings = {"consul": consul(*dev.agents)}
        with run(settings, folder, guard, DEV_QUESTIONS, expected, rate=RATE, light=True) as under:
            time.sleep(CALM_S)
            under.mark("fault")
            for agent in dev.agents[:failing]:
                dev.do(fault, agent)
            time.sleep(FAULT_S)
            under.mark("healed")
            for agent in dev.agents[:failing]:
                dev.do(heal, agent)
            time.sleep(BACK_S)
    return under


@pytest.mark.parametrize("what", NOTICED)
def test_it_fails_and_is_left_out(
    what: str, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    under = under_fault(NOTICED[what], guard, tmp_path)
    under.tell(record_property, what)
    assert under.other(RIGHT) == []
    assert under.late() == []
    assert under.hedges_are_few()
    assert under.steady_hedges("fault") <= HEDGED


@pytest.mark.parametrize("what", LIMPING)
def test_it_limps(what: str, guard: Guard, tmp_path: Path, record_property: Tell) -> None:
    under = under_fault(LIMPING[what], guard, tmp_path)
    under.tell(record_property, what)
    assert under.other(RIGHT) == []
    assert under.late() == []
    assert under.hedges_are_few()


def test_it_is_slow_and_seldom_asked(
    guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    with Injector() as dev:
        expected = dev.expected()
        settings = {"consul": consul(*dev.agents)}
        with run(settings, tmp_path, guard, DEV_QUESTIONS, expected, rate=10, light=True) as under:
            time.sleep(1.0)
            under.mark("fault")
            dev.do(dev.agents[0].faults.any.delay.on, 0.3)
            time.sleep(2.5)
            under.mark("left alone")
            time.sleep(2.0)
    under.tell(record_property, "delay of 300 ms, few queries")
    assert under.other(RIGHT) == []
    # It answers in the end, so that it is not held to be ill: only its pace tells.
    late = sorted(one.took_s or 0.0 for one in under.within("left alone"))
    assert late[len(late) // 2] < 0.1
    assert under.slowest() < DEADLINE_S / 2
    assert "is ranked behind the others: much slower than the others" in under.served.said()


def test_all_lose_a_third(guard: Guard, tmp_path: Path, record_property: Tell) -> None:
    under = under_fault(LIMPING["loss of 30 %"], guard, tmp_path, failing=3)

    def stale(one: Result) -> bool:
        return under.verdict(one) == STALE

    under.tell(record_property, "loss of 30 % at all")
    assert under.other(RIGHT, STALE) == []
    # Each agent is asked three times: in one run of a hundred one question loses all nine.
    ends = sorted(answered_at(one) for one in under.results if stale(one))
    assert not ends or ends[-1] - ends[0] < STALL_S
    assert max(one.took_s or 0.0 for one in under.results if not stale(one)) < DEADLINE_S
    assert under.hedges_are_few()


def test_all_must_be_asked_over_tcp_and_are_slow(
    guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    def fault(agent: DevAgent) -> None:
        agent.faults.udp.truncate.on()
        agent.faults.tcp.delay.on(0.1)

    under = under_fault(fault, guard, tmp_path, failing=3)
    under.tell(record_property, "all slow, over TCP")
    assert under.other(RIGHT) == []
    assert under.slowest() < DEADLINE_S
    assert under.hedges_are_few()


def test_it_dies_every_other_second(guard: Guard, tmp_path: Path, record_property: Tell) -> None:
    with Injector() as dev:
        expected = dev.expected()
        settings = {"consul": consul(*dev.agents)}
        first = dev.agents[0]
        with run(
            settings, tmp_path, guard, DEV_QUESTIONS, expected, rate=RATE, light=True
        ) as under:
            held = HeldUp()
            for _ in range(FLAPS):
                time.sleep(1.0)
                dev.do(first.stop)
                time.sleep(1.0)
                dev.do(first.start)
            held_s = held.seconds()
    under.tell(record_property, "dies every other second")
    assert under.other(RIGHT) == []
    assert under.late() == []
    assert under.hedges_are_few()
    # It was left alone more and more, and the log tells no more than it must. One that the machine
    # does not let answer for a second is down, too.
    falls = under.served.said().count(f"{first.address}:{first.dns_port} is down")
    assert 1 <= falls <= FLAPS + held_s, under.served.said()
