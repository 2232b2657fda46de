"""Two web servers for a name that moves: each can be asked to be ill, and to be well again.

For `consulfwd serve --dev` and tests. GET says how a server is (200 or 503); POST to /ill or /well
makes it so. A request is read within bounds, and answered once; the connection is closed then.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from .accepting import accept_no_more

if TYPE_CHECKING:
    from typing_extensions import Self

NAME = "www.demo.test"
HOSTS = ("127.0.0.11", "127.0.0.12")
PORTS = (8080, 0)
# Octets of a request's head, and how long (seconds) it is waited for.
HEAD, PATIENCE = 4096, 5.0


class DevWeb:
    """The servers of some addresses, all at one `port`; an async context manager."""

    def __init__(self, hosts: tuple[str, ...] = HOSTS, ports: tuple[int, ...] = PORTS) -> None:
        self.hosts = hosts
        self.port = 0
        self.ill: set[str] = set()
        self._ports = ports
        self._servers: list[asyncio.Server] = []
        self._answering: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen. Raises OSError where nothing is free."""
        for number, port in enumerate(self._ports, 1):
            try:
                await self._listen(port)
            except OSError:
                await self._close()
                if number == len(self._ports):
                    raise
            else:
                break
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def _listen(self, port: int) -> None:
        for host in self.hosts:
            server = await asyncio.start_server(self._accept, host, port, limit=HEAD)
            self._servers.append(server)
            # Any free port of the first is that of the others, too.
            port = server.sockets[0].getsockname()[1]
        self.port = port

    async def _close(self) -> None:
        await accept_no_more(sock for server in self._servers for sock in server.sockets)
        for server in self._servers:
            server.close()
        self._servers.clear()
        for task in list(self._answering):
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._answer(reader, writer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = writer.get_extra_info("sockname")[0]
        try:
            with suppress(OSError, EOFError, ValueError, asyncio.TimeoutError):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
                method, target = head.split(b" ", 2)[:2]
                writer.write(self._reply(host, method, target))
                await asyncio.wait_for(writer.drain(), PATIENCE)
        finally:
            writer.close()

    def _reply(self, host: str, method: bytes, target: bytes) -> bytes:
        if method == b"POST" and target == b"/ill":
            self.ill.add(host)
        elif method == b"POST" and target == b"/well":
            self.ill.discard(host)
        elif method not in (b"GET", b"HEAD"):
            return _reply(b"405 Method Not Allowed", b"", b"Allow: GET, HEAD, POST\r\n")
        ill = host in self.ill
        # What it was told is done: that it is ill is not an error of the order's.
        status = b"503 Service Unavailable" if ill and method != b"POST" else b"200 OK"
        body = f"{host} is {'ill' if ill else 'well'}\n".encode()
        return _reply(status, b"" if method == b"HEAD" else body)


def _reply(status: bytes, body: bytes, more: bytes = b"") -> bytes:
    length = str(len(body)).encode()
    return (
        b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain; charset=utf-8\r\n" + more
        + b"Content-Length: " + length + b"\r\nConnection: close\r\n\r\n" + body
    )  # fmt: skip
