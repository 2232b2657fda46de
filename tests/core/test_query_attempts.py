"""Attempts of a lookup: how many, what they tell, what they say about their upstream."""

from __future__ import annotations

import pytest

from consulfwd.core.attempts import MAX_ATTEMPTS
from consulfwd.core.states import State
from consulfwd.dns import const
from consulfwd.dns.edns import build_ede
from tests.core.play import EPOCH, Play, edns, failure, played

SIXTEEN = " ".join(f"A{number}" for number in range(MAX_ATTEMPTS))


@pytest.mark.parametrize(
    ("known", "event", "told"),
    [
        (False, "A0 yes", "= yes of A0"),
        (False, "A0 cut", "= yes of A0, cut"),
        (True, "A0 no", "= no of A0"),
        (False, "A0 stray", "..."),
        (False, "A0 lost", "..."),
    ],
)
def test_when_there_is_no_attempt_left(known: bool, event: str, told: str) -> None:
    play = Play(SIXTEEN, known=known)
    assert play.do(0, "start") == "A0"
    for number in range(1, MAX_ATTEMPTS):
        assert play.do(10 * number, "timer") == f"A{number}"
    assert play.do(160, "timer") == "..."
    assert play.due == pytest.approx(2000)
    assert play.do(161, event) == told


def test_with_no_attempt_left_and_none_open_it_ends_at_once() -> None:
    play = Play(SIXTEEN)
    play.do(0, "start")
    for number in range(MAX_ATTEMPTS - 1):
        play.do(number, f"A{number} servfail")
    assert play.do(20, f"A{MAX_ATTEMPTS - 1} servfail").startswith("= nothing (22): A0: SERVFAIL")


def test_every_attempt_tells_its_story() -> None:
    play = Play(budget=1, known=True)
    played(
        """
        0 start         | A
        10 timer        | B
        12 B servfail   | C
        22 timer        | ...
        30 C no         | ...
        35 A yes        | C suspect, = yes of A
        """,
        play,
    )
    assert [
        (one.upstream.name, one.why, one.result, round(1000 * (one.took or 0)), one.decided)
        for one in play.lookup.attempts
    ] == [
        (
            "A", "first in order", "NOERROR", 35,
            "taken: C was wrong to deny the name",
        ),
        (
            "B", "hedge: the one before has not answered", "SERVFAIL", 2,
            "failed: the next one is asked",
        ),
        (
            "C", "B failed: SERVFAIL", "NXDOMAIN", 18,
            "denies what was answered moments ago: a second agent is asked",
        ),
        ("B", "second opinion", "", 0, ""),
    ]  # fmt: skip
    assert (play.lookup.extra, play.lookup.opinions) == (1, 1)
    assert play.plan[2].changed_at == pytest.approx(EPOCH + 0.035)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "R1: SERVFAIL (blocked); R2: lost"),
        ("by policy", "R1: SERVFAIL (blocked: by policy); R2: lost"),
    ],
)
def test_an_extended_error_is_part_of_the_reason(text: str, reason: str) -> None:
    play = Play("R1 R2")
    message = failure(const.SERVFAIL)
    message.edns = edns(options=build_ede(15, text))
    play.lookup.on_reply(play.lookup.start(EPOCH)[0], message, False, EPOCH + 0.001)
    assert play.lookup.attempts[0].decided == "failed: the next one is asked"
    play.do(2, "R2 lost")
    assert play.lookup.attempts[1].decided == "failed: nobody is left to be asked"
    assert play.lookup.attempts[1].why == reason.replace("R1: ", "R1 failed: ").partition(";")[0]


@pytest.mark.parametrize(("transport", "measured"), [("udp", False), ("tcp", True), ("tls", True)])
def test_times_over_a_stream_count_only_where_there_is_nothing_else(
    transport: str, measured: bool
) -> None:
    play = Play("A")
    play.plan[0].transport = transport
    attempt = play.lookup.start(EPOCH)[0]
    assert attempt.stream is (transport != "udp")
    if transport == "udp":
        play.happen(attempt, "cut", 1)
        attempt = play.attempt("A/tcp")
    before = play.plan[0].srtt
    play.happen(attempt, "yes", 20)
    assert (play.plan[0].srtt != before) is measured


def test_our_own_shortage_is_held_against_nobody() -> None:
    play = Play("A B")
    for _ in range(10):
        attempt = play.lookup.start(EPOCH)[0]
        play.lookup.on_failure(attempt, "too many queries", EPOCH, refused=False, ours=True)
    assert [one.state for one in play.plan] == [State.UP, State.UP]
    assert play.plan[0].bad == 0
