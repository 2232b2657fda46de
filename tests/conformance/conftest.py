"""One running server for each module of these tests, and a client that counts replies.

Whatever a test asks goes over sockets; the server, the agent and the recursor it asks run in the
test's own process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from tests.conformance.octets import A, Reply, query, read
from tests.conformance.upstream import Upstream
from tests.net.world import TcpClient, UdpClient, World, world

# Asked behind a query: whatever comes before the answer to this is all there was to come.
LAST = query("last.test", A)[2:]


class Served:
    """A server with one recursor that follows scripts, and a development agent."""

    def __init__(self, here: World, upstream: Upstream, client: UdpClient) -> None:
        self.here = here
        self.upstream = upstream
        self._client = client
        self._last = 0

    async def all_replies(self, packet: bytes) -> list[bytes]:
        """Return every datagram a datagram is answered with."""
        client = self._client
        client.send(packet)
        replies = []
        if len(packet) < 12 or packet[2] & 0x80:
            return await self._until_last()
        replies.append(await client.receive())
        return replies + await self._until_last()

    async def _until_last(self) -> list[bytes]:
        self._last = 0xF000 | self._last + 1 & 0xFFF
        ident = self._last.to_bytes(2, "big")
        self._client.send(ident + LAST)
        replies = []
        while (reply := await self._client.receive())[:2] != ident:
            replies.append(reply)
        return replies

    async def silent(self, packet: bytes) -> bool:
        """Return whether a datagram gets no reply at all."""
        self._client.send(packet)
        return await self._until_last() == []

    async def ask(self, packet: bytes, *, times: int = 1) -> Reply:
        """Return the one reply to a query over UDP, to its letter a reply to that.

        Asked `times` over, the same has to come from wherever it comes then (upstream, cache, hot
        table); the last is returned.
        """
        found: Reply | None = None
        for _ in range(times):
            (data,) = await self.all_replies(packet)
            reply = answered(packet, data)
            assert found is None or found.timeless == reply.timeless
            found = reply
        assert found is not None
        return found

    async def ask_tcp(self, packet: bytes) -> Reply:
        """Return the reply to a query over a TCP connection of its own."""
        async with self.here.tcp() as client:
            client.send(packet)
            return answered(packet, await client.receive())

    def tcp(self) -> TcpClient:
        """A TCP connection to the server."""
        return self.here.tcp()


def answered(packet: bytes, data: bytes) -> Reply:
    """Return a reply that is one to this query: its ID, opcode and, if readable, its question."""
    reply = read(data)
    assert data[:2] == packet[:2]
    assert reply.opcode == packet[2] >> 3 & 15
    if reply.question:
        assert reply.question == packet[12 : 12 + len(reply.question)]
    return reply


@asynccontextmanager
async def serving(**sections: Any) -> AsyncIterator[Served]:
    """Run a server with what it asks; `sections` as in its settings."""
    # Nobody here is slow: what is waited for comes, or is meant not to.
    sections.setdefault("query", {"deadline": 2.0, "recursor_deadline": 2.0})
    async with Upstream() as upstream:
        upstream.on("last.test", lambda asked: asked.nothing())
        sections.setdefault("recursors", [upstream.place])
        async with world(agents=1, patience=1.0, **sections) as here, here.udp() as client:
            yield Served(here, upstream, client)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Served]:
    """The module's server."""
    async with serving() as found:
        yield found


@pytest.fixture
def brief(served: Served) -> Iterator[None]:
    """The module's server waits for a good reply no longer than there is any use in here."""
    table = served.here.engine.table
    before = table.deadline, table.recursor_deadline
    table.deadline = table.recursor_deadline = 0.25
    yield
    table.deadline, table.recursor_deadline = before
