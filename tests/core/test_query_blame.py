"""Whose fault an error reply is: the name's, until another server has the answer."""

from __future__ import annotations

import pytest

from consulfwd.core.states import State
from tests.core.play import EPOCH, Play, played, script

# What becomes of the third such lookup: three errors in a row that count make A suspect.
THIRD = {
    "another has the answer": """
        0 start       | A
        1 A servfail  | B
        2 B yes       | A suspect, = yes of B
    """,
    "any error code, and each who gave one": """
        0 start       | A
        1 A refused   | B
        2 B formerr   | B
        3 B formerr   | C
        4 C yes       | A suspect, B suspect, = yes of C
    """,
    "an error behind the answer": """
        0 start       | A
        10 timer      | B
        11 B yes      | = yes of B
        12 A servfail | A suspect
    """,
    "that the others fail too says nothing of anyone": """
        0 start       | A
        1 A servfail  | B
        2 B servfail  | C
        3 C servfail  | ...
        53 timer      | A
        54 A servfail | ...
    """,
    "nor does a denial: who cannot reach a datacenter may never have heard of it": """
        0 start       | A
        1 A servfail  | B
        2 B no        | = no of B
    """,
    "nor does the end of the trouble": """
        0 start       | A
        1 A servfail  | B
        2 B servfail  | C
        3 C servfail  | ...
        53 timer      | A
        54 A yes      | = yes of A
    """,
}


@pytest.mark.parametrize("name", THIRD)
def test_third_lookup(name: str) -> None:
    play = Play()
    for one in play.plan:
        one.bad = 2
    assert played(THIRD[name], play) == script(THIRD[name])


@pytest.mark.parametrize("state", [State.UP, State.SUSPECT, State.DOWN, State.PROBING])
def test_an_error_leaves_the_state_to_a_probe(state: State) -> None:
    play = Play("A B", A=state, B=state)
    one = play.plan[0]
    one.silent = 1
    played("0 start |\n1 A servfail |\n2 B servfail |", play)
    assert (one.state, one.silent, one.last_reply) == (state, 0, EPOCH + 0.001)
    assert one in play.health.doubted


def test_errors_of_one_lookup_count_once() -> None:
    play = Play()
    play.do(0, "start")
    for at in (1, 2, 3):
        play.do(at, f"{'ABC'[at - 1]} {'lost' if at == 3 else 'servfail'}")
    play.do(53, "timer")
    play.do(54, "A servfail")
    assert play.do(play.due, "timer") == "B"
    play.do(200, "B servfail")
    assert play.do(play.due, "timer") == "C"
    assert play.do(600, "C yes") == "= yes of C"
    assert [one.bad for one in play.plan] == [1, 1, 0]
