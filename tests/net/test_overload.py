"""More than there is room for: what is quick is answered, what nobody answers gives way."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import dns.message
import dns.rrset
import pytest

from consulfwd.core.room import Room
from consulfwd.dns.message import read_reply
from consulfwd.dns.names import from_text
from consulfwd.net import channels, table, udp_base
from consulfwd.net import loop as own_loop
from consulfwd.net import upstream as exchange
from consulfwd.net.pool import PortPool
from tests.loopback import OWN
from tests.net.messages import parse, question
from tests.net.recursor import Recursor
from tests.net.test_recursors import off_host
from tests.net.world import GALERA, until, world

GOOD = {(f"n{number}.test", "A"): [f"A 192.0.2.{number}"] for number in range(110)}
NAME = "galeradb.service.consul"
QTAIL = b"\0\1\0\1"


def answer_to(name: str) -> bytes:
    """A reply with one address."""
    reply = dns.message.make_response(dns.message.make_query(name, "A", use_edns=False))
    reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "A", "10.0.0.1"))
    return reply.to_wire()


def only_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is relayed to servers off the host: lookups are counted from the first on."""
    monkeypatch.setattr(PortPool, "relay", lambda *_: False)


@pytest.mark.parametrize("on_host", [False, True], ids=["off the host", "on the host"])
async def test_a_zone_nobody_answers_costs_other_names_nothing(
    on_host: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "MAX_SOCKETS", 400)
    monkeypatch.setattr(exchange, "WINDOW", 1500)
    monkeypatch.setattr(table, "MAX_OUTSIDE", 300)
    async with Recursor(GOOD) as recursor, world(recursor) as here, here.udp() as client:
        recursor.dead_labels = ("dead",)
        if not on_host:
            off_host(here)
        assert (await here.ask("n0.test")).data == ["192.0.2.0"]
        dead, good = 1000, 0
        answered: dict[int, Any] = {}

        async def all_but(behind: int) -> None:
            while good - len(answered) > behind:
                reply = parse(await client.receive())
                if reply.id < 1000:
                    answered[reply.id] = (reply.rcode, reply.data, reply.ede)

        for turn in range(150):
            # As many a second as fill the room many times within a deadline.
            for number in range(5):
                client.send(question(f"d{turn}-{number}.dead", ident=dead))
                dead += 1
            if turn >= 50:
                good += 1
                client.send(question(f"n{good}.test", ident=good))
            await asyncio.sleep(0.01)
            # On a busy machine not as many a second as that are to be had.
            await all_but(10)
        await all_but(0)
        assert answered == {
            number: ("NOERROR", [f"192.0.2.{number}"], []) for number in range(1, good + 1)
        }


