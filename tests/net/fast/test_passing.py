"""What passes relays on without Python, as an object: what it refuses, and that it goes with its
engine. What it does is held against its twin in `test_twins`."""

from __future__ import annotations

import gc
import random
import sys
import weakref
from typing import Any

import pytest

from consulfwd.net.fastlane import fast
from consulfwd.net.udp_waiters import DatagramWaiter
from tests.net.twins import Play

pytestmark = pytest.mark.skipif(fast is None, reason="there is no compiled one")


def test_what_is_not_made_is_of_no_use() -> None:
    assert fast is not None
    made = fast.Relays.__new__(fast.Relays)
    with pytest.raises(TypeError, match="not made"):
        fast.Passer(made, object())
    with pytest.raises(TypeError, match="not made"):
        fast.Way(made, object(), object(), {}, 1)
    # Nothing of it is read: the callback has to.
    assert not fast.Way.__new__(fast.Way).serve()


@pytest.mark.parametrize("wrong", ["ask", "asks", "waiter"])
def test_it_is_made_of_what_it_can_use(wrong: str) -> None:
    assert fast is not None

    class Slotted:
        __slots__ = (
            "alike", "ask", "begin", "client_id", "end", "expires_at", "head", "ident",
            "kept_until", "key", "known", "lane", "length", "listener", "local", "off_host",
            "on_host", "ordered", "others", "peer", "positive", "sent_at", "size", "tail",
            "upstream",
        )  # fmt: skip

    class Loose:
        """Has no slots, so that nobody knows where its attributes are."""

        local = listener = 1

    given: dict[str, Any] = dict.fromkeys(("ask", "entry", "known", "waiter"), Slotted)
    given |= {one: {} for one in ("asks", "entries", "flights", "failures", "firm", "loose")}
    given |= dict.fromkeys(
        ("table", "health", "shield", "clock", "counters", "relays", "exact_clock"), object()
    )
    given |= {"most": 1, "outside": 1}
    fast.Relays(**given)
    with pytest.raises(TypeError):
        fast.Relays(**given | {wrong: Loose if wrong != "asks" else []})


def test_it_goes_with_its_engine() -> None:
    play = Play(1)
    play.run(10)
    engine = weakref.ref(play.engine)
    assert play.engine.driver.passing is not None
    play.close()
    del play
    gc.collect()
    assert engine() is None


def test_of_hundreds_of_misses_nothing_is_left() -> None:
    play = Play(2)

    def again() -> int:
        """The same queries and replies; what is allocated behind them."""
        play.rng = random.Random(7)
        for _ in range(3):
            play.rounds()
        play.seen("")
        gc.collect()
        return sys.getallocatedblocks()

    try:
        for _ in range(4):
            before = again()
        asked = play.engine.counters.queries
        after = again()
        asked = play.engine.counters.queries - asked
        assert asked > 500
        # One for each would be more.
        assert after - before < asked / 10
        assert not [one for one in gc.get_objects() if isinstance(one, DatagramWaiter)]
    finally:
        play.close()


def test_a_way_that_is_closed_reads_nothing() -> None:
    play = Play(3)
    try:
        play.rounds()
        channels: Any = play.engine.channels
        way = next(iter(channels._datagram.values()))
        assert way.way.serve()
        channels.retain(set())
        assert not way.way.serve()
    finally:
        play.close()
