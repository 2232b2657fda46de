"""Connections of clients (RFC 7766): pipelining, slow and silent ones, those that end badly."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct

import pytest

from consulfwd.net import connection as net_connection
from consulfwd.net.connection import TURN, ServerConnection
from tests.coreless import our_time
from tests.net.messages import parse, question
from tests.net.world import GALERA, TcpClient, World, until, world

NAME = "galeradb.service.consul"


def numbered(name: str, ident: int, qtype: str = "A") -> bytes:
    return question(name, qtype, ident=ident)


def many(name: str, count: int, qtype: str = "A") -> list[bytes]:
    """Queries for one name with IDs from 0 on, over and over."""
    packet = numbered(name, 0, qtype)[2:]
    return [(number & 0xFFFF).to_bytes(2, "big") + packet for number in range(count)]


async def is_served(client: TcpClient) -> bool:
    """Return whether the server answers this client or closes the connection."""
    client.send(question("localhost"))
    try:
        return parse(await client.receive()).data == ["127.0.0.1"]
    except (asyncio.IncompleteReadError, ConnectionError):
        return False


def connections(here: World) -> int:
    (_, tcp), *_ = here.server._listening.listeners.values()
    return len(tcp.connections)


def big(here: World, ttl: int, instances: int = 200) -> None:
    """A service with a long answer."""
    for number in range(instances):
        here.cluster.catalog.register(
            "big", id=f"b{number}", node=f"n{number}", node_address="10.1.0.1", port=number + 1
        )
    here.cluster.dns.service_ttl = ttl


async def test_replies_come_as_they_are_ready() -> None:
    async with world(patience=1.0) as here, here.tcp() as client:
        here.agents[0].faults.any.delay.on(0.1, count=1)
        client.send(numbered(NAME, 1), numbered("web.service.consul", 2), numbered("localhost", 3))
        replies = [parse(await client.receive()) for _ in range(3)]
        assert [(one.id, one.data) for one in replies] == [
            (3, ["127.0.0.1"]),
            (2, ["10.0.20.11", "10.0.20.12"]),
            (1, GALERA),
        ]


async def test_one_octet_at_a_time() -> None:
    packet = numbered(NAME, 7)
    async with world() as here, here.tcp() as client:
        for octet in len(packet).to_bytes(2, "big") + packet:
            client.writer.write(bytes([octet]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert parse(await client.receive()).data == GALERA


async def test_queries_that_share_segments_are_told_apart() -> None:
    packets = [numbered(NAME, 1), numbered("localhost", 2), numbered(NAME, 3)]
    stream = b"".join(len(one).to_bytes(2, "big") + one for one in packets)
    second = 2 + len(packets[0])
    async with world() as here, here.tcp() as client:
        (_, tcp), *_ = here.server._listening.listeners.values()
        await until(lambda: len(tcp.connections))
        (connection,) = tcp.connections
        # One and a half in the first, within the second's length too; the rest in another.
        for cut in (second + 1, second + 2, second + 20, len(stream)):
            for part in (stream[:cut], stream[cut:]):
                connection.data_received(part)
            replies = [parse(await client.receive()) for _ in range(3)]
            assert {(one.id, tuple(one.data)) for one in replies} == {
                (1, tuple(GALERA)), (2, ("127.0.0.1",)), (3, tuple(GALERA)),
            }  # fmt: skip


async def test_one_id_for_two_queries_is_the_clients_own_affair() -> None:
    async with world(patience=1.0) as here, here.tcp() as client:
        here.agents[0].faults.any.delay.on(0.05, count=2)
        client.send(numbered(NAME, 1), numbered("web.service.consul", 1))
        replies = [parse(await client.receive()) for _ in range(2)]
        assert {one.name for one in replies} == {NAME + ".", "web.service.consul."}
        assert {one.id for one in replies} == {1}


async def test_more_queries_than_there_are_ids() -> None:
    async with world() as here, here.tcp() as client:
        asked = many("localhost", 65_536 + 100)
        client.send(*asked)
        one = len(await client.receive())
        stream = await client.reader.readexactly((len(asked) - 1) * (one + 2))
        answered = [stream[at + 2 : at + 4] for at in range(0, len(stream), one + 2)]
        assert answered == [packet[:2] for packet in asked[1:]]


@pytest.mark.parametrize("when", ["in flight", "unread", "half a query"])
async def test_a_reset_hurts_nobody_else(when: str, caplog: pytest.LogCaptureFixture) -> None:
    async with world(patience=1.0) as here, here.tcp() as other:
        if when == "unread":
            big(here, ttl=60)
        else:
            here.agents[0].faults.any.delay.on(0.1)
        name = "big.service.consul" if when == "unread" else NAME
        client = here.tcp()
        await client.__aenter__()
        client.send(*many(name, 3000, "SRV"))
        client.writer.write(b"\0\x40abc")
        other.send(numbered(NAME, 7))
        (_, tcp), *_ = here.server._listening.listeners.values()
        if when == "unread":
            await until(lambda: any(one._blocked for one in tcp.connections))
        elif when == "in flight":
            await until(lambda: here.engine.flights)
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        assert parse(await other.receive()).data == GALERA
        await until(lambda: connections(here) == 1)
        await until(lambda: not here.engine.flights)
        assert (await here.ask(NAME)).data == GALERA
    said = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert [one for one in said if "no recursors" not in one] == []


async def test_what_came_before_the_end_of_sense_is_answered() -> None:
    async with world(patience=1.0) as here, here.tcp() as client:
        here.agents[0].faults.any.delay.on(0.1, count=1)
        asked = here.counters.queries
        # A message without length is none: nothing behind it is read.
        client.send(numbered(NAME, 1), b"", numbered("localhost", 2))
        assert parse(await client.receive()).data == GALERA
        assert await client.closed()
        assert here.counters.queries == asked + 2


async def test_a_half_closed_connection_still_gets_its_replies() -> None:
    async with world() as here, here.tcp() as client:
        client.send(*(numbered(NAME, ident) for ident in range(20)))
        client.writer.write(b"\0")  # and the beginning of one more
        client.writer.write_eof()
        replies = [parse(await client.receive()) for _ in range(20)]
        assert {(one.id, tuple(one.data)) for one in replies} == {
            (ident, tuple(GALERA)) for ident in range(20)
        }
        assert await client.closed()


@pytest.mark.parametrize("what", ["nothing", "half", "dripping", "served"])
async def test_an_idle_connection_is_closed(what: str) -> None:
    async with world(tcp={"idle_timeout": 0.15}) as here:
        # Before the server can have seen anything: it must not be earlier than we are.
        began = our_time()
        async with here.tcp() as client:
            if what == "served":
                assert await is_served(client)
            if what == "half":
                client.writer.write(b"\0\x40abc")
            closing = asyncio.ensure_future(client.closed())
            while what == "dripping" and not closing.done():
                # Octets alone are no sign of life: only whole messages are.
                client.writer.write(b"\1")
                await asyncio.sleep(0.03)
                assert our_time() - began < 2
                if connections(here) == 0:
                    break
            assert await closing
            assert 0.14 < our_time() - began < 2
            assert connections(here) == 0


async def test_a_connection_that_waits_for_us_is_not_idle() -> None:
    async with world(tcp={"idle_timeout": 0.1}, patience=1.0) as here, here.tcp() as client:
        here.agents[0].faults.any.delay.on(0.35, count=1)
        client.send(question(NAME))
        assert parse(await client.receive()).data == GALERA


async def test_a_client_that_leaves_is_not_missed() -> None:
    async with world(patience=1.0) as here:
        here.agents[0].faults.any.delay.on(0.3)
        async with here.tcp() as client:
            client.send(*(numbered(f"n{ident}.{NAME}", ident) for ident in range(150)))
            await until(lambda: len(here.engine.flights) == 100)
        await until(lambda: connections(here) == 0)
        await until(lambda: not here.engine.flights)
        assert (await here.ask(NAME)).data == GALERA


async def test_one_connections_burst_leaves_others_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(net_connection, "TURN_LASTS", 60.0)
    async with world() as here, here.tcp(), here.tcp():
        assert (await here.ask(NAME, tcp=True)).data == GALERA
        (_, tcp), *_ = here.server._listening.listeners.values()
        await until(lambda: len(tcp.connections) == 2)
        first, second = tcp.connections
        taken: list[str] = []

        def turns(connection: ServerConnection, who: str) -> None:
            query = connection._query

            def noted(data: bytes) -> None:
                taken.append(who)
                query(data)

            connection._query = noted  # type: ignore[method-assign]

        turns(first, "a")
        turns(second, "b")
        burst = b"".join(
            len(one).to_bytes(2, "big") + one for one in [numbered("x.localhost", 1)] * 1000
        )
        first.data_received(burst)
        second.data_received(burst[:200])
        few = 200 // (len(burst) // 1000)
        # What the burst did not get done at once waits for its next turn, then it is the other's.
        assert taken == ["a"] * TURN
        await until(lambda: len(taken) == 1000 + few)
        assert taken == ["a"] * 2 * TURN + ["b"] * few + ["a"] * (1000 - 2 * TURN)


async def test_a_turn_is_short_when_its_queries_are_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(net_connection, "TURN_LASTS", 0.0)
    async with world() as here, here.tcp() as client:
        assert await is_served(client)
        (_, tcp), *_ = here.server._listening.listeners.values()
        (connection,) = tcp.connections
        packet = numbered("x.localhost", 1)
        asked = here.counters.queries
        connection.data_received((len(packet).to_bytes(2, "big") + packet) * 5)
        assert here.counters.queries == asked + 1
        for _ in range(5):
            assert parse(await client.receive()).data == ["127.0.0.1"]
        assert not tcp.turns


async def test_nothing_is_read_behind_what_ends_a_connection() -> None:
    async with world() as here, here.tcp() as client:
        asked = here.counters.queries
        client.writer.write(bytes(200_000))
        assert await client.closed()
        assert here.counters.queries == asked + 1


async def test_no_more_queries_in_flight_than_allowed() -> None:
    async with (
        world(agents=1, patience=1.0, tcp={"max_pending": 3}) as here,
        here.tcp() as client,
        here.tcp() as other,
    ):
        faults = here.agents[0].faults
        faults.frozen = True
        client.send(*(numbered(f"n{ident}.service.consul", ident) for ident in range(10)))
        await until(lambda: faults.holding == 3)
        # Others are not held up by it, nor is what needs no agent.
        assert await is_served(other)
        assert faults.holding == 3
        faults.resume()
        replies = [parse(await client.receive()) for _ in range(10)]
        assert sorted(one.id for one in replies) == list(range(10))
        assert {one.rcode for one in replies} == {"NXDOMAIN"}


@pytest.mark.parametrize("ttl", [0, 60])
async def test_a_client_that_never_reads_costs_a_bounded_amount(ttl: int) -> None:
    async with world(tcp={"idle_timeout": 0.3}) as here:
        big(here, ttl)
        async with here.tcp() as client:
            client.send(*many("big.service.consul", 3000, "SRV"))
            (_, tcp), *_ = here.server._listening.listeners.values()
            await until(lambda: tcp.connections)
            (connection,) = tcp.connections
            transport = connection._transport
            assert transport is not None
            await until(lambda: transport.is_closing() or connection._blocked)
            # One reply more than fits may wait there, not all that was asked, or was in flight.
            whole = await here.ask("big.service.consul", "SRV", tcp=True)
            assert len(whole.answers) == 200
            assert transport.get_write_buffer_size() <= whole.size + 2 + 65536
            assert (await here.ask(NAME)).data == GALERA
            # Most of it is work, on a machine that may have other work.
            await until(lambda: connections(here) == 0, patience=30)
        assert (await here.ask(NAME, tcp=True)).data == GALERA
        assert here.counters.queries < 3000


async def test_garbage_on_a_stream() -> None:
    rng = random.Random(21)
    async with world(tcp={"idle_timeout": 0.3}) as here:
        for _ in range(60):
            async with here.tcp() as client:
                client.writer.write(rng.randbytes(rng.randrange(1, 3000)))
        for packet in (b"", b"\0\1", question("x")[:2] + b"\x81" + question("x")[3:]):
            async with here.tcp() as client:
                client.send(packet)
                assert await client.closed()
        async with here.tcp() as client:
            client.send(question("x")[:12], numbered(NAME, 5))
            assert (await client.receive())[3] & 15 == 1
            assert parse(await client.receive()).data == GALERA
        await until(lambda: connections(here) == 0)
