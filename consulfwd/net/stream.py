"""One upstream over TCP or TLS (RFC 7766, RFC 7858): pipelined, replies in any order.

A connection is kept while it is used, and given up before the other side does: Consul's agents
take 128 queries on one and drop it after 8 idle seconds.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

from consulfwd.core.attempts import Attempt
from consulfwd.core.upstreams import Upstream
from consulfwd.dns.framing import StreamReader, frame

if TYPE_CHECKING:
    from consulfwd.net.upstream import Owner

MAX_QUERIES = 100
IDLE = 5.0
CONNECT_TIMEOUT = 2.0
REPLY_TIMEOUT = 5.0


class Connection(asyncio.Protocol):
    """One connection: queries that wait for it to open, queries that wait for their reply."""

    def __init__(self, channel: StreamChannel) -> None:
        self._channel = channel
        self._reader = StreamReader()
        self._transport: asyncio.Transport | None = None
        self.waiting: list[tuple[bytes, bytes]] = []
        self.pending: dict[bytes, Attempt] = {}
        self.sent = 0
        self.used_at = 0.0
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        for ident, tail in self.waiting:
            transport.write(frame(ident + tail))
        self.waiting.clear()

    def data_received(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            attempt = self.pending.pop(message[:2], None)
            if attempt is not None and not self._channel.owner.on_reply(attempt, message):
                self._channel.owner.on_failure(attempt, "a false reply over TCP", refused=False)
        if self.sent >= MAX_QUERIES and not self.pending:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(f"connection lost: {exc}" if exc else "connection closed by the server")

    def write(self, ident: bytes, attempt: Attempt, tail: bytes) -> None:
        """Send a query now, or as soon as the connection is open."""
        self.pending[ident] = attempt
        self.sent += 1
        self.used_at = attempt.sent_at
        if self._transport is None:
            self.waiting.append((ident, tail))
        else:
            self._transport.write(frame(ident + tail))

    def fail(self, reason: str, *, refused: bool = False) -> None:
        """End the connection; everything that waited on it has failed."""
        self.close()
        failed = [attempt for attempt in self.pending.values() if not attempt.result]
        self.pending.clear()
        for attempt in failed:
            self._channel.owner.on_failure(attempt, reason, refused=refused)

    def close(self) -> None:
        """Close the connection, if it is open."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()


class StreamChannel:
    """The way to one upstream over a stream; at most one connection takes new queries."""

    def __init__(
        self,
        upstream: Upstream,
        loop: asyncio.AbstractEventLoop,
        owner: Owner,
        ids: Iterator[bytes],
    ) -> None:
        self.owner = owner
        self._upstream = upstream
        self._loop = loop
        self._ids = ids
        self._current: Connection | None = None
        self._all: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._context: ssl.SSLContext | None = None

    def send(self, attempt: Attempt, tail: bytes) -> str | None:
        """Send a query (given without its ID), opening a connection where there is none."""
        connection = self._current
        if (
            connection is None
            or connection.closed
            or connection.sent >= MAX_QUERIES
            or (not connection.pending and attempt.sent_at - connection.used_at > IDLE)
        ):
            connection = self._current = Connection(self)
            self._all.add(connection)
            task = self._loop.create_task(self._connect(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        ident = next(self._ids)
        while ident in connection.pending:
            ident = next(self._ids)
        connection.write(ident, attempt, tail)
        return None

    async def _connect(self, connection: Connection) -> None:
        upstream = self._upstream
        tls = upstream.transport == "tls"
        try:
            await asyncio.wait_for(
                self._loop.create_connection(
                    lambda: connection,
                    upstream.address,
                    upstream.port,
                    ssl=self._tls_context() if tls else None,
                    server_hostname=upstream.tls_name if tls else None,
                ),
                CONNECT_TIMEOUT,
            )
        except asyncio.TimeoutError:
            connection.fail("no connection within 2 s", refused=tls)
        except ssl.SSLCertVerificationError as error:
            connection.fail(f"certificate refused: {error.verify_message}", refused=True)
        except ssl.SSLError as error:
            # Its errno is none of the system's.
            reason = (error.reason or "it failed").lower().replace("_", " ")
            connection.fail(f"TLS: {reason}", refused=True)
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            # A closed TCP port says nothing about an agent's UDP port.
            connection.fail(f"TCP: {reason}", refused=tls)
        else:
            if connection.closed:
                connection.close()

    def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._context

    def sweep(self, now: float) -> None:
        """Close idle connections, and those whose oldest query was never answered."""
        for connection in list(self._all):
            if not connection.closed:
                oldest = next(iter(connection.pending.values()), None)
                if oldest is None and connection.used_at < now - IDLE:
                    connection.close()
                elif oldest is not None and oldest.sent_at < now - REPLY_TIMEOUT:
                    connection.fail("no reply over TCP")
            if connection.closed:
                self._all.discard(connection)

    def close(self) -> None:
        """Close every connection; what waited is not told."""
        for task in self._tasks:
            task.cancel()
        for connection in self._all:
            connection.pending.clear()
            connection.close()
        self._all.clear()
