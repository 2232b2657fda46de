"""Probes as transcripts (see `play`): what a reply, or none, says about an upstream's health."""

from __future__ import annotations

import pytest

from consulfwd.core.probe import DISBELIEF, Probe
from consulfwd.core.states import State
from consulfwd.core.upstreams import Upstream
from tests.core.play import EPOCH, RTT, Play

SUSPECT, DOWN, PROBING = State.SUSPECT, State.DOWN, State.PROBING


def probe(name: str, state: State, *, knows_itself: bool = True, good: int = 0) -> Play:
    play = Play(name, kind=Probe)
    play.plan[0].state = state
    play.plan[0].knows_itself = knows_itself
    play.plan[0].good = good
    return play


# Whom, in which state -> what happens after the start, what comes of it.
TABLE: dict[str, tuple[str, State, str, str]] = {
    "an answer": ("A", DOWN, "1 A yes", "A probing, = yes of A"),
    "a last answer": ("A", PROBING, "1 A yes", "A up, = yes of A"),
    "knows all but itself": ("A", PROBING, "1 A no", "A down, = no of A"),
    "is empty of itself": ("A", PROBING, "1 A nodata", "A down, = no of A"),
    "has an error": ("A", PROBING, "1 A servfail", "A down, = an error of A"),
    "is gone": ("A", SUSPECT, "1 A gone", "A down, = nothing (23): gone"),
    "breaks off": ("A", PROBING, "1 A lost", "A down, = nothing (23): lost"),
    "gives a false reply": ("A", PROBING, "1 A stray", "A down"),
    "is silent": ("A", PROBING, "100 timer", "A down, = nothing (23): no reply to a probe"),
    "a recursor with an error lives": ("R", DOWN, "1 R servfail", "R probing, = an error of R"),
    "a recursor that refuses lives": ("R", DOWN, "1 R refused", "R probing, = an error of R"),
    "a recursor has four usual times": (
        "R", PROBING, "400 timer", "R down, = nothing (23): no reply to a probe",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TABLE)
def test_one_probe(what: str) -> None:
    name, state, event, told = TABLE[what]
    play = probe(name, state, good=2 if name == "A" else 1)
    assert play.do(0, "start") == name
    at, _, happens = event.partition(" ")
    assert play.do(float(at), happens) == told


def test_a_probe_waits_past_a_false_reply_but_not_past_many() -> None:
    play = probe("A", PROBING, good=2)
    play.do(0, "start")
    assert play.do(1, "A stray") == "A down"
    assert play.do(2, "A yes") == "A probing, = yes of A"
    play = probe("A", SUSPECT)
    play.do(0, "start")
    assert [play.do(number, "A stray") for number in range(1, 6)] == [
        *["..."] * 4, "= nothing (23): a false reply",
    ]  # fmt: skip
    # However many came, that is one sign.
    assert play.plan[0].bad == 1


@pytest.mark.parametrize("event", ["A yes", "A no", "A servfail", "A gone", "A stray"])
def test_what_comes_after_the_end_only_informs(event: str) -> None:
    play = probe("A", SUSPECT)
    play.do(0, "start")
    play.do(100, "timer")
    ended = play.lookup.outcome
    play.do(200, event)
    assert play.lookup.outcome is ended
    if event != "A yes":
        assert play.plan[0].good == 0


def test_an_agent_that_never_knew_itself_may_lack_it() -> None:
    play = probe("A", PROBING, knows_itself=False, good=2)
    play.do(0, "start")
    assert play.do(1, "A no") == "A up, = no of A"


@pytest.mark.parametrize(
    ("down_for", "state"), [(DISBELIEF - 0.1, "down"), (DISBELIEF + 0.1, "probing")]
)
def test_an_agent_that_lost_the_right_to_know_itself_is_believed_in_the_end(
    down_for: float, state: str
) -> None:
    play = probe("A", DOWN)
    play.plan[0].changed_at = EPOCH - down_for
    play.do(0, "start")
    play.do(1, "A no")
    assert play.plan[0].state.value == state


def test_a_probe_measures() -> None:
    play = probe("A", SUSPECT)
    play.do(0, "start")
    play.do(9, "A yes")
    assert play.plan[0].srtt == pytest.approx(RTT + (0.009 - RTT) / 8)


@pytest.mark.parametrize("name", ["A", "R"])
def test_a_probe_ends_by_its_deadline(name: str) -> None:
    play = Play(name, kind=Probe, deadline=0.3)
    one: Upstream = play.plan[0]
    one.srtt = 10.0
    play.do(0, "start")
    assert play.due <= 300
    assert play.do(play.due, "timer").endswith("no reply to a probe")