@pytest.mark.parametrize("by", ["lookups", "relays"])
async def test_each_that_gave_way_has_its_reply(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if by == "lookups":
        monkeypatch.setattr(table, "MAX_OUTSIDE", 20)
        only_lookups(monkeypatch)
    else:
        monkeypatch.setattr(channels, "MAX_SOCKETS", 20)
    async with (
        Recursor(GOOD) as recursor,
        world(recursor, query={"deadline": 0.6, "recursor_deadline": 0.6}) as here,
        here.udp() as client,
    ):
        off_host(here)
        recursor.silent = True
        for number in range(20):
            client.send(question(f"n{number}.test", ident=number))
        await until(lambda: len(here.engine.flights) == 20)
        # Nobody has been there for long: the new ones are refused.
        client.send(question("n30.test", ident=30))
        assert (parse(await client.receive()).rcode, here.counters.failed) == ("SERVFAIL", 1)
        await asyncio.sleep(0.25)
        for number in range(40, 45):
            client.send(question(f"n{number}.test", ident=number))
        early = [parse(await client.receive()) for _ in range(5)]
        # The oldest of the second half; the first half runs to its end.
        assert {one.id for one in early} == set(range(10, 15))
        assert all("gave way" in one.ede[0][1] for one in early)
        late = [parse(await client.receive()).id for _ in range(20)]
        assert sorted(late) == [*range(10), *range(15, 20), *range(40, 45)]
        # That there was no room says nothing of the name.
        recursor.silent = False
        assert (await here.ask("n12.test")).data == ["192.0.2.12"]


async def test_everything_outside_being_slow_is_not_felt_in_consul(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "MAX_OUTSIDE", 3)
    only_lookups(monkeypatch)
    www = {("www.test", "A"): ["A 192.0.2.1"]}
    async with Recursor({**GOOD, **www}, ttl=1) as recursor, world(recursor) as here:
        off_host(here)
        assert (await here.ask("www.test")).data == ["192.0.2.1"]
        here.skip(3)
        recursor.silent = True
        async with here.udp() as client:
            for number in range(5):
                client.send(question(f"n{number}.test", ident=number))
            refused = [parse(await client.receive()) for _ in range(2)]
            assert [(one.id, one.rcode) for one in refused] == [(3, "SERVFAIL"), (4, "SERVFAIL")]
            assert (await here.ask(NAME)).data == GALERA
            stale = await here.ask("www.test", edns=1232)
            assert (stale.data, stale.ede[0][0]) == (["192.0.2.1"], 3)
            monkeypatch.setattr(table, "MAX_FLIGHTS", 0)
            assert (await here.ask("web.service.consul")).rcode == "SERVFAIL"


@pytest.mark.parametrize("relayed", [True, False])
async def test_many_equal_questions_answered_at_once_hold_nobody_up(
    relayed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 2000
    async with world() as here, here.udp() as client, here.udp() as other:
        await here.ask("web.service.consul")  # the way is known
        for agent in here.agents:
            agent.faults.frozen = True
        if not relayed:
            # A lookup has taken over by then.
            client.send(question(NAME, ident=0))
            await asyncio.sleep(0.2)
        for number in range(1, many):
            client.send(question(NAME, ident=number))
            if number % 100 == 0:
                await asyncio.sleep(0)
        await until(lambda: any(one.waiting() > many / 2 for one in here.engine.flights.values()))
        turns: list[int] = []
        delivery = here.engine.table.delivery
        give = delivery.give

        def noted(waiters: Any, tell: Any) -> None:
            turns.append(len(waiters))
            give(waiters, tell)

        monkeypatch.setattr(delivery, "give", noted)
        for agent in here.agents:
            agent.faults.frozen = False
        await until(lambda: bool(turns))
        # While they are being told, somebody else asks, and is answered before the last of them.
        other.send(question("consul.service.consul", ident=7))
        assert parse(await other.receive()).id == 7
        assert delivery.rounds or client.waiting < many
        await until(lambda: client.waiting >= max(turns))


async def test_so_many_wait_for_one_answer_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_WAITERS", 3)
    async with world() as here, here.udp() as client:
        for agent in here.agents:
            agent.faults.frozen = True
        for number in range(4):
            client.send(question(NAME, ident=number))
        assert (parse(await client.receive()).id, here.counters.failed) == (3, 1)


@pytest.mark.parametrize(
    ("many", "other"),
    [
        (["192.0.2.7"] * 5, "192.0.2.8"),
        ([f"2001:db8:0:1::{number}" for number in range(5)], "2001:db8:0:2::1"),
    ],
    ids=["IPv4", "IPv6"],
)
async def test_so_many_of_one_client_off_the_host_wait(
    many: list[str], other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp_base, "MAX_PER_CLIENT", 3)
    networks = {"allow": ["192.0.2.0/24", "2001:db8::/32"]}
    async with world(access=networks, query={"deadline": 0.3}) as here:
        ((listener, _),) = here.server._listening.listeners.values()
        listener.on_host = False
        sent: list[tuple[Any, Any]] = []
        monkeypatch.setattr(listener, "send", lambda reply, peer: sent.append((reply, peer)))
        for agent in here.agents:
            agent.faults.frozen = True
        for number, host in enumerate(many):
            listener.query(question(f"n{number}.service.consul"), "a", host)
        listener.query(question("n0.service.consul"), "b", other)
        assert [peer for _, peer in sent] == ["a", "a"]
        assert {parse(reply).ede[0][0] for reply, _ in sent} == {0}
        # What is at hand is given all the same.
        here.engine.cache.put(
            here.engine.front.questions.prepare(question("hot.service.consul")).key,
            read_reply(answer_to("hot.service.consul"), from_text("hot.service.consul") + QTAIL),
            here.engine.clock.now(),
            "a test",
        )
        listener.query(question("hot.service.consul"), "c", many[-1])
        assert (sent[-1][1], parse(sent[-1][0]).rcode) == ("c", "NOERROR")
        # Names outside Consul are counted apart.
        listener.query(question("www.test"), "d", many[-1])
        assert (sent[-1][1], parse(sent[-1][0]).ede[0][0]) == ("d", 22)
        await until(lambda: len(sent) == 8)
        assert listener.waiting == {}


async def test_one_at_whom_an_error_happens_is_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(access={"allow": ["192.0.2.0/24"]}) as here:
        ((listener, _),) = here.server._listening.listeners.values()
        listener.on_host = False
        sent: list[Any] = []
        failing = iter([True])

        def send(reply: bytes, peer: Any) -> None:
            if next(failing, False):
                raise RuntimeError
            sent.append(peer)

        monkeypatch.setattr(listener, "send", send)
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, one: told.append(one))
        for peer in "ab":
            listener.query(question(NAME), peer, "192.0.2.7")
        await until(lambda: sorted(sent) == ["a", "b"])
        assert (listener.waiting, len(told)) == ({}, 1)


async def test_recursors_do_not_take_the_sockets_of_agents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "MAX_SOCKETS", 20)
    async with Recursor(GOOD) as recursor, world(recursor) as here, here.udp() as client:
        here.engine.channels.retain(set())
        for upstream in here.engine.upstreams():
            upstream.on_host = False
        recursor.silent = True
        for number in range(40):
            client.send(question(f"n{number}.test", ident=number))
        await until(lambda: len(recursor.asked) >= 20)
        assert (await here.ask(NAME)).data == GALERA


