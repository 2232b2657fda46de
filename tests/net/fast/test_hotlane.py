"""The lane of what is hot: any datagram, any state of what it looks at; Python has what is left."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace as Held
from typing import Any

import pytest

from consulfwd.net import _fast
from consulfwd.net.clock import Clock, usual_now

REPLY = b"\x81\x80\0\1\0\0\0\0\0\0\1x\0\0\1\0\1"
HOT = b"\1\0\0\1\0\0\0\0\0\0\1x\0\0\1\0\1"


class World:
    """A lane, its socket, and a client's."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.sock.setblocking(False)
        self.client = socket.socket(family, socket.SOCK_DGRAM)
        self.client.connect(self.sock.getsockname())
        self.client.setblocking(False)
        self.batch = _fast.Batch(self.sock)
        self.answers: dict[bytes, Callable[[], bytes]] = {HOT: _fast.Ready([REPLY])}
        self.ending: dict[bytes, _fast.Ready] = {}
        self.access = Held(networks=("all",), limiter=Held(own_host=False))
        self.warmth = Held(good_until=float("inf"))
        self.clock = Clock()
        self.counters = Held(hot=0, queries=0)
        self.lane = _fast.HotLane(
            self.batch, self.answers, self.ending, self.access, self.warmth, self.clock,
            usual_now, self.counters,
        )  # fmt: skip
        self.lane.trusted = self.access.networks

    def close(self) -> None:
        self.sock.close()
        self.client.close()

    def replies(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.client.recv(65535))
            except BlockingIOError:
                return found

    def ask(self, *datagrams: bytes) -> tuple[bool, list[int], list[bytes]]:
        """Return whether nothing is left, what is, and the replies."""
        for one in datagrams:
            self.client.send(one)
        # It has just been read: all there are are looked for.
        self.batch.looked = 1 << 62
        return self.lane.serve(), self.lane.take(), self.replies()


