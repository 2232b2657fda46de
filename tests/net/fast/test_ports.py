"""Ports lent to one query, read without Python: what only looks like a reply is left to Python."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from consulfwd.net.fastlane import VARIABLE, fast
from consulfwd.net.pool import PortPool
from consulfwd.net.ports import Port
from tests.net.messages import question
from tests.net.twins import Play, answer

pytestmark = pytest.mark.skipif(VARIABLE in os.environ, reason="Python alone is asked for")

NAME = "a-name-long-enough-to-be-spelled-in-many-ways.test"


class Asking:
    """A client, a server off the host, and the pool between them."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.client, self.server = play.clients[0], play.servers[2]
        play.mend()
        for client in play.clients:
            drained(client)
        # It is learned that the server repeats names, and what it says.
        for _ in range(5):
            assert self.say(*with_reply(self.ask()))
        channels: Any = play.engine.channels
        (self.pool,) = [one for one in channels._datagram.values() if isinstance(one, PortPool)]
        self.left: list[bytes] = []
        take = self.pool.take

        def left(port: Port, data: bytes) -> None:
            self.left.append(data)
            take(port, data)

        self.pool.take = left  # type: ignore[method-assign]

    def ask(self) -> tuple[bytes, Any]:
        """Have the client ask; return the query that comes, and where it is from."""
        self.play.loop.skip(0.01)
        self.client.send(question(NAME))
        self.play.loop.settle()
        self.server.take()
        return self.server.waiting.popleft()

    def say(self, data: bytes, where: Any) -> list[bytes]:
        """Have the server say something; return what the client hears."""
        self.server.sock.sendto(data, where)
        self.play.loop.settle()
        return drained(self.client)


def true(query: bytes) -> bytes:
    """The same reply each time, so that it is known."""
    return answer(query, random.Random(1), "plain", 0)


def with_reply(asked: tuple[bytes, Any]) -> tuple[bytes, Any]:
    return true(asked[0]), asked[1]


def drained(client: Any) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(client.recv(65535))
        except BlockingIOError:
            return found


@pytest.fixture
def asking() -> Iterator[Asking]:
    play = Play(4)
    try:
        yield Asking(play)
        assert not play.loop.told
    finally:
        play.close()


def test_a_reply_seen_before_is_passed_back(asking: Asking) -> None:
    spelled = set()
    for _ in range(9):
        query, where = asking.ask()
        spelled.add(query[12 : 12 + len(NAME)])
        (heard,) = asking.say(true(query), where)
        assert heard[12 : 12 + len(NAME) + 2] == question(NAME)[12 : 12 + len(NAME) + 2]
    assert len(spelled) == 9
    assert not asking.left


def test_where_nobody_knows_of_lanes_a_reply_leaves_at_once(asking: Asking) -> None:
    query, where = asking.ask()
    (port,) = asking.pool._lent.values()
    lane = asking.pool.way.lane(port, port.sock.fileno())
    asking.server.sock.sendto(true(query), where)
    assert lane.serve()
    assert len(drained(asking.client)) == 1
    assert not asking.left


@pytest.mark.parametrize("octet", [0, 1])
def test_another_id_is_left(asking: Asking, octet: int) -> None:
    query, where = asking.ask()
    reply = bytearray(true(query))
    reply[octet] ^= 1
    assert asking.say(bytes(reply), where) == []
    assert asking.left == [reply]
    assert asking.play.engine.counters.stray_replies == 1
    assert asking.say(true(query), where)


@pytest.mark.parametrize("at", [13, 12 + len("a-name-long-enough-to-be-spelled-in-many-ways") + 4])
def test_one_letter_spelled_otherwise_is_left(asking: Asking, at: int) -> None:
    query, where = asking.ask()
    reply = bytearray(true(query))
    assert chr(reply[at]).isalpha()
    reply[at] ^= 0x20
    pool = asking.pool
    assert pool.speller.settled
    asking.say(bytes(reply), where)
    assert asking.left == [reply]
    # That tells something of the server, or of somebody else.
    assert not pool.speller.settled


def test_what_follows_a_miss_is_left(asking: Asking) -> None:
    spelling = asking.pool.speller._spelling
    query, where = asking.ask()
    spelling.missed, asking.pool.speller.settled = 1, False
    assert asking.say(true(query), where)
    assert (len(asking.left), spelling.missed) == (1, 0)
    assert asking.pool.speller.settled


@pytest.mark.parametrize("size", [0, 1, 2, 11, 12, 30, 4096, 4097, 60_000])
def test_of_any_size(asking: Asking, size: int) -> None:
    query, where = asking.ask()
    reply = true(query)
    heard = asking.say((reply + bytes(size))[:size], where)
    assert len(asking.left) == 1
    # What is behind a message does no harm; one that is cut is waited past.
    assert len(heard) == (size > len(reply))
    assert heard or asking.say(reply, where)


def test_what_only_looks_like_a_short_name_stays(asking: Asking) -> None:
    """2.68.101.5 holds the octets of `De`: they are no name, and no letters of ours."""
    seen: set[bytes] = set()
    for _ in range(40):
        asking.play.loop.skip(0.01)
        asking.client.send(question("de"))
        asking.play.loop.settle()
        asking.server.take()
        query, where = asking.server.waiting.popleft()
        seen.add(query[12:16])
        end = query.index(b"\0\1\0\1") + 4
        record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\2\x44\x65\5"
        (heard,) = asking.say(query[:2] + b"\x84\0\0\1\0\1\0\0\0\0" + query[12:end] + record, where)
        assert b"\2\x44\x65\5" in heard
    # It was spelled so, too; and recognised without Python.
    assert b"\2De\0" in seen
    assert len(asking.left) < 10


def test_a_port_that_is_closed_reads_nothing(asking: Asking) -> None:
    assert fast is not None
    asking.ask()
    (port,) = asking.pool._lent.values()
    lane = asking.pool.way.lane(port, port.sock.fileno())
    assert lane.serve()
    asking.pool.drop(port)
    assert not lane.serve()
    with pytest.raises(TypeError):
        asking.pool.way.lane(object(), 1)
    made = fast.Relays.__new__(fast.Relays)
    with pytest.raises(TypeError, match="not made"):
        fast.PoolWay(made, asking.pool, object(), asking.pool.speller, Port)
    with pytest.raises((TypeError, AttributeError)):
        fast.PoolWay(
            asking.play.engine.driver.passing, asking.pool, object(), object(), Port
        )  # fmt: skip
