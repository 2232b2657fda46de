"""What several checkers come to: a quorum, never two of them, and for how long that holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from consulfwd.failover.tally import Rules
from consulfwd.failover.verdict import Heard, Verdict, Vote, fresh, verdict
from tests.failover.site import NAME, ONE, ip

RULES = Rules(interval=10.0, fall=3, rise=2, window=600.0, rise_max=20)
UP, DOWN = Vote(True), Vote(False, why="refused")


def of(*votes: Vote, quorum: int = 2, members: int = 3) -> Verdict:
    return verdict({str(at): one for at, one in enumerate(votes)}, quorum, members, RULES)


@pytest.mark.parametrize(
    ("votes", "up"),
    [
        ((UP, UP, UP), True),
        ((UP, UP, DOWN), True),
        ((UP, DOWN, DOWN), False),
        ((UP, UP), True),
        ((UP, DOWN), None),
        ((UP,), None),
        ((DOWN,), None),
        ((), None),
    ],
)
def test_a_quorum(votes: tuple[Vote, ...], up: bool | None) -> None:
    assert of(*votes).up is up


def test_why() -> None:
    assert of(UP, UP, DOWN).why == "2 of 3 checkers say so"
    assert of(UP, DOWN, DOWN).why == "2 of 3 checkers say so, one of them: refused"
    assert of(UP).why == "1 can tell, 2 must agree"


@pytest.mark.parametrize(
    ("votes", "holds"),
    [
        # Two of them must change their minds, by three checks, of which one may be on its way.
        ((UP, UP, UP), 20.0),
        ((UP._replace(in_a_row=2), UP, UP), 20.0),
        ((UP._replace(in_a_row=2), UP._replace(in_a_row=1), UP), 10.0),
        # One is against it already; or may be, as it is not heard.
        ((UP._replace(in_a_row=1), UP, DOWN), 10.0),
        ((UP._replace(in_a_row=1), UP), 10.0),
        ((UP._replace(in_a_row=9), UP), 0.0),
        ((DOWN, DOWN, UP), 10.0),
    ],
)
def test_how_long_it_holds(votes: tuple[Vote, ...], holds: float) -> None:
    assert of(*votes).holds == holds


def test_a_word_counts_for_so_long() -> None:
    heard = {
        "a": Heard({NAME: {ip(ONE): UP}}, 100.0),
        "b": Heard({NAME: {ip(ONE): DOWN}}, 100.1),
        "c": Heard({NAME: {ip(ONE): Vote(None)}}, 140.0),
        "d": Heard({}, 140.0),
    }
    assert fresh(heard, NAME, ip(ONE), 139.9, 40.0).keys() == {"a", "b"}
    assert fresh(heard, NAME, ip(ONE), 140.0, 40.0).keys() == {"b"}


@how(max_examples=80, deadline=None)
@given(
    votes=st.lists(st.sampled_from((True, False, None)), min_size=1, max_size=9),
    data=st.data(),
)
def test_two_sides_of_a_cut_never_differ(votes: list[bool | None], data: st.DataObject) -> None:
    members = len(votes)
    quorum = data.draw(st.integers(members // 2 + 1, members))
    side = data.draw(st.lists(st.booleans(), min_size=members, max_size=members))
    found = set()
    for here in (True, False):
        heard = {
            str(at): Vote(one)
            for at, one in enumerate(votes)
            if side[at] is here and one is not None
        }
        found.add(verdict(heard, quorum, members, RULES).up)
    assert not {True, False} <= found
