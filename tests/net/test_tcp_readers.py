"""Clients that let many long answers pile up: work and memory are bounded, and all of them come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from sys import getsizeof
from typing import Any

import pytest

from consulfwd.dns import replies
from consulfwd.dns import turns as dns_turns
from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.turns import in_turn
from consulfwd.dns.wire import Query
from consulfwd.net import tcp_service
from consulfwd.net.connection import ServerConnection
from consulfwd.net.tcp import READ
from tests.net.messages import parse, question
from tests.net.world import TcpClient, World, until, world

BIG = "big.service.consul"


def register(here: World, instances: int, ttl: int) -> None:
    for number in range(instances):
        address = f"10.1.{number >> 8}.{number & 255}"
        here.cluster.catalog.register("big", id=f"b{number}", node=f"n{number}", address=address)
    here.cluster.dns.service_ttl = ttl


def many(count: int, qtype: str = "A") -> list[bytes]:
    packet = question(BIG, qtype)[2:]
    return [number.to_bytes(2, "big") + packet for number in range(count)]


async def received(client: TcpClient, count: int) -> list[bytes]:
    return [await client.receive() for _ in range(count)]


async def the_connection(here: World) -> ServerConnection:
    (_, tcp), *_ = here.server._listening.listeners.values()
    await until(lambda: len(tcp.connections))
    (connection,) = tcp.connections
    return connection


@pytest.mark.parametrize(("qtype", "instances"), [("A", 600), ("SRV", 300)])
async def test_a_long_answer_is_read_once_a_second(
    qtype: str, instances: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Counter[int] = Counter()
    read_whole = 0

    def read(*args: Any) -> Iterator[bytes]:
        made[here.engine.warmth.epoch] += 1
        return in_turn(*args)

    def spelled(*args: Any, **how: Any) -> Message:
        nonlocal read_whole
        read_whole += 1
        return assemble_message(*args, **how)

    async with world() as here, here.tcp() as client:
        register(here, instances, ttl=60)
        whole = await here.ask(BIG, qtype, tcp=True)
        assert len(whole.answers) == instances
        monkeypatch.setattr(tcp_service, "in_turn", read)
        monkeypatch.setattr(dns_turns, "assemble_message", spelled)
        client.send(*many(2000, qtype))
        got = await received(client, 2000)
        assert [reply[:2] for reply in got] == [n.to_bytes(2, "big") for n in range(2000)]
        assert set(made.values()) == {1}
        # What can be put in order is found out once, not even that each second.
        assert read_whole <= (qtype == "SRV")
        assert parse(got[-1]).data == whole.data


async def test_what_is_ready_is_what_the_cache_has() -> None:
    async with world() as here, here.tcp() as client:
        register(here, 40, ttl=60)

        async def asked() -> list[tuple[set[int], int]]:
            client.send(*many(4))
            found = [parse(reply) for reply in await received(client, 4)]
            return [(one.ttls, len(one.answers)) for one in found]

        await here.ask(BIG, tcp=True)
        assert await asked() == [({60}, 40)] * 4
        # TTLs go down while it is asked for,
        here.skip(10)
        assert await asked() == [({50}, 40)] * 4
        # and what leaves the cache is given no more.
        here.cluster.catalog.register("big", id="new", node="new", address="10.2.0.1")
        here.engine.cache.clear()
        assert await asked() == [({60}, 41)] * 4
        await until(lambda: here.engine.flights == {})


async def test_what_came_again_within_a_second_is_not_as_old_as_before() -> None:
    async with world(agents=1, patience=1.0) as here, here.tcp() as client:
        register(here, 1, ttl=60)

        async def ttl() -> int:
            client.send(question(BIG))
            (found,) = parse(await client.receive()).ttls
            return found

        assert await ttl() == 60
        here.skip(61)
        # From here on its octets are known.
        assert await ttl() == 60
        here.skip(59.2)
        assert [await ttl(), await ttl()] == [1, 1]
        # The same octets, asked for again before the second is over.
        asked = len(here.asked())
        here._clock.offset += 0.9
        assert [await ttl(), await ttl(), await ttl()] == [60, 60, 60]
        assert len(here.asked()) == asked + 1


async def test_what_is_ready_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_service, "MAX_READY", 20_000)
    async with world() as here, here.tcp() as client:
        register(here, 40, ttl=60)
        (_, tcp), *_ = here.server._listening.listeners.values()
        service = tcp.service
        most = 0
        for number in range(100):
            for ident in range(2):
                client.send(question(BIG, edns=1000 + number, ident=ident))
                reply = parse(await client.receive())
                assert (len(reply.answers), reply.id) == (40, ident)
            most = max(most, len(service._ready))
        # Each takes 1 KB, and four times its 640 octets.
        assert most == 5


@pytest.mark.parametrize("ttl", [0, 60])
@pytest.mark.parametrize("half_closed", [False, True])
async def test_a_late_reader_has_them_all(ttl: int, half_closed: bool) -> None:
    async with world() as here, here.tcp() as client:
        register(here, 1000, ttl)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(*many(1000))
        if half_closed:
            await client.writer.drain()
            client.writer.write_eof()
        connection = await the_connection(here)
        await until(lambda: connection._blocked, patience=20)
        transport = connection._transport
        assert transport is not None
        # What has its answer waits unmade: there are 100 of them in flight, of 16 KB each.
        assert transport.get_write_buffer_size() < 65_536 + 2 * 16_100
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        got = await received(client, 1000)
        assert Counter(reply[:2] for reply in got) == Counter(one[:2] for one in many(1000))
        assert {len(reply) for reply in got} == {len(got[0])}
        if half_closed:
            assert await client.closed()


async def test_queries_that_wait_their_turn_stay_what_was_sent() -> None:
    async with world(agents=1, patience=2.0, query={"deadline": 5.0}) as here, here.tcp() as client:
        here.agents[0].faults.frozen = True
        client.send(*many(9000))
        connection = await the_connection(here)
        pending = here.server.settings.tcp.max_pending
        await until(lambda: connection._pending == pending and connection._backlog)
        held = sum(map(getsizeof, (*connection._backlog, connection._reader._buffer)))
        assert held < 1.5 * READ
        here.agents[0].faults.resume()
        got = await received(client, 9000)
        assert Counter(reply[:2] for reply in got) == Counter(one[:2] for one in many(9000))


async def test_an_error_at_one_that_waits_unmade_costs_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(patience=1.0) as here, here.tcp() as client:
        register(here, 1000, ttl=0)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(*many(1000))
        connection = await the_connection(here)
        await until(lambda: len(connection._unsent) > 10, patience=20)
        waiter, _ = connection._unsent[3]
        respond = replies.respond
        told: list[object] = []

        def fails(query: Query, ident: bytes, message: Message, limit: int, **how: Any) -> bytes:
            if ident == waiter.client_id and message.answers:
                raise RuntimeError("a mishap")
            return respond(query, ident, message, limit, **how)

        monkeypatch.setattr(replies, "respond", fails)
        here.engine.loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        got = await received(client, 1000)
        assert Counter(reply[:2] for reply in got) == Counter(one[:2] for one in many(1000))
        failed = [reply[:2] for reply in got if reply[3] & 15]
        assert failed == [waiter.client_id]
        assert told == ["an answer could not be given"]


async def test_an_error_at_what_is_ready_costs_one_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as here, here.tcp() as client:
        register(here, 40, ttl=60)
        await here.ask(BIG, tcp=True)
        rotations = dns_turns.rotations
        calls = 0
        told: list[object] = []

        def fails_once(*args: Any) -> Iterator[bytes]:
            nonlocal calls
            for order in rotations(*args):
                calls += 1
                if calls == 3:
                    raise RuntimeError("a mishap")
                yield order

        monkeypatch.setattr(dns_turns, "rotations", fails_once)
        here.engine.loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        client.send(*many(10))
        got = [parse(reply) for reply in await received(client, 10)]
        assert [(one.id, one.rcode) for one in got if one.rcode != "NOERROR"] == [(2, "SERVFAIL")]
        assert {len(one.answers) for one in got} == {0, 40}
        assert len(told) == 1
