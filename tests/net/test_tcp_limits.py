"""How many connections there may be, and who gives way: the longest idle, whoever's it is.

What comes from 127.0.0.1 is this host; the other addresses of 127.0.0.0/8 stand for other hosts.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from consulfwd.net import tcp as net_tcp
from tests.loopback import OWN
from tests.net.messages import parse, question
from tests.net.world import GALERA, TcpClient, World, settings, until, world

NAME = "galeradb.service.consul"
HERE = "127.0.0.1"


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other addresses are other hosts."""
    monkeypatch.setattr(net_tcp, "client_of", lambda host, at: None if host == HERE else host)


class Crowd:
    """Connections from several addresses, in the order they were opened."""

    def __init__(self, here: World, stack: AsyncExitStack) -> None:
        self._here = here
        self._stack = stack
        self.all: list[TcpClient] = []

    async def come(self, source: str = HERE) -> TcpClient:
        """Connect; the server knows of it, if it has not refused it."""
        client = TcpClient(self._here.at, source)
        self.all.append(await self._stack.enter_async_context(client))
        await asyncio.sleep(0.01)
        return client

    async def served(self) -> list[bool]:
        """Which of them have answers."""
        return [await is_served(client) for client in self.all]


@asynccontextmanager
async def crowd(here: World) -> AsyncIterator[Crowd]:
    async with AsyncExitStack() as stack:
        yield Crowd(here, stack)


async def is_served(client: TcpClient) -> bool:
    """Return whether the server answers this client; else it has closed the connection."""
    try:
        client.send(question("localhost"))
        return parse(await client.receive()).data == ["127.0.0.1"]
    except (asyncio.IncompleteReadError, ConnectionError):
        return False


def open_at(here: World) -> int:
    (_, tcp), *_ = here.server._listening.listeners.values()
    return len(tcp.connections)


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if "refused" in one.getMessage()]


async def test_the_longest_idle_gives_way(caplog: pytest.LogCaptureFixture) -> None:
    async with world(tcp={"max_connections": 3}) as here, crowd(here) as clients:
        for source in (HERE, "127.0.0.2", HERE):
            await clients.come(source)
        # The first is not idle for the longest time any more.
        assert await is_served(clients.all[0])
        await clients.come("127.0.0.3")
        assert await clients.all[1].closed()
        assert await clients.served() == [True, False, True, True]
        await clients.come()
        assert await clients.served() == [False, False, True, True, True]
        assert open_at(here) == 3
    assert refusals(caplog) == []


async def test_who_waits_for_an_answer_does_not(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        world(agents=1, patience=1.0, tcp={"max_connections": 3}) as here,
        crowd(here) as clients,
    ):
        here.agents[0].faults.frozen = True
        for number in range(3):
            client = await clients.come()
            client.send(question(f"n{number}.service.consul", ident=number))
        await until(lambda: len(here.engine.flights) == 3)
        for _ in range(4):
            assert await (await clients.come("127.0.0.2")).closed()
        # Once: a flood must not fill the log.
        assert refusals(caplog) == [
            f"TCP connections to {OWN} refused: 1, the last one from 127.0.0.2;"
            " all 3 are busy (tcp.max_connections)"
        ]
        monkeypatch.setattr(net_tcp, "TELL_EVERY", 0.0)
        assert await (await clients.come("127.0.0.2")).closed()
        assert "refused: 4" in refusals(caplog)[1]
        here.agents[0].faults.resume()
        replies = [parse(await client.receive()) for client in clients.all[:3]]
        assert [(one.id, one.rcode) for one in replies] == [(n, "NXDOMAIN") for n in range(3)]


async def test_the_programs_of_this_host_are_many_clients() -> None:
    async with world(tcp={"max_per_client": 2}) as here, crowd(here) as clients:
        for _ in range(70):
            client = TcpClient(here.at, HERE)
            clients.all.append(await clients._stack.enter_async_context(client))
        assert await clients.served() == [True] * 70


async def test_a_client_with_its_part_gives_way_to_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        world(agents=1, patience=1.0, tcp={"max_per_client": 2}) as here,
        crowd(here) as clients,
    ):
        for source in ("127.0.0.3", "127.0.0.2", "127.0.0.2", HERE, "127.0.0.2"):
            await clients.come(source)
        assert await clients.served() == [True, False, True, True, True]
        here.agents[0].faults.frozen = True
        for number in (2, 4):
            clients.all[number].send(question(f"n{number}.service.consul"))
        await until(lambda: len(here.engine.flights) == 2)
        assert await (await clients.come("127.0.0.2")).closed()
        assert refusals(caplog) == [
            f"TCP connections to {OWN} refused: 1, the last one from 127.0.0.2;"
            " 127.0.0.2: 2 are busy (tcp.max_per_client)"
        ]
        here.agents[0].faults.resume()
        for number in (2, 4):
            assert parse(await clients.all[number].receive()).rcode == "NXDOMAIN"


