"""A TCP listener (RFC 7766): pipelined queries, replies in whatever order they are ready.

Bounded everywhere: connections in all and per client, queries in flight per connection, the time
a connection may take over one message. Must not know how queries are answered.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter, deque

from consulfwd.core.access import Access
from consulfwd.core.ask import Ask
from consulfwd.core.hot import variants
from consulfwd.dns import const, replies
from consulfwd.dns.framing import StreamReader, frame
from consulfwd.errors import WireError
from consulfwd.net import mishaps
from consulfwd.net.answers import prohibited
from consulfwd.net.front import Front
from consulfwd.net.udp import QueryLog
from consulfwd.net.waiter import Result, Waiter

# How many queries of one connection are taken, and for how long (seconds), before everybody else
# has a turn: an answer of 65535 octets costs more than many small ones.
TURN, TURN_LASTS = 64, 0.002


class TcpListener:
    """One listening socket and its connections."""

    def __init__(
        self,
        sock: socket.socket,
        front: Front,
        access: Access,
        loop: asyncio.AbstractEventLoop,
        *,
        max_connections: int,
        max_per_client: int,
        idle_timeout: float,
        max_pending: int,
        query_log: QueryLog | None = None,
    ) -> None:
        self._sock = sock
        self.questions = front.questions
        self.table = front.table
        self.rng = front.rng
        self.access = access
        self.loop = loop
        self.max_connections = max_connections
        self.max_per_client = max_per_client
        self.idle_timeout = idle_timeout
        self.max_pending = max_pending
        self.query_log = query_log
        self.connections: set[ServerConnection] = set()
        self.clients: Counter[str] = Counter()
        # Connections with more queries than one turn allows; while there are any, all queue here.
        self.turns: deque[ServerConnection] = deque()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Accept connections."""
        self._server = await self.loop.create_server(
            lambda: ServerConnection(self), sock=self._sock, backlog=256
        )

    def queue(self, connection: ServerConnection) -> None:
        """Give a connection its turn: one of them each time round the event loop."""
        self.turns.append(connection)
        if len(self.turns) == 1:
            self.loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        try:
            self.turns[0].take_turn()
        finally:
            self.turns.popleft()
            if self.turns:
                self.loop.call_soon(self._next_turn)

    def make_room(self, host: str) -> bool:
        """Return whether one more connection of this client may stay.

        When all are taken, whoever holds the most loses one that waits for nothing: a few clients
        with idle connections are not to keep out everybody else.
        """
        if len(self.connections) < self.max_connections:
            return True
        greedy, count = self.clients.most_common(1)[0]
        if count <= self.clients[host] + 1:
            return False
        idle = (one for one in self.connections if one.host == greedy and one.idle)
        victim = next(idle, None)
        if victim is None:
            return False
        victim.leave()
        return True

    def stop_reading(self) -> None:
        """Accept no more connections and read no more queries; replies still go out."""
        if self._server is not None:
            self._server.close()
        for connection in self.connections:
            connection.stop_reading()

    def close(self) -> None:
        """End every connection."""
        self.stop_reading()
        for connection in list(self.connections):
            connection.close()


class ServerConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._reader = StreamReader()
        self._transport: asyncio.Transport | None = None
        self.host = ""
        self._pending = 0
        self._backlog: deque[bytes] = deque()
        self._deadline: asyncio.TimerHandle | None = None
        self._counted = False
        self._blocked = False
        self._eof = False
        self._stopped = False
        self._working = False
        self._queued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        listener = self._listener
        peer = transport.get_extra_info("peername")
        self.host = peer[0] if peer else ""
        if (
            not self.host
            or listener.clients[self.host] >= listener.max_per_client
            or not listener.make_room(self.host)
        ):
            transport.abort()
            return
        listener.connections.add(self)
        listener.clients[self.host] += 1
        self._counted = True
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport = None
        self._backlog.clear()
        self._uncount()

    def _uncount(self) -> None:
        if self._counted:
            self._counted = False
            listener = self._listener
            listener.connections.discard(self)
            listener.clients[self.host] -= 1
            if not listener.clients[self.host]:
                del listener.clients[self.host]

    def data_received(self, data: bytes) -> None:
        messages = self._reader.feed(data)
        if messages:
            # Only whole messages count as a sign of life: one octet at a time does not.
            self._backlog.extend(messages)
            self._work()
        if self._transport is not None and self._deadline is None:
            self._expect()

    def eof_received(self) -> bool:
        self._eof = True
        return self._pending > 0 or bool(self._backlog)

    def pause_writing(self) -> None:
        self._blocked = True
        self._throttle()

    def resume_writing(self) -> None:
        self._blocked = False
        self._work()

    def stop_reading(self) -> None:
        """Read no more queries; close when the last reply is out."""
        self._stopped = True
        self._backlog.clear()
        self._throttle()
        self._close_if_done()

    @property
    def idle(self) -> bool:
        """Return whether no query of this connection is without its reply."""
        return not self._pending and not self._backlog and not self._blocked

    def leave(self) -> None:
        """End the connection now, and count it no more."""
        self.close()
        self._uncount()

    def close(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def _work(self) -> None:
        """Take queries from the backlog while there is room for them, or wait for a turn."""
        if self._working:
            return  # answered at once, from the cache, while working already
        if not self._listener.turns:
            self._take()
        else:
            self._queue_if_any()
        self._throttle()
        self._close_if_done()

    def take_turn(self) -> None:
        """Take queries now that it is this connection's turn."""
        self._queued = False
        self._take()
        self._throttle()
        self._close_if_done()

    def _take(self) -> None:
        self._working = True
        taken = 0
        now = self._listener.table.clock.now
        ends = now() + TURN_LASTS
        while self._backlog and self._room() and not self._gone():
            self._query(self._backlog.popleft())
            taken += 1
            if taken >= TURN or now() >= ends:
                break
        self._working = False
        if taken:
            self._expect()
        self._queue_if_any()

    def _queue_if_any(self) -> None:
        if self._backlog and self._room() and not self._queued and not self._gone():
            self._queued = True
            self._listener.queue(self)

    def _gone(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _room(self) -> bool:
        return self._pending < self._listener.max_pending and not self._blocked

    def _throttle(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._eof:
            return
        if self._room() and not self._backlog and not self._stopped:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _expect(self) -> None:
        """Give the client `idle_timeout` for its next whole message, or to read its replies."""
        if self._deadline is not None:
            self._deadline.cancel()
        listener = self._listener
        self._deadline = listener.loop.call_later(listener.idle_timeout, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if self._transport is None:
            return
        if self._pending and not self._blocked:
            self._expect()
        else:
            self._transport.abort()

    def _query(self, data: bytes) -> None:
        listener = self._listener
        listener.table.counters.queries += 1
        waiter = None
        try:
            ask = self._admit(data)
            if ask is not None:
                if listener.query_log is not None:
                    listener.query_log(ask, self.host, "tcp")
                waiter = _TcpWaiter(self, ask, data[:2])
                self._pending += 1
                listener.table.submit(ask, waiter)
        except Exception as error:
            self._failed(data, waiter, error)

    def _admit(self, data: bytes) -> Ask | None:
        """Return the question in a message; None when it is malformed, or not to be asked."""
        listener = self._listener
        allowed = self._listener.access.allows(self.host)
        try:
            if allowed:
                return listener.questions.prepare(data)
            # What is prepared for clients is not a stranger's to fill.
            self._write(prohibited(data, listener.questions.read(data)))
        except WireError as error:
            if error.rcode is None:
                self.close()
            elif allowed:
                self._write(replies.refuse(data, error.rcode))
        return None

    def _failed(self, data: bytes, waiter: Waiter | None, error: Exception) -> None:
        """Let one query have its SERVFAIL for an error of ours."""
        listener = self._listener
        if waiter is not None:
            listener.table.withdraw(waiter, error)
            return
        mishaps.note(self._listener.loop, "a query failed", error)
        refusal = mishaps.refusal(data)
        if refusal is not None:
            self._write(refusal)

    def answer(self, ask: Ask, ident: bytes, result: Result) -> None:
        """Send the reply to one query."""
        listener = self._listener
        if result.message.truncated:
            # Over TCP there is nothing more to be had: a part would be taken for the whole.
            why = (const.EDE_NETWORK, "a part of the answer is all that could be had")
            result = Result(replies.empty(ask.question, const.SERVFAIL), "nobody", ede=why)
        entry = result.entry
        if entry is not None and not result.stale:
            body = listener.table.cache.body(entry, listener.table.clock.now())
            limit, rng = replies.STREAM_LIMIT, listener.rng
            reply = ident + variants(ask.query, entry.message, limit, body, rng, most=1)[0]
        else:
            old = listener.table.cache.stale_body(entry) if entry is not None else None
            reply = replies.respond(
                ask.query, ident, result.message, replies.STREAM_LIMIT, body=old,
                options=result.options(),
            )  # fmt: skip
        # Not before: when no reply can be made of this result, another one comes.
        self._pending -= 1
        self._write(reply)
        self._work()

    def _write(self, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(reply))

    def _close_if_done(self) -> None:
        done = not self._pending and not self._backlog
        if done and (self._eof or self._stopped) and self._transport is not None:
            self._transport.close()


class _TcpWaiter(Waiter):
    """A client that waits for a reply on its connection."""

    __slots__ = ("_connection", "_ident", "listener")

    def __init__(self, connection: ServerConnection, ask: Ask, ident: bytes) -> None:
        self._connection = connection
        self.listener = connection._listener
        super().__init__(ask)
        self._ident = ident

    def deliver(self, result: Result) -> None:
        """Send the reply, if the client is still there."""
        self._connection.answer(self.ask, self._ident, result)
