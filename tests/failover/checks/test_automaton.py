"""Patterns looked for as they come: as Python's own finds them, and in time whatever comes."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulfwd.failover.checks.automaton import KEPT, Automaton, Search


def found(pattern: str, text: bytes, piece: int = 1 << 20) -> bool:
    search = Search(Automaton(pattern))
    for at in range(0, len(text), piece):
        search.feed(text[at : at + piece])
    if not search.found:
        search.end()
    return search.found


_ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "\\d", "\\s", "\\W", "(a|b1)", "(?:ab)"])
_TIMES = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,3}", "{2,}", "+?"])
_PARTS = st.lists(st.tuples(_ATOMS, _TIMES), min_size=1, max_size=5).map(
    lambda parts: "".join(atom + times for atom, times in parts)
)
_PATTERNS = st.tuples(
    st.sampled_from(["", "^", "(?i)"]), st.lists(_PARTS, min_size=1, max_size=3), st.booleans()
).map(lambda made: made[0] + "(?:" + "|".join(made[1]) + ")" + "$" * made[2])
_TEXTS = st.lists(st.sampled_from([b"a", b"b", b"A", b"1", b" ", b"\n"]), max_size=12)


@settings(max_examples=150, deadline=None)
@given(_PATTERNS, _TEXTS.map(b"".join), st.integers(1, 5))
def test_it_finds_what_pythons_own_finds(pattern: str, text: bytes, piece: int) -> None:
    # There $ is before a last line's end as well.
    wanted = re.search(pattern.replace("$", "\\Z").encode(), text) is not None
    assert found(pattern, text, piece) is wanted


@pytest.mark.parametrize(
    ("pattern", "text", "is_there"),
    [
        ("straße", "die Straße, straße".encode(), True),
        ("^é+x", "éééx".encode(), True),
        ("(?i)OK", b"ok", True),
        ("(?i)[^o]k", b"OK", False),
        ("a|", b"", True),
        ("^$", b"", True),
        ("^$", b"x", False),
        ("\\x00\\.", b"\0.", True),
    ],
)
def test_what_is_found(pattern: str, text: bytes, is_there: bool) -> None:
    assert found(pattern, text) is is_there


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(.*)(.*)(.*)(.*)x$", "(a?){100}a{100}b"])
def test_no_text_makes_it_take_long(pattern: str) -> None:
    search = Search(Automaton(pattern))
    begun = time.process_time()
    search.feed(b"a" * 65_536)
    assert not search.found
    # Going back over it, as Python's own does, would take years.
    assert time.process_time() - begun < 1


def test_what_it_keeps_is_bounded() -> None:
    automaton = Automaton("[01]*1[01]{14}x")
    search = Search(automaton)
    state = 1
    for _ in range(40):
        octets = bytearray()
        for _ in range(1_000):
            state = state * 1_103_515_245 + 12_345 & 0x7FFFFFFF
            octets.append(48 + (state >> 16 & 1))
        search.feed(bytes(octets))
    assert automaton._kept <= KEPT
    assert len(automaton._states) <= KEPT + 1
    search.feed(b"100000000000000x")
    assert search.found