@pytest.mark.parametrize("what", [b"", b"\0", b"\0\x40abc", b"\1"])
async def test_a_hostile_client_keeps_nobody_out(what: bytes) -> None:
    async with (
        world(tcp={"max_connections": 8, "max_per_client": 6}) as here,
        crowd(here) as clients,
    ):
        for _ in range(6):
            (await clients.come("127.0.0.9")).writer.write(what)
        hostile = list(clients.all)
        good = []
        for number in range(8):
            # Octets are no sign of life, only whole messages are.
            for client in hostile:
                client.writer.write(b"\1")
            good.append(await clients.come(HERE if number % 2 else f"127.0.0.{10 + number}"))
            assert await is_served(good[-1])
        assert [await is_served(client) for client in good] == [True] * 8
        assert [await client.closed() for client in hostile] == [True] * 6
        assert open_at(here) == 8


async def test_a_query_that_is_not_read_yet_is_not_lost() -> None:
    async with world(tcp={"max_connections": 6}) as here:
        packet = question("localhost")
        socks = []
        # All at once, as far as the server can see: it has no turn in between.
        for _ in range(6):
            socks.append(socket.create_connection((here.at.host, here.at.port), 5))
            socks[-1].sendall(len(packet).to_bytes(2, "big") + packet)
        late = socket.create_connection((here.at.host, here.at.port), 5)
        loop = asyncio.get_running_loop()
        try:
            for sock in [*socks, late]:
                sock.setblocking(False)
            heads = [await asyncio.wait_for(loop.sock_recv(sock, 2), 5) for sock in socks]
            assert [len(head) for head in heads] == [2] * 6
            # There was none that could give way; a moment later there is.
            assert await asyncio.wait_for(loop.sock_recv(late, 2), 5) == b""
            async with here.tcp() as client:
                assert await is_served(client)
        finally:
            for sock in [*socks, late]:
                sock.close()


async def test_a_burst_waits_for_its_turn() -> None:
    async with world(tcp={"max_connections": 4}) as here:
        packet = question("localhost")
        # The server has no turn before all of them have come.
        socks = [socket.create_connection((here.at.host, here.at.port), 2) for _ in range(200)]
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(0.05)
            last = socks[-1]
            last.setblocking(False)
            await loop.sock_sendall(last, len(packet).to_bytes(2, "big") + packet)
            assert await asyncio.wait_for(loop.sock_recv(last, 2), 5)
            assert open_at(here) == 4
        finally:
            for sock in socks:
                sock.close()


async def test_a_reply_that_is_not_read_yet_is_not_lost() -> None:
    async with world(tcp={"max_connections": 2}) as here, crowd(here) as clients:
        (_, tcp), *_ = here.server._listening.listeners.values()
        first = await clients.come()
        (connection,) = tcp.connections
        transport = connection._transport
        assert transport is not None
        # It cannot be sent now, as to a client that does not read.
        monkey = pytest.MonkeyPatch()
        with monkey.context() as patch:
            patch.setattr(transport, "get_write_buffer_size", lambda: 1)
            await clients.come()
            await clients.come("127.0.0.2")
        assert await clients.all[1].closed()
        assert await is_served(first)


async def test_fewer_after_a_reload() -> None:
    async with world() as here, crowd(here) as clients:
        for _ in range(5):
            await clients.come()
        await here.server.reload(settings(here.cluster, tcp={"max_connections": 2}))
        assert await clients.served() == [True] * 5
        await clients.come()
        assert await clients.served() == [False] * 4 + [True] * 2


async def test_many_that_come_at_once_take_no_more_places_than_there_are() -> None:
    async with world(tcp={"max_connections": 6}) as here:
        async with crowd(here) as clients:
            for _ in range(6):
                await is_served(await clients.come("127.0.0.2"))
            late = [TcpClient(here.at, "127.0.0.3") for _ in range(3)]
            await asyncio.gather(*(client.__aenter__() for client in late))
            assert [await is_served(client) for client in late] == [True] * 3
            assert open_at(here) == 6
            for client in late:
                await client.__aexit__()
        assert (await here.ask(NAME, tcp=True)).data == GALERA


