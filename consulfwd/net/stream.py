"""One upstream over TCP or TLS (RFC 7766, RFC 7858): pipelined, replies in any order.

A connection to an agent is given up before the agent does: Consul takes 128 queries on one, and
drops it after 8 idle seconds. Other servers are asked how long they keep one (RFC 7828), and close
when they like all the same (RFC 7766 section 6.2.4): what they left unanswered is asked once more
over a new connection, which over TLS resumes the session of the last one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from consulfwd.core.attempts import Attempt
from consulfwd.core.places import Places
from consulfwd.core.upstreams import Upstream
from consulfwd.dns.edns import read_keepalive
from consulfwd.dns.framing import StreamReader, frame
from consulfwd.dns.message import read_reply
from consulfwd.dns.wire import question_echo
from consulfwd.errors import WireError
from consulfwd.net import tls
from consulfwd.net.channel import OUR_SHORTAGE, TOO_MANY, Owner
from consulfwd.net.scopes import reason, socket_address

AGENT_QUERIES, AGENT_IDLE = 100, 5.0
MAX_QUERIES, IDLE = 10_000, 20.0
# However long a server keeps an idle connection, here it is kept for so long at most.
MAX_IDLE = 120.0
# An option of the code and length of a keepalive; whether it is one is seen by reading.
_KEEPALIVE = b"\0\x0b\0\x02"
CONNECT_TIMEOUT = 2.0
REPLY_TIMEOUT = 5.0


class Sent(NamedTuple):
    """A query on a connection, without its ID; `again` when another connection was lost with it."""

    attempt: Attempt
    tail: bytes
    again: bool


class Connection(asyncio.Protocol):
    """One connection: queries that wait for it to open, queries that wait for their reply.

    When it is `idle` seconds without either it is closed; for 0, as soon as it has neither.
    """

    def __init__(self, channel: StreamChannel, idle: float) -> None:
        self._channel = channel
        self.idle = idle
        self._heard = False
        self._reader = StreamReader()
        self._transport: asyncio.Transport | None = None
        self.waiting: list[tuple[bytes, bytes]] = []
        self.pending: dict[bytes, Sent] = {}
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
        if not self._heard:
            # What resumes a session comes behind the handshake, but before any reply.
            self._heard = True
            self._channel.remember(self._transport)
        owner = self._channel.owner
        for message in self._reader.feed(data):
            sent = self.pending.pop(message[:2], None)
            if sent is None:
                continue
            try:
                if not owner.on_reply(sent.attempt, message):
                    owner.on_failure(sent.attempt, "a false reply over TCP", refused=False)
                elif _KEEPALIVE in message:
                    self.idle = self._channel.told(message, self.idle)
            except Exception as error:
                owner.on_broken(sent.attempt, error)
        if not self.pending:
            self._channel.lines.rest(self)
            if self.sent >= self._channel.most or not self.idle:
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed:
            self.close()
            # Not by us: whatever can be asked once more is not a sign of anything yet.
            firsts = {ident: one for ident, one in self.pending.items() if not one.again}
            for ident in firsts:
                del self.pending[ident]
            self._channel.ask_again(firsts.values())
        self.fail(f"connection lost: {exc}" if exc else "connection closed by the server")

    def write(self, ident: bytes, attempt: Attempt, tail: bytes, *, again: bool = False) -> None:
        """Send a query now, or as soon as the connection is open."""
        self.pending[ident] = Sent(attempt, tail, again)
        self.sent += 1
        self.used_at = max(self.used_at, attempt.sent_at)
        self._channel.lines.work(self)
        if self._transport is None:
            self.waiting.append((ident, tail))
        else:
            self._transport.write(frame(ident + tail))

    def in_vain(self) -> bool:
        """Return whether nobody waits for what is to come on it."""
        return all(one.attempt.lookup.outcome is not None for one in self.pending.values())

    def fail(self, reason: str, *, refused: bool = False, ours: bool = False) -> None:
        """End the connection; everything that waited on it has failed.

        That is one sign of the upstream's health, however many waited; none if the fault is `ours`.
        """
        self.close()
        failed = [one.attempt for one in self.pending.values() if not one.attempt.result]
        self.pending.clear()
        for number, attempt in enumerate(failed):
            sign = not number and not ours
            self._channel.owner.on_failure(attempt, reason, refused=refused, sign=sign)

    def close(self) -> None:
        """Close the connection, if it is open."""
        self.closed = True
        self._channel.lines.give_back(self)
        if self._transport is not None:
            self._transport.abort()


class StreamChannel:
    """The way to one upstream over a stream; at most one connection takes new queries.

    `lines` is what there is for the connections of all upstreams: an idle one gives way.
    """

    def __init__(
        self,
        upstream: Upstream,
        loop: asyncio.AbstractEventLoop,
        owner: Owner,
        ids: Iterator[bytes],
        lines: Places[Connection],
    ) -> None:
        self.owner = owner
        self.lines = lines
        self._upstream = upstream
        self._loop = loop
        self._ids = ids
        self._current: Connection | None = None
        self._all: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._context: tls.ResumingContext | None = None
        agent = upstream.is_agent
        self.most, self._idle = (AGENT_QUERIES, AGENT_IDLE) if agent else (MAX_QUERIES, IDLE)

    def send(self, attempt: Attempt, tail: bytes) -> str | None:
        """Send a query (given without its ID), opening a connection where there is none."""
        return None if self._write(attempt, tail, again=False) else TOO_MANY

    def ask_again(self, left: Iterable[Sent]) -> None:
        """Send what a connection that was lost left unanswered over another one, if it matters."""
        for sent in left:
            attempt = sent.attempt
            wanted = not attempt.result and attempt.lookup.outcome is None
            if wanted and not self._write(attempt, sent.tail, again=True):
                self.owner.on_failure(attempt, TOO_MANY, refused=False, sign=False)

    def _write(self, attempt: Attempt, tail: bytes, *, again: bool) -> bool:
        connection = self._current
        if (
            connection is None
            or connection.closed
            or connection.sent >= self.most
            or (not connection.pending and attempt.sent_at - connection.used_at > connection.idle)
        ):
            if not self._make_room():
                return False
            connection = self._current = Connection(self, self._idle)
            self.lines.take(connection, self._upstream.name)
            self._all.add(connection)
            task = self._loop.create_task(self._connect(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        ident = next(self._ids)
        while ident in connection.pending:
            ident = next(self._ids)
        connection.write(ident, attempt, tail, again=again)
        return True

    def _make_room(self) -> bool:
        """Close a connection nobody waits on if there is no place for one more."""
        lines, client = self.lines, self._upstream.name
        while lines.full(client):
            oldest = (one for one in islice(lines, 1) if one.in_vain())
            victim = next(chain(lines.idle(client), oldest), None)
            if victim is None:
                return False
            victim.fail("its connection was needed for newer queries", ours=True)
        return True

    async def _connect(self, connection: Connection) -> None:
        upstream = self._upstream
        secure = upstream.transport == "tls"
        try:
            # Where there is no such interface, asyncio would say something else.
            socket_address(upstream.address, upstream.port)
            await asyncio.wait_for(
                self._loop.create_connection(
                    lambda: connection,
                    upstream.address,
                    upstream.port,
                    ssl=self._tls_context() if secure else None,
                    server_hostname=upstream.tls_name if secure else None,
                ),
                CONNECT_TIMEOUT,
            )
        except asyncio.TimeoutError:
            self._forget()
            connection.fail("no connection within 2 s", refused=secure)
        except ssl.SSLCertVerificationError as error:
            connection.fail(f"certificate refused: {error.verify_message}", refused=True)
        except ssl.SSLError as error:
            self._forget()
            # Its errno is none of the system's.
            why = (error.reason or "it failed").lower().replace("_", " ")
            connection.fail(f"TLS: {why}", refused=True)
        except OSError as error:
            # A server may break off for the session it is offered.
            self._forget()
            why = reason(error) if error.errno else str(error)
            if why in OUR_SHORTAGE:
                connection.fail(why, ours=True)
            else:
                # A closed TCP port says nothing about an agent's UDP port.
                connection.fail(f"TCP: {why}", refused=secure)
        else:
            if connection.closed:
                connection.close()

    def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = tls.context()
        return self._context

    def remember(self, transport: asyncio.Transport | None) -> None:
        """Keep the session of an open connection for the next one, if there is any."""
        if self._context is not None and transport is not None:
            self._context.session = transport.get_extra_info("ssl_object").session

    def _forget(self) -> None:
        """Begin the next connection anew: the session may be why this one failed."""
        if self._context is not None:
            self._context.session = None

    def told(self, message: bytes, idle: float) -> float:
        """Return how long a connection is kept when idle, after a reply that may tell of it."""
        if self._upstream.is_agent:
            return idle
        try:
            seconds = read_keepalive(read_reply(message, question_echo(message)).edns)
        except WireError:
            return idle
        return idle if seconds is None else min(seconds, MAX_IDLE)

    def sweep(self, now: float) -> bool:
        """Close idle connections, and those whose oldest query was never answered.

        Return whether any is left.
        """
        for connection in list(self._all):
            if not connection.closed:
                oldest = next(iter(connection.pending.values()), None)
                if oldest is None and connection.used_at < now - connection.idle:
                    connection.close()
                elif (
                    oldest is not None
                    and oldest.attempt.sent_at < now - REPLY_TIMEOUT
                    and oldest.attempt.lookup.outcome is not None
                ):
                    connection.fail("no reply over TCP")
            if connection.closed:
                self._all.discard(connection)
        return bool(self._all)

    def close(self) -> None:
        """Close every connection; what waited is not told."""
        for task in self._tasks:
            task.cancel()
        for connection in self._all:
            connection.pending.clear()
            connection.close()
        self._all.clear()
