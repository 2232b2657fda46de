"""Lookups as transcripts (see `play`): what goes in, what comes out, and when."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.core.upstreams import State
from tests.core.play import Play, played, script

UP, SUSPECT, DOWN = State.UP, State.SUSPECT, State.DOWN

FIRST_ANSWERS = {
    "an answer": """
        0 start        | A
        1 A yes        | = yes of A
    """,
    "no such name, and nothing speaks against it": """
        0 start        | A
        1 A no         | = no of A
    """,
    "no data": """
        0 start        | A
        1 A nodata     | = no of A
    """,
    "answers that come later only inform": """
        0 start        | A
        10 timer       | B
        11 B yes       | = yes of B
        12 A servfail  | ...
    """,
}

SLOW = {
    "the next is asked at three times the usual": """
        0 start        | A
        10 timer       | B
        11 B yes       | = yes of B
    """,
    "the first may still win": """
        0 start        | A
        10 timer       | B
        12 A yes       | = yes of A
        13 B no        | ...
    """,
    "nobody answers: ever slower, in turn, to the deadline": """
        0 start        | A
        10 timer       | B
        20 timer       | C
        30 timer       | A
        50 timer       | B
        90 timer       | C
        170 timer      | A
        330 timer      | B, A suspect
        650 timer      | C, B suspect
        983.333 timer  | A, C suspect
        1316.667 timer | B
        1650 timer     | C
        1983.333 timer | A
        2000 timer     | = nothing (23): no reply within the deadline (A: no reply; B: no reply; \
C: no reply)
    """,
    "somebody who is back late in the deadline is asked": """
        0 start        | A
        10 timer       | B
        20 timer       | C
        30 timer       | A
        50 timer       | B
        90 timer       | C
        170 timer      | A
        330 timer      | B, A suspect
        650 timer      | C, B suspect
        651 C yes      | = yes of C
    """,
    "all late, and the last one fails: a pause, not the whole wait": """
        0 start        | A
        10 timer       | B
        20 timer       | C
        30 timer       | A
        50 timer       | B
        90 timer       | C
        170 timer      | A
        330 timer      | B, A suspect
        331 B! lost    | C
        332 C! lost    | ...
        382 timer      | A
        383 A! yes     | = yes of A
    """,
}

ERRORS = {
    "SERVFAIL, REFUSED, FORMERR: the next at once": """
        0 start        | A
        1 A servfail   | B
        2 B refused    | C
        3 C formerr    | ...
        53 timer       | A
        54 A yes       | = yes of A
    """,
    "refused": """
        0 start        | A
        1 A gone       | B, A down
        2 B yes        | = yes of B
    """,
    "broken off": """
        0 start        | A
        1 A lost       | B
        2 B yes        | = yes of B
    """,
    "a false reply: another is asked, once; the true one is still taken": """
        0 start        | A
        1 A stray      | B
        2 A stray      | ...
        3 A yes        | = yes of A
    """,
    "the late first one answers after the second failed": """
        0 start        | A
        10 timer       | B
        11 B servfail  | C
        12 C refused   | ...
        13 A yes       | = yes of A
    """,
}

ROUNDS = {
    "all fail: rounds with longer and longer pauses, to the deadline": """
        0 start         | A
        1 A servfail    | B
        2 B servfail    | ...
        52 timer        | A
        53 A servfail   | B
        54 B servfail   | ...
        154 timer       | A
        155 A servfail  | B, A suspect
        156 B servfail  | B suspect
        356 timer       | A
        357 A servfail  | B
        358 B servfail  | ...
        758 timer       | A
        759 A servfail  | B
        760 B servfail  | ...
        1560 timer      | A
        1561 A servfail | B, A down
        1562 B servfail | B down
        2000 timer      | = nothing (22): no reply within the deadline (A: SERVFAIL; B: SERVFAIL)
    """,
    "one that recovers ends it": """
        0 start         | A
        1 A servfail    | B
        2 B servfail    | ...
        52 timer        | A
        53 A servfail   | B
        54 B yes        | = yes of B
    """,
}

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
        82 timer         | B
        83 B cut         | ...
        122 timer        | A
        123 A cut        | ...
        202 timer        | B
        203 B cut        | ...
        362 timer        | A
        363 A cut        | ...
        682 timer        | B
        683 B cut        | ...
        1015.333 timer   | = yes of B, cut
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
    "no upstream at all": (
        {"names": ""},
        "0 start | = nothing (22): no upstream is configured for this name",
    ),
    "the budget is used up: longer waits": (
        {"budget": 0},
        """
        0 start         | A
        10 timer        | ...
        50 timer        | B
        60 timer        | ...
        100 timer       | C
        101 C yes       | = yes of C
        """,
    ),
    "a suspect one needs no budget": (
        {"budget": 0, "names": "A B", "A": SUSPECT, "B": SUSPECT},
        """
        0 start         | A
        10 timer        | B
        11 B yes        | = yes of B
        """,
    ),
    "a second opinion needs no budget": (
        {"budget": 0, "names": "A B", "known": True},
        """
        0 start         | A
        1 A no          | B
        11 timer        | = no of A
        """,
    ),
    "no other agent has an opinion": (
        {"names": "A", "known": True},
        """
        0 start         | A
        1 A no          | = no of A
        """,
    ),
    "a recursor's denial is believed": (
        {"names": "R1 R2", "known": True},
        """
        0 start         | R1
        1 R1 no         | = no of R1
        """,
    ),
    "recursors fail: no second round": (
        {"names": "R1 R2"},
        """
        0 start         | R1
        1 R1 servfail   | R2
        2 R2 servfail   | = nothing (22): R1: SERVFAIL; R2: SERVFAIL
        """,
    ),
    "no waiting for a dead recursor when another says that the name fails": (
        {"names": "R1 R2", "R2": DOWN},
        """
        0 start         | R1
        1 R1 servfail   | R2
        101 timer       | = nothing (22): R1: SERVFAIL; R2: no reply
        """,
    ),
    "TCP of a single agent is waited for": (
        {"names": "A"},
        """
        0 start         | A
        1 A cut         | A/tcp
        31 timer        | A
        32 A cut        | ...
        51 timer        | A
        60 A/tcp yes    | = yes of A
        """,
    ),
    "stale at hand, all known to be down": (
        {"names": "A B", "has_stale": True, "A": DOWN, "B": DOWN},
        """
        0 start         | A
        10 timer        | = nothing (23): every upstream is down (A: no reply)
        """,
    ),
    "stale at hand, all found to be gone": (
        {"names": "A B", "has_stale": True},
        """
        0 start         | A
        1 A gone        | B, A down
        2 B gone        | B down, = nothing (23): every upstream is down (A: gone; B: gone)
        """,
    ),
    "stale at hand, but one may answer yet": (
        {"names": "A B", "has_stale": True, "A": DOWN},
        """
        0 start         | A
        10 timer        | B
        20 timer        | A
        21 B yes        | = yes of B
        """,
    ),
    "a cut answer is better than a denial": (
        {"names": "A B", "known": True},
        """
        0 start         | A
        1 A no          | B
        2 B cut         | B/tcp
        3 B/tcp lost    | = yes of B, cut
        """,
    ),
}

TABLE: dict[str, tuple[dict[str, Any], str]] = {
    **{f"first: {name}": ({}, text) for name, text in FIRST_ANSWERS.items()},
    **{f"slow: {name}": ({}, text) for name, text in SLOW.items()},
    **{f"errors: {name}": ({}, text) for name, text in ERRORS.items()},
    **{f"rounds: {name}": ({"names": "A B"}, text) for name, text in ROUNDS.items()},
    **{f"cut: {name}": ({"names": "A B"}, text) for name, text in CUT.items()},
    **{f"second opinion {name}": ({"known": True}, text) for name, text in SECOND_OPINION.items()},
    **SPECIAL,
}


@pytest.mark.parametrize("name", TABLE)
def test_transcript(name: str) -> None:
    options, transcript = TABLE[name]
    assert played(transcript, Play(**options)) == script(transcript)
