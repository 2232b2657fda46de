"""Lookups as transcripts (see `play`): what goes in, what comes out, and when."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.core.states import State
from tests.core.play import Play, played, script

SUSPECT, DOWN = State.SUSPECT, State.DOWN

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
    "nobody answers: ever slower, in turn, three times each": """
        0 start        | A
        10 timer       | B
        20 timer       | C
        30 timer       | A
        61.29 timer    | B
        123.871 timer  | C
        249.032 timer  | A
        499.355 timer  | B, A suspect
        1000 timer     | C, B suspect
        2000 timer     | C suspect, = nothing (23): no answer within the deadline (A: no reply; \
B: no reply; C: no reply)
    """,
    "somebody who is back late in the deadline is asked": """
        0 start        | A
        10 timer       | B
        20 timer       | C
        30 timer       | A
        61.29 timer    | B
        123.871 timer  | C
        249.032 timer  | A
        499.355 timer  | B, A suspect
        1000 timer     | C, B suspect
        1001 C yes     | = yes of C
    """,
    "a late one fails, the last one is not late: it is waited for": """
        0 start        | A
        10 timer       | B
        20 timer       | C
        30 timer       | A
        61.29 timer    | B
        123.871 timer  | C
        249.032 timer  | A
        499.355 timer  | B, A suspect
        500 A lost     | ...
        1000 timer     | C, B suspect
    """,
    "all late, and the last one fails: a pause, not the whole wait": """
        0 start        | A
        10 timer       | B
        20 timer       | C
        30 timer       | A
        61.29 timer    | B
        123.871 timer  | C
        249.032 timer  | A
        499.355 timer  | B, A suspect
        501 B! lost    | ...
        551 timer      | C
        552 C! yes     | = yes of C
    """,
}

ERRORS = {
    "SERVFAIL, REFUSED, FORMERR: the next at once": """
        0 start        | A
        1 A servfail   | B
        2 B refused    | C
        3 C formerr    | C
        4 C formerr    | ...
        54 timer       | A
        55 A yes       | = yes of A
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
    "all give a false reply: the true ones are waited for, and each is asked again in time": """
        0 start        | A
        1 A stray      | B
        2 B stray      | C
        3 C stray      | ...
        12 timer       | A
        13 B yes       | = yes of B
    """,
    "a false reply that comes late": """
        0 start        | A
        10 timer       | B
        11 A stray     | ...
        12 A yes       | = yes of A
    """,
    "too many false replies: asked over TCP": """
        0 start        | A
        1 A stray      | B
        2 A stray      | ...
        3 B stray      | C
        4 A stray      | ...
        5 A stray      | A/tcp
        6 B stray      | B/tcp
        7 C servfail   | ...
        8 A/tcp yes    | = yes of A
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
    "all fail: longer and longer pauses, three times each, and no more waiting": """
        0 start         | A
        1 A servfail    | B
        2 B servfail    | ...
        52 timer        | A
        53 A servfail   | ...
        188.286 timer   | B
        189 B servfail  | ...
        459.333 timer   | A
        460 A servfail  | ...
        1000 timer      | B
        1001 B servfail | = nothing (22): A: SERVFAIL; B: SERVFAIL
    """,
    "one that recovers ends it": """
        0 start         | A
        1 A servfail    | B
        2 B servfail    | ...
        52 timer        | A
        53 A servfail   | ...
        188.286 timer   | B
        189 B yes       | = yes of B
    """,
}

# Name -> the options of the lookup, and its transcript.
SPECIAL: dict[str, tuple[dict[str, Any], str]] = {
    "the only one gives a false reply: the true one is waited for": (
        {"names": "A"},
        """
        0 start         | A
        1 A stray       | ...
        10 timer        | A
        11 A stray      | ...
        12 A! yes       | = yes of A
        """,
    ),
    "the only one gives nothing else": (
        {"names": "A"},
        """
        0 start         | A
        1 A stray       | ...
        10 timer        | A
        11 A! stray     | ...
        1000 timer      | A
        1001 A! stray   | A suspect
        2000 timer      | = nothing (23): no answer within the deadline (A: only false replies)
        """,
    ),
    "too many false replies, and TCP has failed: the next, the attempt before it waits on": (
        {"names": "A B"},
        """
        0 start         | A
        1 A stray       | B
        2 A stray       | ...
        3 A stray       | ...
        4 A stray       | ...
        5 A stray       | A/tcp
        6 A/tcp lost    | ...
        35 timer        | A
        36 A stray      | A/tcp, A suspect
        37 B yes        | = yes of B
        """,
    ),
    "refused by a host elsewhere: the next one at once, but that is one bad sign": (
        {"names": "A B", "elsewhere": "A B"},
        """
        0 start         | A
        1 A gone        | B
        2 B gone        | ...
        52 timer        | A
        53 A yes        | = yes of A
        """,
    ),
    "refused by hosts elsewhere, until they are down: nothing is waited for": (
        {"names": "A", "elsewhere": "A", "A": SUSPECT, "has_stale": True},
        """
        0 start         | A
        1 A gone        | ...
        51 timer        | A
        52 A gone       | = nothing (23): every upstream failed, and failed again (A: gone)
        """,
    ),
    "the only one spells the question otherwise: it is asked over TCP, and is no worse for it": (
        {"names": "A"},
        """
        0 start         | A
        1 A respelled   | A/tcp
        2 A/tcp yes     | = yes of A
        """,
    ),
    "a recursor does, and TCP is not to be had: it is asked from another port": (
        {"names": "R", "elsewhere": "R"},
        """
        0 start         | R
        1 R respelled   | R/tcp
        2 R/tcp lost    | R
        3 R! yes        | = yes of R
        """,
    ),
    "a recursor gives false replies, and TCP is not to be had: so often, and no more": (
        {"names": "R", "elsewhere": "R"},
        """
        0 start         | R
        1 R stray       | ...
        2 R stray       | ...
        3 R stray       | ...
        4 R stray       | ...
        5 R stray       | R/tcp
        6 R/tcp lost    | R
        7 R! stray      | R/tcp
        8 R/tcp! lost   | R, R suspect
        9 R!! stray     | R/tcp
        10 R/tcp!! lost | = nothing (23): R: too many false replies; R: lost
        """,
    ),
    "a recursor's reply is cut, and TCP is not to be had: that is all there is": (
        {"names": "R", "elsewhere": "R"},
        """
        0 start         | R
        1 R stray       | ...
        2 R cut         | R/tcp
        3 R/tcp lost    | = yes of R, cut
        """,
    ),
    "the only recursor restarts elsewhere: it is asked again": (
        {"names": "R", "elsewhere": "R"},
        """
        0 start         | R
        1 R gone        | ...
        51 timer        | R
        52 R yes        | = yes of R
        """,
    ),
    "the only recursor elsewhere is down": (
        {"names": "R", "elsewhere": "R", "R": DOWN},
        """
        0 start         | R
        1 R gone        | = nothing (23): R: gone
        """,
    ),
    "another recursor has said that the name fails": (
        {"names": "R1 R2", "elsewhere": "R1 R2"},
        """
        0 start         | R1
        1 R1 servfail   | R2
        2 R2 gone       | = nothing (22): R1: SERVFAIL; R2: gone
        """,
    ),
    "the only recursor is gone on the host": (
        {"names": "R"},
        """
        0 start         | R
        1 R gone        | R down, = nothing (23): R: gone
        """,
    ),
    "no waiting for a recursor's false reply when another says that the name fails": (
        {"names": "R1 R2"},
        """
        0 start         | R1
        1 R1 stray      | R2
        2 R2 servfail   | ...
        101 timer       | = nothing (22): R1: only false replies; R2: SERVFAIL
        """,
    ),
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
    "an error for a reverse name: the others are asked, but not for long": (
        {"reverse": True, "names": "A B"},
        """
        0 start         | A
        1 A servfail    | B
        2 B servfail    | = an error of A
        """,
    ),
    "an error for a reverse name, and nobody else": (
        {"reverse": True, "names": "A B"},
        """
        0 start         | A
        1 A servfail    | B
        11 timer        | = an error of A
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
    "stale at hand, all fail: one more round": (
        {"has_stale": True},
        """
        0 start         | A
        1 A servfail    | B
        2 B refused     | C
        3 C servfail    | ...
        53 timer        | A
        54 A lost       | ...
        104 timer       | B
        105 B lost      | = nothing (22): every upstream failed, and failed again (A: SERVFAIL; \
B: REFUSED; C: SERVFAIL; A: lost; B: lost)
        """,
    ),
    "stale at hand, one agent that fails": (
        {"names": "A", "has_stale": True},
        """
        0 start         | A
        1 A servfail    | ...
        51 timer        | A
        52 A servfail   | = nothing (22): every upstream failed, and failed again (A: SERVFAIL)
        """,
    ),
    "stale at hand, all fail, then one answers": (
        {"names": "A B", "has_stale": True},
        """
        0 start         | A
        1 A servfail    | B
        2 B servfail    | ...
        52 timer        | A
        53 A yes        | = yes of A
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
}

TABLE: dict[str, tuple[dict[str, Any], str]] = {
    **{f"first: {name}": ({}, text) for name, text in FIRST_ANSWERS.items()},
    **{f"slow: {name}": ({}, text) for name, text in SLOW.items()},
    **{f"errors: {name}": ({}, text) for name, text in ERRORS.items()},
    **{f"rounds: {name}": ({"names": "A B"}, text) for name, text in ROUNDS.items()},
    **SPECIAL,
}


@pytest.mark.parametrize("name", TABLE)
def test_transcript(name: str) -> None:
    options, transcript = TABLE[name]
    assert played(transcript, Play(**options)) == script(transcript)
