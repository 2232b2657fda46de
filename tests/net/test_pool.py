"""Ports lent to one query at a time: when one is used again, when given up, what comes by it."""

from __future__ import annotations

import errno
import random
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from consulfwd.core.attempts import Attempt
from consulfwd.core.upstreams import Upstream
from consulfwd.net import lending
from consulfwd.net import pool as pools
from consulfwd.net import ports as shared
from consulfwd.net.channel import BUFFER_FULL, FALSE_REPLY, OTHER_ID, OUR_SHORTAGE, TOO_MANY
from consulfwd.net.lending import FORGET_AFTER
from consulfwd.net.pool import PortPool
from consulfwd.net.ports import LIFE, PORTS, USES, Ports, connected
from consulfwd.net.waiter import Waiter
from tests.loopback import OWN
from tests.net.world import open_sockets

TAIL = b"\1\0\0\1\0\0\0\0\0\0\3www\4test\0\0\1\0\1"


class Wire:
    """A socket as the pool sees it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent: list[bytes] = []
        self.inbox: deque[bytes | OSError] = deque()
        self.fails: deque[OSError] = deque()
        self.closed = False
        self.readable: Callable[[], None]

    def send(self, data: bytes) -> None:
        assert not self.closed
        if self.fails:
            raise self.fails.popleft()
        self.sent.append(data)

    def recv(self, size: int) -> bytes:
        if not self.inbox:
            raise BlockingIOError
        found = self.inbox.popleft()
        if isinstance(found, OSError):
            raise found
        return found[:size]

    def close(self) -> None:
        self.closed = True

    @property
    def ident(self) -> bytes:
        return self.sent[-1][:2]

    def comes(self, what: bytes | OSError) -> None:
        self.inbox.append(what)
        self.readable()


class World:
    """A pool, the sockets it opened, and what its owner was told."""

    passing = None

    def __init__(self, size: int = 400) -> None:
        self.now = 100.0
        self.wires: list[Wire] = []
        self.told: list[tuple[Any, ...]] = []
        self.opening: deque[OSError] = deque()
        self.upstream = Upstream("there", "192.0.2.53", 53, is_agent=False)
        self.ports = Ports()
        self.ports.room.size = size
        self.timers: list[Callable[[], None]] = []
        self.true = True
        self.woken = 0
        loop: Any = SimpleNamespace(call_later=self._later)
        owner: Any = self
        self.clock = SimpleNamespace(now=lambda: self.now)
        self.pool = PortPool(self.upstream, loop, owner, self.ports, self._awake)
        self.pool.speller.on = False

    def _later(self, pause: float, call: Callable[[], None]) -> Any:
        self.timers.append(call)
        return SimpleNamespace(cancel=lambda: self.timers.remove(call))

    def _awake(self, pool: PortPool) -> None:
        self.woken += 1

    # As their owner.

    def on_reply(self, attempt: Attempt, data: bytes) -> bool:
        if data[2:] == b"false":
            return False
        self.told.append(("reply", data[2:]))
        attempt.result = "NOERROR"
        return True

    def on_relayed(self, relay: Waiter, data: bytes, now: float) -> bool:
        if data[2:] == b"false":
            self.taken_over(relay)
            return False
        self.told.append(("relayed", data[2:]))
        return True

    def on_drained(self, sample: Waiter, relayed: int, now: float) -> None:
        self.told.append(("drained", relayed))

    def taken_over(self, relay: Waiter) -> Attempt:
        attempt = self.attempt()
        self.pool.adopt(relay.ident, attempt)
        relay.ident = b""
        return attempt

    def on_relay_stray(self, relay: Waiter, reason: str) -> None:
        self.on_stray(self.taken_over(relay), reason)

    def on_relay_gave_way(self, relay: Waiter) -> None:
        self.told.append(("relay gave way",))

    def on_relay_failed(self, relay: Waiter, reason: str, *, refused: bool) -> None:
        self.told.append(("relay failed", refused))

    def on_relay_due(self, relay: Waiter) -> None:
        self.taken_over(relay)
        self.told.append(("due",))

    def on_failure(self, attempt: Attempt, reason: str, *, refused: bool) -> None:
        self.told.append(("failed", reason, refused))

    def on_stray(self, attempt: Attempt, reason: str) -> None:
        self.told.append(("stray", reason))
        attempt.strays += 1
        if attempt.strays == 5:
            attempt.result = "too many false replies"

    def on_unasked(self, count: int) -> None:
        self.told.append(("unasked", count))

    def on_gave_way(self, attempt: Attempt) -> None:
        self.told.append(("gave way",))

    def on_broken(self, item: object, error: Exception) -> None:
        raise error

    def flush(self) -> None:
        pass

    # What a test does.

    def attempt(self, *, over: bool = False) -> Attempt:
        lookup: Any = SimpleNamespace(outcome=object() if over else None)
        return Attempt(lookup, self.upstream, False, self.now, "")

    def waiter(self) -> Waiter:
        waiter = Waiter(None)  # type: ignore[arg-type]
        waiter.upstream, waiter.sent_at = self.upstream, self.now
        return waiter

    def ask(self) -> Wire:
        """Send one, by whichever socket."""
        before = [len(wire.sent) for wire in self.wires]
        assert self.pool.send(self.attempt(), TAIL) is None
        grown = zip(self.wires, [*before, 0], strict=False)
        (wire,) = (wire for wire, count in grown if len(wire.sent) > count)
        return wire

    def answered(self) -> Wire:
        wire = self.ask()
        wire.comes(wire.ident + b"true")
        return wire

    @property
    def open(self) -> int:
        return sum(not wire.closed for wire in self.wires)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()

    def opened(upstream: Upstream) -> Wire:
        if world.opening:
            raise world.opening.popleft()
        world.wires.append(Wire(len(world.wires)))
        return world.wires[-1]

    monkeypatch.setattr(pools, "connected", opened)
    monkeypatch.setattr(
        pools, "watch", lambda loop, wire, call, first, lane: setattr(wire, "readable", call)
    )
    monkeypatch.setattr(lending, "unwatch", lambda loop, wire: None)
    yield world
    world.pool.close()
    assert world.open == len(world.ports) == 0
    assert not world.timers


def full(here: World) -> None:
    """Have as many ports at hand as queries are spread over."""
    for _ in range(PORTS):
        here.answered()
    here.told.clear()


def test_at_first_each_query_has_a_port_of_its_own(here: World) -> None:
    assert len({here.answered().number for _ in range(PORTS)}) == PORTS
    # Then one of those, by chance, that are there.
    assert here.answered().number < PORTS
    assert here.open == PORTS == here.woken


def test_which_one_a_query_leaves_by_is_chance(here: World) -> None:
    full(here)
    used = Counter(here.answered().number for _ in range(PORTS * 40))
    # Ports worn out are replaced: of 40 each, none is left out and none preferred.
    assert len(used) >= PORTS
    assert max(used.values()) <= USES
    order = [here.answered().number for _ in range(200)]
    steps = Counter(after - before for before, after in pairwise(order))
    assert max(steps.values()) < 30


def test_a_port_is_used_so_often_and_for_so_long(here: World) -> None:
    full(here)
    for _ in range(PORTS * USES * 2):
        here.answered()
    assert max(len(wire.sent) for wire in here.wires) == USES
    # At the very end of its time no more.
    begun, here.now = here.now, here.now + LIFE
    assert here.answered().number == len(here.wires) - 1
    assert here.now == begun + LIFE
    here.now -= 0.001
    # It is chosen by chance, and may be one that has been used so often by now.
    last = here.answered()
    assert last.closed is (len(last.sent) == USES)


def test_those_worn_out_are_closed_without_a_query(here: World) -> None:
    full(here)
    here.now += LIFE - 0.001
    assert here.pool.sweep(here.now)
    assert here.open == PORTS
    here.now += 0.001
    assert not here.pool.sweep(here.now)
    assert here.open == 0


def test_one_query_at_a_time(here: World) -> None:
    rng = random.Random(1)
    waiting: list[Wire] = []
    for _ in range(3000):
        if rng.random() < 0.5 and len(waiting) < 90:
            wire = here.ask()
            assert wire not in waiting
            waiting.append(wire)
        elif waiting:
            wire = waiting.pop(rng.randrange(len(waiting)))
            wire.comes(wire.ident + b"true")
    # No ID is used twice by a port, nor by two at once.
    for wire in here.wires:
        idents = [one[:2] for one in wire.sent]
        assert len(set(idents)) == len(idents)


@pytest.mark.parametrize("kind", ["attempt", "relay"])
def test_another_id_is_waited_past_and_the_port_given_up(here: World, kind: str) -> None:
    full(here)
    if kind == "attempt":
        wire = here.ask()
    else:
        assert here.pool.relay(here.waiter(), TAIL)
        wire = max(here.wires, key=lambda one: len(one.sent))
    wrong = bytes((wire.ident[0] ^ 1, wire.ident[1]))
    wire.comes(wrong + b"true")
    assert here.told == [("stray", OTHER_ID)]
    assert not wire.closed
    wire.comes(wire.ident + b"true")
    assert here.told[1:] == [("reply", b"true")]
    assert wire.closed
    assert here.open == PORTS - 1
    here.timers.clear()
    here.pool._timer = None


@pytest.mark.parametrize("data", [b"", b"\0"])
def test_what_has_no_id_is_none_either(here: World, data: bytes) -> None:
    full(here)
    wire = here.ask()
    wire.comes(data)
    assert here.told == [("stray", OTHER_ID)]
    wire.comes(wire.ident + b"true")
    assert wire.closed


def test_a_relay_that_is_answered_as_another_falls_due_is_not_told_of(here: World) -> None:
    first, second = here.waiter(), here.waiter()
    assert here.pool.relay(first, TAIL)
    assert here.pool.relay(second, TAIL)

    def told(relay: Waiter) -> None:
        here.told.append(("due", relay is first))
        here.pool.forget(first)
        here.pool.forget(second)

    here.on_relay_due = told  # type: ignore[method-assign]
    here.now += 10
    here.timers.pop()()
    assert here.told == [("due", True)]
    assert here.open == 0


def test_after_too_many_of_them_nothing_comes_by_the_port(here: World) -> None:
    wire = here.ask()
    wrong = bytes((wire.ident[0] ^ 1, wire.ident[1]))
    for _ in range(5):
        assert not wire.closed
        wire.comes(wrong + b"true")
    assert wire.closed
    assert here.told == [("stray", OTHER_ID)] * 5


def test_a_reply_to_another_question_costs_the_port_too(here: World) -> None:
    wire = here.ask()
    wire.comes(wire.ident + b"false")
    wire.comes(wire.ident + b"true")
    assert here.told == [("stray", FALSE_REPLY), ("reply", b"true")]
    assert wire.closed


def test_what_comes_while_nothing_is_asked_costs_the_port(here: World) -> None:
    wire = here.answered()
    wire.comes(b"xxtrue")
    assert here.told == [("reply", b"true"), ("unasked", 1)]
    assert wire.closed


def test_a_reply_said_twice_is_held_against_nobody(here: World) -> None:
    full(here)
    wire = here.wires[0]
    first = wire.ident
    while here.ask() is not wire:
        pass
    wire.comes(first + b"again")
    assert here.told == [("unasked", 1)]
    wire.comes(wire.ident + b"true")
    assert here.told == [("unasked", 1), ("reply", b"true")]
    assert wire.closed


def test_who_is_not_there(here: World) -> None:
    wire = here.ask()
    wire.comes(ConnectionRefusedError(errno.ECONNREFUSED, ""))
    assert here.told == [("failed", "connection refused", True)]
    assert wire.closed
    here.ask().comes(OSError(errno.EHOSTUNREACH, ""))
    assert here.told[1:] == [("failed", "no route to host", False)]


def test_what_became_of_a_port_at_hand_is_not_the_fate_of_the_next_query(here: World) -> None:
    full(here)
    for wire in here.wires:
        wire.fails.append(ConnectionRefusedError(errno.ECONNREFUSED, ""))
    wire = here.ask()
    assert not here.told
    assert wire.number == PORTS
    assert here.open == PORTS


def test_no_more_descriptors(here: World) -> None:
    here.opening.append(OSError(errno.EMFILE, ""))
    failure = here.pool.send(here.attempt(), TAIL)
    assert failure in OUR_SHORTAGE
    assert len(here.ports) == 0
    # With ports at hand there is no need of one.
    full(here)
    here.opening.extend(OSError(errno.EMFILE, "") for _ in range(3))
    here.answered()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EAGAIN])
def test_where_no_port_can_be_opened_one_of_few_at_hand_will_do(here: World, code: int) -> None:
    """EAGAIN is what connect says where all of ip_local_port_range is taken."""
    first, second = here.ask(), here.ask()
    for wire in (first, second):
        wire.comes(wire.ident + b"true")
    here.opening.extend(OSError(code, "") for _ in range(9))
    assert {here.ask(), here.ask()} == {first, second}
    assert here.pool.send(here.attempt(), TAIL) in OUR_SHORTAGE
    # One at hand that is of no use any more leaves a descriptor.
    first.comes(first.ident + b"true")
    first.fails.append(ConnectionRefusedError(errno.ECONNREFUSED, ""))
    here.opening.clear()
    here.opening.append(OSError(code, ""))
    assert here.ask().number == 2


def test_a_full_buffer_is_no_sign_of_anything(here: World) -> None:
    full(here)
    for wire in here.wires:
        wire.fails += [BlockingIOError(errno.EAGAIN, "")] * 2
    assert here.pool.send(here.attempt(), TAIL) == BUFFER_FULL
    assert not here.pool.relay(here.waiter(), TAIL)
    assert here.open == PORTS
    assert not here.told


def test_idle_ports_make_room_first_then_who_is_not_waited_for(here: World) -> None:
    here.ports.room.size = 8
    idle = [here.answered() for _ in range(4)]
    # A quarter of all may be at hand.
    assert [wire.closed for wire in idle] == [False, False, True, True]
    busy = [here.ask() for _ in range(8)]
    assert here.open == 8
    assert here.pool.send(here.attempt(), TAIL) == TOO_MANY
    here.now += 0.2
    here.ask()
    # The oldest of the second half.
    assert here.told[4:] == [("gave way",)]
    assert [wire.closed for wire in busy] == [False] * 4 + [True] + [False] * 3
    port = next(iter(here.pool._lent.values()))
    assert isinstance(port.item, Attempt)
    port.item.lookup.outcome = object()  # type: ignore[assignment]
    here.ask()
    assert here.told[5:] == []


def test_nobody_gives_way_to_a_relay(here: World) -> None:
    here.ports.room.size = 2
    for _ in range(2):
        assert here.pool.relay(here.waiter(), TAIL)
    here.now += 0.2
    assert not here.pool.relay(here.waiter(), TAIL)
    assert here.told == []
    # But one does to a lookup.
    here.ask()
    assert here.told == [("relay gave way",)]


def test_relays(here: World) -> None:
    relays = [here.waiter() for _ in range(4)]
    for relay in relays:
        assert here.pool.relay(relay, TAIL)
    assert [wire.ident for wire in here.wires] == [relay.ident for relay in relays]
    here.wires[0].comes(here.wires[0].ident + b"true")
    assert here.told == [("relayed", b"true"), ("drained", 1)]
    # A false reply: a lookup waits on by the same port.
    here.wires[1].comes(here.wires[1].ident + b"false")
    assert not here.wires[1].closed
    here.wires[1].comes(here.wires[1].ident + b"true")
    assert here.told[2:] == [("reply", b"true")]
    assert here.wires[1].closed
    here.pool.forget(relays[2])
    assert here.wires[2].closed
    # The one timer there is wakes for who is late by then, and again for who came later.
    (look,) = here.timers
    here.timers.clear()
    here.now += here.upstream.hedge_after() - 0.001
    late = here.waiter()
    assert here.pool.relay(late, TAIL)
    here.now += 0.002
    look()
    assert here.told[3:] == [("due",)]
    assert len(here.timers) == 1
    here.wires[3].comes(ConnectionRefusedError(errno.ECONNREFUSED, ""))
    assert here.told[4:] == [("failed", "connection refused", True)]


def test_late_replies_are_waited_for_so_long(here: World) -> None:
    attempt = here.attempt(over=True)
    here.pool.send(attempt, TAIL)
    here.now += FORGET_AFTER - 0.001
    assert here.pool.sweep(here.now)
    here.now += 0.001
    assert not here.pool.sweep(here.now)
    assert here.open == 0


def test_ports_are_the_kernels_choice() -> None:
    """That is what the account of what has to be guessed counts on."""
    upstream = Upstream("here", "127.0.0.1", 9, is_agent=False)
    found: list[int] = []
    for _ in range(1500):
        with connected(upstream) as sock:
            assert sock.getblocking() is False
            found.append(sock.getsockname()[1])
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    many = high - low + 1
    assert all(low <= port <= high for port in found)
    # Spread over all of the range: no eighth has less than half or more than double its part.
    eighths = Counter((port - low) * 8 // many for port in found)
    assert all(1500 / 16 < eighths[part] < 1500 / 4 for part in range(8))
    steps = Counter((after - before) % many for before, after in pairwise(found))
    assert max(steps.values()) < 10
    assert len(set(found)) > 1300


def test_a_connected_socket_hears_nobody_else() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(
        type=socket.SOCK_DGRAM
    ) as other:
        server.bind((OWN, 0))
        upstream = Upstream("here", OWN, server.getsockname()[1], is_agent=False)
        with connected(upstream) as sock:
            other.sendto(b"forged", sock.getsockname())
            server.sendto(b"true", sock.getsockname())
            assert sock.recv(100) == b"true"


def test_a_port_with_no_address_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_sockets()
    monkeypatch.setattr(shared, "socket_address", lambda *_: ("255.255.255.255", 9))
    with pytest.raises(OSError, match="denied"):
        connected(Upstream("here", "192.0.2.1", 9, is_agent=False))
    assert open_sockets() == before
