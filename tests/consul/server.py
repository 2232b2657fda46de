"""An HTTP server that says what a test wants said, to the octet."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from consulfwd.config import Agent


class Raw:
    """Sends `replies` in turn, the last one for ever, and keeps each request's lines."""

    def __init__(self) -> None:
        self.replies: list[bytes] = [http(b"[]")]
        self.requests: list[list[str]] = []
        self.connections = 0
        self.silent = False
        self.port = 0
        self.tls: ssl.SSLContext | None = None

    @property
    def agent(self) -> Agent:
        """The settings that lead here."""
        scheme: Any = "https" if self.tls else "http"
        return Agent(address="127.0.0.1", dns_port=1, http_port=self.port, http_scheme=scheme)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Raw]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head.decode().split("\r\n"))
                if self.silent:
                    await reader.read()
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                writer.write(reply)
                await writer.drain()
                if b"Content-Length" not in reply:
                    break
        writer.close()


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole reply, with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
