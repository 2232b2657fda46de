"""An HTTP server that says what a test wants said, to the octet."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from consulfwd.config import Agent
from consulfwd.dev.accepting import accept_no_more
from tests.loopback import OWN

LENGTH = "Content-Length:"


class Raw:
    """Sends `replies` in turn, the last one for ever, and keeps each request's lines and body.

    Where there are `tokens`, whoever shows none of them is refused. While `held` is not set, it is
    waited for before anything is said.
    """

    def __init__(self) -> None:
        self.replies: list[bytes] = [http(b"[]")]
        self.requests: list[list[str]] = []
        self.bodies: list[bytes] = []
        self.tokens: set[str] | None = None
        self.held = asyncio.Event()
        self.held.set()
        self.connections = 0
        self.silent = False
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self.socket: Path | None = None

    @property
    def agent(self) -> Agent:
        """The settings that lead here."""
        scheme: Any = "https" if self.tls else "http"
        here = Agent(address=OWN, dns_port=1, http_port=self.port, http_scheme=scheme)
        return here.replace(http_socket=self.socket)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Raw]:
        if self.socket is not None:
            server = await asyncio.start_unix_server(self._serve, self.socket)
            self.port = 1
        else:
            server = await asyncio.start_server(self._serve, OWN, 0, ssl=self.tls)
            self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            await accept_no_more(server.sockets)
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode().split("\r\n")
                length = max((int(one[15:]) for one in lines if one[:15] == LENGTH), default=0)
                self.bodies.append(await reader.readexactly(length))
                self.requests.append(lines)
                if self.silent:
                    await reader.read()
                await self.held.wait()
                if self.tokens is not None and shown(lines) not in self.tokens:
                    writer.write(http(b"ACL not found", status="403 Forbidden"))
                    continue
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                writer.write(reply)
                await writer.drain()
                if b"Content-Length" not in reply:
                    break
        writer.close()


def shown(request: list[str]) -> str:
    """The token in a request, "" without one."""
    found = [one.partition(": ")[2] for one in request if one.startswith("X-Consul-Token: ")]
    return found[0] if found else ""


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole reply, with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
