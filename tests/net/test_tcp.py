"""The TCP listener (RFC 7766): pipelining, slow and silent clients, every limit."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from consulfwd.net import tcp as net_tcp
from consulfwd.net.tcp import TURN, ServerConnection
from tests.net.messages import parse, question
from tests.net.world import GALERA, TcpClient, World, until, world

NAME = "galeradb.service.consul"


def numbered(name: str, ident: int, qtype: str = "A") -> bytes:
    return question(name, qtype, ident=ident)


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
        began = time.monotonic()
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
                assert time.monotonic() - began < 2
                if connections(here) == 0:
                    break
            assert await closing
            assert 0.14 < time.monotonic() - began < 2
            assert connections(here) == 0


async def test_a_connection_that_waits_for_us_is_not_idle() -> None:
    async with world(tcp={"idle_timeout": 0.1}, patience=1.0) as here, here.tcp() as client:
        here.agents[0].faults.any.delay.on(0.35, count=1)
        client.send(question(NAME))
        assert parse(await client.receive()).data == GALERA


async def test_a_client_that_leaves_is_not_missed() -> None:
    async with world(patience=1.0) as here:
        here.agents[0].faults.any.delay.on(0.05)
        async with here.tcp() as client:
            client.send(*(numbered(f"n{ident}.{NAME}", ident) for ident in range(150)))
            await until(lambda: len(here.engine.flights) == 100)
        await until(lambda: connections(here) == 0)
        await until(lambda: not here.engine.flights)
        assert (await here.ask(NAME)).data == GALERA


async def test_no_more_connections_than_allowed() -> None:
    async with world(tcp={"max_connections": 3}) as here:
        clients = [here.tcp() for _ in range(5)]
        try:
            for client in clients[:4]:
                await client.__aenter__()
            assert [await is_served(client) for client in clients[:4]] == [True, True, True, False]
            clients[0].writer.close()
            await until(lambda: connections(here) == 2)
            await clients[4].__aenter__()
            assert await is_served(clients[4])
        finally:
            for client in clients:
                await client.__aexit__()


async def test_no_more_connections_from_one_client_than_allowed() -> None:
    async with world(tcp={"max_per_client": 2}) as here:
        served = []
        writers = []
        for source in ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2"):
            client = here.tcp()
            client.reader, client.writer = await asyncio.open_connection(
                here.at.host, here.at.port, local_addr=(source, 0)
            )
            writers.append(client.writer)
            served.append((source, await is_served(client)))
        assert served == [
            ("127.0.0.1", True),
            ("127.0.0.1", True),
            ("127.0.0.1", False),
            ("127.0.0.2", True),
        ]
        for writer in writers:
            writer.transport.abort()
        await until(lambda: connections(here) == 0)


async def test_many_idle_connections_keep_nobody_out() -> None:
    async with world(tcp={"max_connections": 4, "max_per_client": 3}) as here:
        served = []
        clients = []
        for source in (2, 2, 3, 2, 4, 5, 2):
            client = here.tcp()
            client.reader, client.writer = await asyncio.open_connection(
                here.at.host, here.at.port, local_addr=(f"127.0.0.{source}", 0)
            )
            clients.append(client)
            served.append(await is_served(client))
        # The fifth and the sixth took a place of the first one's; it may not take it back.
        assert served == [True] * 6 + [False]
        assert connections(here) == 4
        assert [await is_served(client) for client in clients].count(True) == 4
        for client in clients:
            client.writer.transport.abort()
        await until(lambda: connections(here) == 0)


async def test_many_that_come_at_once_take_no_more_places_than_there_are() -> None:
    async with world(tcp={"max_connections": 6, "max_per_client": 6}) as here:
        clients = [TcpClient(here.at, f"127.0.0.{2 if number < 6 else 3}") for number in range(9)]
        try:
            for client in clients[:6]:
                await client.__aenter__()
                assert await is_served(client)
            await asyncio.gather(*(client.__aenter__() for client in clients[6:]))
            assert [await is_served(client) for client in clients[6:]] == [True] * 3
            assert connections(here) == 6
        finally:
            for client in clients:
                await client.__aexit__()


async def test_one_connections_burst_leaves_others_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(net_tcp, "TURN_LASTS", 60.0)
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
    monkeypatch.setattr(net_tcp, "TURN_LASTS", 0.0)
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


async def test_a_client_that_never_reads_costs_a_bounded_amount() -> None:
    async with world(tcp={"idle_timeout": 0.3}) as here:
        for number in range(200):
            here.cluster.catalog.register(
                "big", id=f"b{number}", node=f"n{number}", node_address="10.1.0.1", port=number + 1
            )
        here.cluster.dns.service_ttl = 60
        async with here.tcp() as client:
            packets = [numbered("big.service.consul", ident, "SRV") for ident in range(3000)]
            client.send(*packets)
            (_, tcp), *_ = here.server._listening.listeners.values()
            await until(lambda: tcp.connections)
            (connection,) = tcp.connections
            transport = connection._transport
            assert transport is not None
            await until(lambda: transport.is_closing() or connection._blocked)
            # What was in flight on it when it filled up may wait there, not all that was asked.
            whole = await here.ask("big.service.consul", "SRV", tcp=True)
            assert len(whole.answers) == 200
            assert transport.get_write_buffer_size() <= (100 + 1) * (whole.size + 2) + 65536
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
