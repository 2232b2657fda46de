"""A door in front of an agent's HTTP port: as many connections as Consul allows one host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from consulfwd.dev.accepting import accept_no_more
from tests.loopback import OWN

# What Consul says, and when: as soon as the connection is there, whatever is to be asked on it.
REFUSAL = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: 80\r\n"
    b"Connection: close\r\n\r\n"
    b"Your IP is issuing too many concurrent connections, please rate limit your calls"
)


class Gate:
    """Lets `most` connections through at a time, `others` of which other programs hold.

    `open` are those that are through now, `peak` the most there were, `refused` how many were not.
    """

    def __init__(self, most: int = 200) -> None:
        self.most = most
        self.others = 0
        self.open = self.peak = self.refused = 0
        self.port = 0
        self._passing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def before(self, port: int) -> AsyncIterator[Gate]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(port, reader, writer)

        server = await asyncio.start_server(serve, OWN, 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            await accept_no_more(server.sockets)
            server.close()

    async def _serve(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.open + self.others >= self.most:
            self.refused += 1
            writer.write(REFUSAL)
            with suppress(OSError):
                await writer.drain()
            writer.close()
            return
        self.open += 1
        self.peak = max(self.peak, self.open)
        try:
            there, back = await asyncio.open_connection(OWN, port)
            ways = [asyncio.ensure_future(_pass(*way)) for way in ((reader, back), (there, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()
        finally:
            self.open -= 1
            writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
