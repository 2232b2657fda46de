"""How long a connection is kept, for clients that ask (RFC 7828)."""

from __future__ import annotations

from contextlib import AsyncExitStack

import dns.edns
import dns.message
import dns.rcode
import pytest

from tests.net.messages import parse, question
from tests.net.world import GALERA, TcpClient, UdpClient, World, settings, until, world

NAME = "galeradb.service.consul"
KEEPALIVE = dns.edns.OptionType(11)
ECS = dns.edns.ECSOption("192.0.2.0", 24)


def asking(name: str = NAME, data: bytes = b"", ident: int | None = None) -> bytes:
    """A query that asks how long the connection is kept, or says it."""
    return question(name, options=[ECS, dns.edns.GenericOption(KEEPALIVE, data)], ident=ident)


async def told(client: TcpClient | UdpClient, packet: bytes) -> tuple[str, float | None]:
    """What a query is replied, and for how many seconds the connection is kept."""
    client.send(packet)
    reply = dns.message.from_wire(await client.receive())
    found = [one for one in reply.options if one.otype == KEEPALIVE]
    rcode = dns.rcode.to_text(reply.rcode())
    if not found:
        return rcode, None
    (option,) = found
    data = option.to_wire()
    assert data is not None
    assert len(data) == 2
    return rcode, int.from_bytes(data, "big") / 10


def agents_down(here: World) -> None:
    for agent in here.agents:
        agent.faults.frozen = True


async def test_who_asks_is_told() -> None:
    async with world() as here, here.tcp() as client:
        assert await told(client, asking()) == ("NOERROR", 10.0)
        # Whatever the answer is, and wherever it comes from.
        assert await told(client, asking("localhost")) == ("NOERROR", 10.0)
        assert await told(client, asking("none.service.consul")) == ("NXDOMAIN", 10.0)
        assert await told(client, question(NAME)) == ("NOERROR", None)
        assert await told(client, question(NAME, edns=None)) == ("NOERROR", None)
        assert await told(client, question(NAME, options=[ECS])) == ("NOERROR", None)
        await here.server.reload(settings(here.cluster, tcp={"idle_timeout": 2.25}))
        assert await told(client, asking()) == ("NOERROR", 2.2)


async def test_answers_from_the_cache_stale_ones_and_errors_tell_it_too() -> None:
    async with world(query={"deadline": 0.3}) as here, here.tcp() as client:
        here.cluster.dns.service_ttl = 60
        for _ in range(4):
            client.send(asking())
            reply = await client.receive()
            assert dns.message.from_wire(reply).options[0].otype == KEEPALIVE
            assert (parse(reply).data, parse(reply).ttls) == (GALERA, {60})
        assert here.counters.cached == 3
        here.skip(70)
        agents_down(here)
        client.send(asking())
        stale = dns.message.from_wire(await client.receive())
        assert [int(one.otype) for one in stale.options] == [15, 11]
        assert await told(client, asking("web.service.consul")) == ("SERVFAIL", 10.0)


async def test_over_udp_nothing_is_told_or_wrong() -> None:
    async with world() as here, here.udp() as client:
        for data in (b"", b"\0\x64"):
            assert await told(client, asking(data=data)) == ("NOERROR", None)


@pytest.mark.parametrize("data", [b"\0\0", b"\0\x64", b"\1"])
async def test_a_client_that_says_it_is_malformed(data: bytes) -> None:
    async with world() as here, here.tcp() as client:
        client.send(asking(data=data, ident=7))
        reply = parse(await client.receive())
        assert (reply.id, reply.rcode, reply.name, reply.edns) == (7, "FORMERR", NAME + ".", 1232)
        assert here.counters.forwarded == 0
        assert await told(client, asking()) == ("NOERROR", 10.0)


async def test_the_fewer_places_are_left_the_shorter_it_is() -> None:
    async with world(tcp={"max_connections": 10}) as here, AsyncExitStack() as stack:
        seconds = []
        for _ in range(10):
            client = await stack.enter_async_context(here.tcp())
            seconds.append((await told(client, asking("localhost")))[1])
        # The last place is not for one more program of this host: the longest idle one gave way.
        assert seconds == [10.0] * 5 + [8.0, 6.0, 4.0, 2.0, 2.0]


async def test_it_is_kept_as_long_as_was_told() -> None:
    limits = {"idle_timeout": 60.0, "max_connections": 4}
    async with world(tcp=limits) as here, AsyncExitStack() as stack:
        (_, tcp), *_ = here.server._listening.listeners.values()
        for left, kept in ((60.0, 60.0), (60.0, 60.0), (30.0, 30.0), (0.0, 1.0)):
            client = await stack.enter_async_context(here.tcp())
            assert (await told(client, asking("localhost")))[1] == left
            connection = list(tcp.connections)[-1]
            # From its next query on too, which does not ask.
            for _ in range(2):
                assert (await told(client, question("localhost")))[1] is None
                timer = connection._deadline
                assert timer is not None
                ahead = timer.when() - here.engine.loop.time()
                assert kept - 0.9 < ahead <= kept


async def test_who_has_yet_to_read_is_not_idle() -> None:
    limits = {"idle_timeout": 60.0, "max_connections": 1}
    async with world(tcp=limits) as here, here.tcp() as client:
        (_, tcp), *_ = here.server._listening.listeners.values()
        assert (await told(client, asking("localhost")))[1] == 0.0
        (connection,) = tcp.connections

        def left() -> float:
            assert connection._deadline is not None
            return connection._deadline.when() - here.engine.loop.time()

        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(question("localhost"))
        await until(lambda: here.counters.queries == 2)
        assert left() <= 1.0
        # As when more is on its way than it reads.
        connection.pause_writing()
        assert 59.0 < left() <= 60.0
        connection.resume_writing()
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await client.receive()
        assert await told(client, question("localhost")) == ("NOERROR", None)
        assert left() <= 1.0
