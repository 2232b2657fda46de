"""Asks one server many queries at once: so many are open at a time, over UDP and TCP.

What comes back is bytes behind the ID, or None. Peers may be asked a second time where a datagram
is lost; the server that is tested is not: it owes each query a reply.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import cast

from tests.integration.asking import At
from tests.integration.differ.questions import Query

SOCKETS = 8
OPEN = 32


class _Socket(asyncio.DatagramProtocol):
    """A socket connected to the server; replies by ID."""

    def __init__(self) -> None:
        self.waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self.transport: asyncio.DatagramTransport | None = None
        self._next = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        future = self.waiting.pop(data[:2], None)
        if future is not None and not future.done():
            future.set_result(data[2:])

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there: to be told as no reply."""

    async def ask(self, wire: bytes, patience_s: float) -> bytes | None:
        assert self.transport is not None
        self._next = (self._next + 1) & 0xFFFF
        ident = self._next.to_bytes(2, "big")
        future = self.waiting[ident] = asyncio.get_running_loop().create_future()
        self.transport.sendto(ident + wire)
        try:
            return await asyncio.wait_for(future, patience_s)
        except asyncio.TimeoutError:
            return None
        finally:
            self.waiting.pop(ident, None)


async def _over_tcp(at: At, wire: bytes, patience_s: float) -> bytes | None:
    try:
        return await asyncio.wait_for(_one_connection(at, b"\0\1" + wire), patience_s)
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
        return None


async def _one_connection(at: At, message: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*at)
    try:
        writer.write(len(message).to_bytes(2, "big") + message)
        size = int.from_bytes(await reader.readexactly(2), "big")
        return (await reader.readexactly(size))[2:]
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask_all(
    at: At, queries: Sequence[Query], *, tries: int, patience_s: float
) -> list[bytes | None]:
    """The replies in the order of the queries, which begin in that order, too."""
    turns = iter([(place, query.wire(), query) for place, query in enumerate(queries)])
    loop = asyncio.get_running_loop()
    sockets = []
    for _ in range(SOCKETS):
        _, protocol = await loop.create_datagram_endpoint(_Socket, remote_addr=at)
        sockets.append(protocol)
    replies: list[bytes | None] = [None] * len(queries)

    async def one(number: int) -> None:
        for place, wire, query in turns:
            for _ in range(tries):
                if "tcp" in query.marks:
                    replies[place] = await _over_tcp(at, wire, patience_s)
                else:
                    replies[place] = await sockets[number % SOCKETS].ask(wire, patience_s)
                if replies[place] is not None:
                    break

    try:
        await asyncio.gather(*(one(number) for number in range(OPEN)))
    finally:
        for socket in sockets:
            assert socket.transport is not None
            socket.transport.close()
    return replies
