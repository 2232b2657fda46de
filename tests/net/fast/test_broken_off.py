"""The lanes when something breaks off in their middle: no octet is lost, no query either."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from consulfwd.net import _fast
from consulfwd.net.fastlane import fast
from tests.net.fast.test_hotlane import HOT, REPLY, World
from tests.net.messages import question
from tests.net.twins import Play

pytestmark = pytest.mark.skipif(fast is None, reason="there is no compiled one")


def test_an_answer_that_serves_again() -> None:
    """It is entered but once: numbers of another batch have no room behind those of this one."""
    there = World()
    try:
        served = []

        def again() -> bytes:
            served.append(there.lane.serve())
            return REPLY

        there.answers[HOT] = again
        left = [bytes((0, number)) + b"not hot" for number in range(63)]
        more = [bytes((1, number)) + b"not hot" for number in range(64)]
        for one in (*left, b"\1\2" + HOT, *more):
            there.client.send(one)
        there.batch.looked = 1 << 62
        assert not there.lane.serve()
        assert served == [False]
        assert there.lane.take() == [*range(63)]
        assert there.replies() == [b"\1\2" + REPLY]
    finally:
        there.close()


def test_what_was_passed_on_is_sent_whatever_comes_behind() -> None:
    play = Play(5)
    try:
        for _ in range(4):
            play.rounds()
        client, listener = play.clients[0], play.listeners[0]
        names = [f"s{n}.service.consul" if n % 4 else f"s{n}.test" for n in range(64)]
        play.seen("")
        ends = question("ends.service.consul", ident=1)

        def interrupt() -> bytes:
            raise KeyboardInterrupt

        listener.hot.answers[ends[2:]] = interrupt
        # The first round has nothing but these, of which the one behind them is no part.
        for number, name in enumerate(names):
            client.send(question(name, ident=number))
        client.send(ends)
        play.read_all()
        lane: Any = listener
        with pytest.raises(KeyboardInterrupt):
            lane._lane.serve()
        del listener.hot.answers[ends[2:]]
        asked = sum(len(server.take()) for server in play.servers)
        flights = len(play.engine.flights)
        assert (asked, flights) == (len(names), len(names))
    finally:
        play.engine.flights.clear()
        play.close()


def test_a_batch_is_made_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        batch = _fast.Batch(sock)
        with pytest.raises(TypeError, match="made already"):
            batch.__init__(sock, 2, 0, named=False)  # type: ignore[misc]


def test_a_batch_that_is_not_made_sends_nothing() -> None:
    bare = _fast.Batch.__new__(_fast.Batch)
    assert bare.send([b"abcd"]) > 0
    assert (bare.lengths, bare.data, bare.names) == ([], b"", b"")
    assert fast is not None
    with pytest.raises(TypeError, match="batch is needed"):
        fast.Way.__new__(fast.Way).use(bare)