@pytest.fixture(params=["127.0.0.1", "::1"])
def there(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(request.param)
    yield made
    made.close()


def test_what_is_hot_is_answered_and_the_rest_is_left(there: World) -> None:
    assert there.ask() == (True, [], [])
    assert there.ask(b"\1\2" + HOT) == (True, [], [b"\1\2" + REPLY])
    other = b"\3\4" + HOT[:-1] + b"\2"
    done, left, replies = there.ask(other, b"\5\6" + HOT, other, b"\7\0" + HOT)
    assert (done, left, replies) == (False, [0, 2], [b"\5\6" + REPLY, b"\7\0" + REPLY])
    assert [there.batch.message(index) for index in left] == [other, other]
    assert (there.counters.hot, there.counters.queries) == (3, 3)
    assert there.answers[HOT].hits == 3  # type: ignore[attr-defined]


def test_many_at_once(there: World) -> None:
    sent = [number.to_bytes(2, "big") + HOT for number in range(200)]
    done, left, replies = there.ask(*sent)
    assert (done, left, replies) == (True, [], [one[:2] + REPLY for one in sent])


def test_an_idle_socket_is_read_one_at_a_time_and_a_busy_one_whole(there: World) -> None:
    now = 100.0
    there.clock.now = lambda: now
    there.batch.looked = 0
    seen = []
    for _ in range(12):
        for number in range(3):
            there.client.send(bytes((0, number)) + HOT)
        now += 0.001
        assert there.lane.serve()
        seen.append(len(there.replies()))
    # Who comes late each time does not fall behind: after some everything is looked for.
    assert seen == [1] * 8 + [3 * 9 - 8, 3, 3, 3]
    for _ in range(3):
        there.client.send(b"\1\2" + HOT)
        now += 0.001
        assert there.lane.serve()
        assert len(there.replies()) == 1
    for _ in range(2):
        there.client.send(b"\1\2" + HOT)
    now += 0.001
    assert there.lane.serve()
    assert len(there.replies()) == 1
    now += 0.0002
    assert there.lane.serve()
    assert len(there.replies()) == 1


HOSTILE = [
    b"", b"a", b"ab", b"abc", bytes(12), b"\1\2" + HOT[:-1], b"\1\2" + HOT + b"\0",
    HOT, bytes(255), bytes(256), bytes(257), bytes(258), bytes(4095), bytes(4096), bytes(4097),
    bytes(9000), b"\1\2" + HOT + bytes(4096), bytes(65000),
]  # fmt: skip


def test_hostile_datagrams_are_left_as_they_came(there: World) -> None:
    for one in HOSTILE:
        assert there.ask(one) == (False, [0], [])
        assert there.batch.message(0) == one[:4096]
    assert there.ask(*HOSTILE) == (False, [*range(len(HOSTILE))], [])
    assert (there.counters.hot, there.counters.queries) == (0, 0)


def test_a_datagram_longer_than_the_block_can_be_hot(there: World) -> None:
    for size in (255, 256, 257, 258, 259, 4096):
        datagram = random.Random(size).randbytes(size)
        there.answers[datagram[2:]] = lambda: REPLY
        assert there.ask(datagram) == (True, [], [datagram[:2] + REPLY])
    # Nothing behind the two octets is a datagram, too.
    there.answers[b""] = lambda: REPLY
    assert there.ask(b"ab", b"ab") == (True, [], [b"ab" + REPLY] * 2)


def test_random_datagrams(there: World) -> None:
    rng = random.Random(64)
    hot = []
    for _ in range(60):
        batch = []
        for _ in range(rng.randrange(1, 65)):
            ident = rng.randbytes(2)
            if rng.random() < 0.5:
                batch.append(ident + HOT)
                hot.append(ident + REPLY)
            else:
                batch.append(rng.randbytes(rng.choice((0, 1, 2, 5, 17, 40, 300))))
        done, left, replies = there.ask(*batch)
        assert done is (not left)
        assert [batch[index] for index in left] == [one for one in batch if one[2:] != HOT]
        assert replies == [one[:2] + REPLY for one in batch if one[2:] == HOT]
    assert there.counters.hot == there.counters.queries == len(hot)



def late_by_a_clock(there: World) -> None:
    there.warmth.good_until = 1e9
    there.clock.now = lambda: 1e9


CLOSED: dict[str, Callable[[World], object]] = {
    "nobody has opened it": lambda there: setattr(there.lane, "trusted", None),
    "others may ask now": lambda there: setattr(there.access, "networks", ("none",)),
    "all are limited": lambda there: setattr(there.access.limiter, "own_host", True),
    "it is late": lambda there: setattr(there.warmth, "good_until", time.monotonic() - 1e6),
    "it is late by a test's clock": late_by_a_clock,
}


@pytest.mark.parametrize("why", CLOSED)
def test_closed_it_receives_nothing(why: str, there: World) -> None:
    CLOSED[why](there)
    assert there.ask(b"\1\2" + HOT) == (False, [], [])
    assert there.sock.recv(100) == b"\1\2" + HOT
    there.lane.trusted = there.access.networks
    there.access.limiter.own_host = False
    there.warmth.good_until = 1e9 + 1
    assert there.ask(b"\1\2" + HOT)[0]


def test_what_ends_within_the_second_is_given_to_its_end(there: World) -> None:
    there.clock.now = lambda: 50.0
    ready = there.ending[HOT] = _fast.Ready([REPLY])
    del there.answers[HOT]
    assert there.ask(b"\1\2" + HOT) == (False, [0], [])
    ready.until = 50.001
    assert there.ask(b"\1\2" + HOT) == (True, [], [b"\1\2" + REPLY])
    ready.until = 50.0
    assert there.ask(b"\1\2" + HOT) == (False, [0], [])
    there.ending[HOT] = lambda: REPLY  # type: ignore[assignment]
    assert there.ask(b"\1\2" + HOT) == (False, [0], [])


def test_an_answer_that_fails_is_left_to_python(there: World) -> None:
    turns = iter([REPLY])
    there.answers[HOT] = turns.__next__
    assert there.ask(b"\1\2" + HOT, b"\3\4" + HOT) == (False, [1], [b"\1\2" + REPLY])
    there.answers[HOT] = lambda: "no bytes"  # type: ignore[assignment,return-value]
    assert there.ask(b"\1\2" + HOT) == (False, [0], [])
    # What no datagram holds is not sent.
    there.answers[HOT] = lambda: bytes(65535)
    assert there.ask(b"\1\2" + HOT) == (True, [], [])


def test_what_it_looks_at_may_be_missing(there: World) -> None:
    limiter = there.access.limiter
    for owner, name in (
        (there.access, "networks"), (there.access, "limiter"), (limiter, "own_host"),
        (there.warmth, "good_until"), (there.counters, "hot"), (there.counters, "queries"),
    ):  # fmt: skip
        value = owner.__dict__.pop(name)
        with pytest.raises(AttributeError, match=name):
            there.ask(b"\1\2" + HOT)
        owner.__dict__[name] = value
    there.warmth.good_until = "never"
    with pytest.raises(TypeError):
        there.ask(b"\1\2" + HOT)
    there.warmth.good_until = float("inf")

    def stops() -> float:
        raise OSError("no clock")

    there.clock.now = stops
    with pytest.raises(OSError, match="no clock"):
        there.ask()
    there.clock.now = usual_now
    there.replies()
    assert there.ask(b"\1\2" + HOT)[0]


def test_a_closed_socket(there: World) -> None:
    there.client.send(b"\1\2" + HOT)
    there.batch.close()
    assert (there.lane.serve(), there.lane.take()) == (False, [])


def test_what_it_is_made_of(there: World) -> None:
    pairs: list[tuple[Any, Any, Any]] = [
        (None, {}, {}), (there.batch, None, {}), (there.batch, {}, []),
        (_fast.Batch(there.sock, named=False), {}, {}),
    ]  # fmt: skip
    for wrong in pairs:
        with pytest.raises((TypeError, ValueError)):
            _fast.HotLane(*wrong, there.access, there.warmth, there.clock, None, there.counters)
    assert there.lane.taker is None
    with pytest.raises(TypeError, match="taker"):
        there.lane.taker = object()  # type: ignore[assignment]
    there.lane.taker = None
    with pytest.raises(TypeError):
        _fast.Lane()
    with pytest.raises(TypeError):
        _fast.Taker()
