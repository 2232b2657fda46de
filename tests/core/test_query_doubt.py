"""Lookups as transcripts (see `play`): answers that may be cut, denials that may be wrong."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.core.states import State
from consulfwd.core.upstreams import CATCHING_UP, SETTLING
from tests.core.play import EPOCH, Play, played, script

CUT = {
    "the whole over TCP": """
        0 start          | A
        1 A cut          | A/tcp
        3 A/tcp yes      | = yes of A
    """,
    "TCP fails: the next agent": """
        0 start          | A
        1 A cut          | A/tcp
        2 A/tcp lost     | B
        3 B yes          | = yes of B
    """,
    "TCP fails everywhere: marked as cut, at once": """
        0 start          | A
        1 A cut          | A/tcp
        2 A/tcp lost     | B
        3 B cut          | B/tcp
        4 B/tcp lost     | = yes of B, cut
    """,
    "TCP is slow: it is asked once, and waited for": """
        0 start          | A
        1 A cut          | A/tcp
        31 timer         | B
        32 B cut         | B/tcp
        62 timer         | A
        63 A cut         | ...
        70 A/tcp yes     | = yes of A
    """,
    "TCP is silent everywhere: marked as cut when half the time is over": """
        0 start          | A
        1 A cut          | A/tcp
        31 timer         | B
        32 B cut         | B/tcp
        62 timer         | A
        63 A cut         | ...
        196 timer        | B
        197 B cut        | ...
        464 timer        | A
        465 A cut        | ...
        1000 timer       | = yes of A, cut
    """,
}

OFF_HOST = {
    "all silent over UDP: fragments may have got lost, so over TCP once": """
        0 start          | A
        10 timer         | B
        20 timer         | A/tcp
        160 timer        | B/tcp
        161 B/tcp yes    | = yes of B
    """,
    "silent over TCP too: over UDP again": """
        0 start          | A
        10 timer         | B
        20 timer         | A/tcp
        160 timer        | B/tcp
        440 timer        | A
    """,
    "one that said something is asked as before": """
        0 start          | A
        1 A servfail     | B
        11 timer         | A
        152.286 timer    | B/tcp
        153 B/tcp yes    | = yes of B
    """,
}

SECOND_OPINION = {
    "agrees": """
        0 start        | A
        1 A no         | B
        2 B no         | = no of B
    """,
    "agrees, with no data for no such name": """
        0 start        | A
        1 A nodata     | B
        2 B no         | = no of B
    """,
    "contradicts": """
        0 start        | A
        1 A no         | B
        2 B yes        | A suspect, = yes of B
    """,
    "is silent: a third": """
        0 start        | A
        1 A no         | B
        11 timer       | C
        12 C yes       | A suspect, = yes of C
    """,
    "nobody has one in time": """
        0 start        | A
        1 A no         | B
        11 timer       | C
        21 timer       | = no of A
    """,
    "fails: a third": """
        0 start        | A
        1 A no         | B
        2 B servfail   | C
        3 C no         | = no of C
    """,
    "all others fail": """
        0 start        | A
        1 A no         | B
        2 B servfail   | C
        3 C gone       | C down, = no of A
    """,
    "is cut: the whole over TCP": """
        0 start        | A
        1 A no         | B
        2 B cut        | B/tcp
        3 B/tcp yes    | A suspect, = yes of B
    """,
    "is already being asked": """
        0 start        | A
        10 timer       | B
        11 A no        | ...
        12 B yes       | A suspect, = yes of B
    """,
    "not of one that is late already": """
        0 start        | A
        10 timer       | B
        11 B no        | C
        12 C no        | = no of C
    """,
    "the first of those not asked yet": """
        0 start        | A
        1 A servfail   | B
        2 B no         | C
        3 C yes        | B suspect, = yes of C
    """,
}

# Name -> the options of the lookup, and its transcript.
SPECIAL: dict[str, tuple[dict[str, Any], str]] = {
    "a second opinion needs no budget": (
        {"budget": 0, "names": "A B", "known": 1},
        """
        0 start         | A
        1 A no          | B
        11 timer        | = no of A
        """,
    ),
    "no other agent has an opinion": (
        {"names": "A", "known": 1},
        """
        0 start         | A
        1 A no          | = no of A
        """,
    ),
    "a recursor's denial is believed": (
        {"names": "R1 R2", "known": 1},
        """
        0 start         | R1
        1 R1 no         | = no of R1
        """,
    ),
    "TCP of a single agent is waited for": (
        {"names": "A"},
        """
        0 start         | A
        1 A cut         | A/tcp
        31 timer        | A
        32 A cut        | ...
        60 A/tcp yes    | = yes of A
        """,
    ),
    "an error for a reverse name is no second opinion": (
        {"reverse": True, "known": 1},
        """
        0 start         | A
        1 A servfail    | B
        2 B no          | C
        3 C yes         | B suspect, = yes of C
        """,
    ),
    "a cut answer is better than a denial": (
        {"names": "A B", "known": 1},
        """
        0 start         | A
        1 A no          | B
        2 B cut         | B/tcp
        3 B/tcp lost    | = yes of B, cut
        """,
    ),
}

# What an agent that came back a second ago says of a list that had five records.
LOST_MOST: dict[str, tuple[str, str]] = {
    "another has all of it": (
        "A",
        """
        0 start        | A
        1 A two        | B
        2 B five       | A suspect, = yes of B
        """,
    ),
    "another says the same": (
        "A",
        """
        0 start        | A
        1 A two        | B
        2 B two        | = yes of B
        """,
    ),
    "another that came back says the same": (
        "A B",
        """
        0 start        | A
        1 A two        | B
        2 B two        | = yes of B
        """,
    ),
    "another denies the name": (
        "A",
        """
        0 start        | A
        1 A two        | B
        2 B no         | = yes of A
        """,
    ),
    "nobody has an opinion in time": (
        "A",
        """
        0 start        | A
        1 A two        | B
        11 timer       | C
        21 timer       | = yes of A
        """,
    ),
    "after a denial it is taken": (
        "B",
        """
        0 start        | A
        1 A no         | B
        2 B two        | = yes of B
        """,
    ),
    "it was well all the time: a list may shrink": (
        "B",
        """
        0 start        | A
        1 A two        | = yes of A
        """,
    ),
    "all of it is there": (
        "A",
        """
        0 start        | A
        1 A five       | = yes of A
        """,
    ),
}

# All came back a second ago, well and with a part of their catalog: Raft's log is read meanwhile.
JUST_BACK: dict[str, tuple[dict[str, Any], str]] = {
    "two have a part of the list, the same": (
        {},
        """
        0 start        | A
        1 A two        | B
        2 B two        | = nothing (22): no agent that is well says so
        """,
    ),
    "two have a part of the list, more than half of it": (
        {"known": 6},
        """
        0 start        | A
        1 A five       | B
        2 B five       | = nothing (22): no agent that is well says so
        """,
    ),
    "two deny the name": (
        {},
        """
        0 start        | A
        1 A no         | B
        2 B no         | = nothing (22): no agent that is well says so
        """,
    ),
    "nobody else has an opinion": (
        {"names": "A B", "returned": "A"},
        """
        0 start        | A
        1 A two        | B
        11 timer       | = nothing (22): no agent that is well says so
        """,
    ),
    "one that was well all the time says so, too: a list may shrink": (
        {"returned": "A C"},
        """
        0 start        | A
        1 A two        | B
        2 B two        | = yes of B
        """,
    ),
    "the next one has all of it": (
        {},
        """
        0 start        | A
        1 A two        | B
        2 B five       | A suspect, = yes of B
        """,
    ),
    "nothing else is at hand: the longer list": (
        {"known": 6, "has_stale": False},
        """
        0 start        | A
        1 A five       | B
        2 B two        | = yes of A
        """,
    ),
}

# After a restart of the whole cluster: what agents say that are not well themselves.
NOT_WELL: dict[str, tuple[dict[str, Any], str]] = {
    "two agree on a denial": (
        {"known": 1},
        """
        0 start        | A
        1 A no         | B
        2 B no         | = nothing (22): no agent that is well says so
        """,
    ),
    "a denial of the only one": (
        {"known": 1, "names": "A"},
        """
        0 start        | A
        1 A no         | = nothing (22): no agent that is well says so
        """,
    ),
    "a denial nobody else has an opinion on": (
        {"known": 1, "names": "A B"},
        """
        0 start        | A
        1 A no         | B
        11 timer       | B down, = nothing (22): no agent that is well says so
        """,
    ),
    "two have a part of the list": (
        {"known": 6},
        """
        0 start        | A
        1 A five       | B
        2 B five       | = nothing (22): no agent that is well says so
        """,
    ),
    "a part of the list, and a denial": (
        {"known": 5},
        """
        0 start        | A
        1 A two        | B
        2 B no         | = nothing (22): no agent that is well says so
        """,
    ),
    "the next one has all of it": (
        {"known": 5},
        """
        0 start        | A
        1 A two        | B
        2 B five       | A down, = yes of B
        """,
    ),
    "nothing else is at hand": (
        {"known": 1, "has_stale": False},
        """
        0 start        | A
        1 A no         | B
        2 B no         | = no of B
        """,
    ),
    "one that is well agrees": (
        {"known": 1, "A": State.UP},
        """
        0 start        | A
        1 A no         | B
        2 B no         | = no of B
        """,
    ),
}
_ALL_BACK = {"has_stale": True, "A": State.PROBING, "B": State.PROBING, "C": State.PROBING}

TABLE: dict[str, tuple[dict[str, Any], str]] = {
    **{f"cut: {name}": ({"names": "A B"}, text) for name, text in CUT.items()},
    **{f"second opinion {name}": ({"known": 1}, text) for name, text in SECOND_OPINION.items()},
    **{
        f"lost most: {name}": ({"known": 5, "returned": returned}, text)
        for name, (returned, text) in LOST_MOST.items()
    },
    **{
        f"not well: {name}": ({**_ALL_BACK, **options}, text)
        for name, (options, text) in NOT_WELL.items()
    },
    **{
        f"just back: {name}": (
            {"known": 5, "returned": "A B C", "has_stale": True, **options}, text
        )
        for name, (options, text) in JUST_BACK.items()
    },
    **SPECIAL,
}


@pytest.mark.parametrize("name", TABLE)
def test_transcript(name: str) -> None:
    options, transcript = TABLE[name]
    assert played(transcript, Play(**options)) == script(transcript)


@pytest.mark.parametrize("name", OFF_HOST)
def test_agents_off_the_host(name: str) -> None:
    play = Play("A B")
    for one in play.plan:
        one.on_host = False
    assert played(OFF_HOST[name], play) == script(OFF_HOST[name])


@pytest.mark.parametrize("state", [State.SUSPECT, State.PROBING, State.DOWN])
def test_a_denial_proves_nothing_of_one_that_is_not_well(state: State) -> None:
    play = Play("A", A=state)
    play.do(0, "start")
    assert play.do(1, "A no") == "= no of A"
    assert (play.plan[0].state, play.plan[0].good) == (state, 0)


@pytest.mark.parametrize(("known", "doubtful"), [(4, False), (5, True)])
@pytest.mark.parametrize(("age", "unsettled"), [(SETTLING, False), (SETTLING - 0.001, True)])
def test_what_most_is_and_how_long_one_is_unsettled(
    known: int, doubtful: bool, age: float, unsettled: bool
) -> None:
    play = Play(known=known)
    play.plan[0].changed_at = EPOCH - age
    play.do(0, "start")
    assert play.do(0, "A two") == ("B" if doubtful and unsettled else "= yes of A")


@pytest.mark.parametrize(("age", "believed"), [(CATCHING_UP, True), (CATCHING_UP - 0.01, False)])
def test_how_long_those_that_came_back_together_are_no_witnesses(
    age: float, believed: bool
) -> None:
    play = Play("A B", known=5, has_stale=True)
    for one in play.plan:
        one.changed_at = EPOCH - age
    play.do(0, "start")
    assert play.do(0, "A two") == "B"
    assert play.do(0, "B two").startswith("= yes of B" if believed else "= nothing (22)")