async def test_an_idle_connection_gives_way_to_one_that_is_needed() -> None:
    async with (
        Recursor(GOOD) as one,
        Recursor(GOOD) as two,
        world(
            forward={"a.test": [f"{OWN}:{one.port}"], "b.test": [f"{OWN}:{two.port}"]},
            query={"recursor_deadline": 1.0},
        ) as here,
    ):
        here.engine.channels.use(2)
        for recursor in (one, two):
            recursor.truncate = True
        for name in ("n.a.test", "n.b.test", "m.a.test", "m.b.test"):
            assert (await here.ask(name)).rcode == "NXDOMAIN"
            await until(lambda: len(one._writers) + len(two._writers) == 1)
        # One that is waited on stays, until nobody waits any more.
        one.deaf_stream = True
        waiting = asyncio.ensure_future(here.ask("o.a.test"))
        await until(lambda: "tcp" in [each.transport for each in one.asked if "o.a" in each.name])
        assert (await here.ask("o.b.test")).rcode == "NXDOMAIN"
        await waiting
        assert len(one._writers) + len(two._writers) == 1


async def test_those_who_wait_for_a_server_that_dies_have_one_reply_each() -> None:
    """What becomes of one question shows that the port is closed, for all others too."""
    names = [f"n{number}.test" for number in range(1, 9)]
    async with Recursor(GOOD) as recursor, world(recursor) as here, here.udp() as client:
        assert (await here.ask("n0.test")).data == ["192.0.2.0"]
        recursor.silent = True
        for ident, name in enumerate(names):
            client.send(question(name, ident=ident))
        await until(lambda: len(recursor.asked) == 9)
        await recursor.stop()
        replies = [parse(await client.receive()) for _ in names]
        assert sorted(one.id for one in replies) == list(range(8))
        await asyncio.sleep(0.5)
        assert client.waiting == 0


def test_what_upstreams_say_comes_before_what_clients_ask() -> None:
    loop = own_loop.ServerLoop()
    order: list[str] = []
    pairs = [socket.socketpair(type=socket.SOCK_DGRAM) for _ in range(4)]
    try:
        for number, (near, far) in enumerate(pairs):
            name = f"{'upstream' if number % 2 else 'client'} {number}"

            def read(near: socket.socket = near, name: str = name) -> None:
                near.recv(10)
                order.append(name)

            loop.watch(near, read, first=bool(number % 2))
            far.send(b"x")
        loop.call_later(0.05, loop.stop)
        loop.run_forever()
    finally:
        for near, far in pairs:
            loop.unwatch(near)
            near.close()
            far.close()
        loop.close()
    assert [one.split()[0] for one in order] == ["upstream"] * 2 + ["client"] * 2


def test_half_of_a_room_is_kept_the_other_half_gives_way() -> None:
    room: Room[str] = Room(4)
    for at, key in enumerate("abcd"):
        room.take(key, float(at))
    assert room.full
    assert room.oldest() == ["a", "c"]
    assert room.gives_way(2.1) is None
    assert room.gives_way(2.2) == "c"
    room.give_back("a")
    room.give_back("nobody")
    assert (len(room), room.full) == (3, False)
    room.take("e", 5.0)
    room.give_back("c")
    assert room.oldest() == ["b", "d"]
