"""One client's TCP connection (RFC 7766): queries in a row, replies in the order they are ready.

Bounded: queries in flight, replies that the client has not read, the time it may take over one
message. How many connections there may be is its owner's. Must not know how queries are answered.
"""

from __future__ import annotations

import asyncio
import fcntl
import termios
from collections import deque
from functools import partial
from typing import Protocol

from consulfwd.config.sections import TcpSettings
from consulfwd.core.places import Places
from consulfwd.dns.edns import build_keepalive
from consulfwd.dns.framing import StreamReader, frame
from consulfwd.net import mishaps
from consulfwd.net.tcp_service import TcpService, TcpWaiter
from consulfwd.net.waiter import Result, Waiter

# How many queries of one connection are taken, and for how long (seconds), before everybody else
# has a turn: an answer of 65535 octets costs more than many small ones.
TURN, TURN_LASTS = 64, 0.002
# Who is told that idle connections are not kept has so long (seconds) to close its own.
PARTING = 1.0
_NOTHING = bytes(4)


class Owner(Protocol):
    """What a connection needs of its listener."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def limits(self) -> TcpSettings: ...
    @property
    def service(self) -> TcpService: ...
    @property
    def connections(self) -> Places[ServerConnection]: ...
    @property
    def turns(self) -> deque[ServerConnection]: ...
    @property
    def buffer(self) -> memoryview: ...

    def admit(self, connection: ServerConnection, at: str) -> bool:
        """Give a connection to our address `at` a place, if there is one."""

    def queue(self, connection: ServerConnection) -> None:
        """Give a connection its turn: one of them each time round the event loop."""

    def keeps(self) -> float:
        """Return for how many seconds an idle connection is kept, as things are."""


class ServerConnection(asyncio.BufferedProtocol):
    """One client's connection."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._reader = StreamReader()
        self._transport: asyncio.Transport | None = None
        self.host = ""
        self._peer = self._at = ("", 0)
        self._pending = 0
        self._backlog: deque[bytes] = deque()
        # Results whose replies are made when the client has read what is there.
        self._unsent: deque[tuple[TcpWaiter, Result]] = deque()
        self._deadline: asyncio.TimerHandle | None = None
        self._kept: float | None = None
        self._blocked = False
        self._eof = False
        self._stopped = False
        self._working = False
        self._queued = False
        self._idle = True

    # -- what the transport tells ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer, at = map(transport.get_extra_info, ("peername", "sockname"))
        self.host = peer[0] if peer else ""
        self._peer, self._at = peer[:2] if peer else ("", 0), at[:2] if at else ("", 0)
        if not self.host or not self._owner.admit(self, at[0] if at else ""):
            transport.abort()
            return
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport = None
        self._backlog.clear()
        self._unsent.clear()
        self._owner.connections.give_back(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._owner.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self._owner.buffer[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Take what came; queries beyond what one turn takes stay octets."""
        messages = self._reader.feed(data, TURN - len(self._backlog))
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
        self._expect()
        self._settle()

    def resume_writing(self) -> None:
        self._blocked = False
        give = self._owner.service.table.delivery.give
        while self._unsent and not self._blocked and not self._gone():
            waiter, result = self._unsent.popleft()
            give((waiter,), partial(self._send, result))
        self._work()

    # -- what the listener wants ----------------------------------------------------------------

    def stop_reading(self) -> None:
        """Read no more queries; close when the last reply is out."""
        self._stopped = True
        self._reader.clear()
        self._backlog.clear()
        self._settle()

    def done_with(self) -> bool:
        """Return whether nothing is lost with this connection, idle as it is.

        It may have sent a query that is not read yet, or have a reply to read.
        """
        transport = self._transport
        if transport is None:
            return True
        if transport.get_write_buffer_size():
            return False
        if transport.is_closing():
            return True
        unread = fcntl.ioctl(transport.get_extra_info("socket"), termios.FIONREAD, _NOTHING)
        return unread == _NOTHING

    def leave(self) -> None:
        """End the connection now, and count it no more."""
        self.close()
        self._owner.connections.give_back(self)

    def close(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()

    def take_turn(self) -> None:
        """Take queries now that it is this connection's turn."""
        self._queued = False
        self._take()
        self._settle()

    # -- queries --------------------------------------------------------------------------------

    def _work(self) -> None:
        """Take queries from the backlog while there is room for them, or wait for a turn."""
        if self._working:
            return  # answered at once, from the cache, while working already
        if not self._owner.turns:
            self._take()
        else:
            self._queue_if_any()
        self._settle()

    def _take(self) -> None:
        self._working = True
        taken = 0
        now = self._owner.service.table.clock.now
        ends = now() + TURN_LASTS
        while self._backlog and self._room() and not self._gone():
            self._query(self._backlog.popleft())
            taken += 1
            if not self._backlog:
                self._backlog.extend(self._reader.feed(b"", TURN))
            if taken >= TURN or now() >= ends:
                break
        self._working = False
        if taken:
            # Idle from here on, and not from before, even if all is answered already.
            self._idle = False
            self._owner.connections.work(self)
            self._expect()
        self._queue_if_any()

    def _queue_if_any(self) -> None:
        if self._backlog and self._room() and not self._queued and not self._gone():
            self._queued = True
            self._owner.queue(self)

    def _gone(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def _room(self) -> bool:
        return self._pending < self._owner.limits.max_pending and not self._blocked

    def _settle(self) -> None:
        """Read on, or not; be idle, or not; close if nothing is left to do."""
        done = not self._pending and not self._backlog
        idle = done and not self._blocked
        if idle is not self._idle:
            self._idle = idle
            places = self._owner.connections
            (places.rest if idle else places.work)(self)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not self._eof:
            if self._room() and not self._backlog and not self._stopped:
                transport.resume_reading()
            else:
                transport.pause_reading()
        if done and (self._eof or self._stopped):
            # A transport that is closed while it tells that it can write is closed twice.
            self._owner.loop.call_soon(transport.close)

    def _query(self, data: bytes) -> None:
        service = self._owner.service
        table = service.table
        table.counters.queries += 1
        waiter = None
        try:
            read = service.read(data, self._peer, self._at)
            if isinstance(read, tuple):
                ask, keepalive, ident = read
                waiter = TcpWaiter(self._owner, self.answer, ask, ident, keepalive, self.host)
                self._pending += 1
                table.submit(ask, waiter)
            elif read is None:
                # Nothing behind it is a query either.
                self.stop_reading()
            elif read:
                self._write(read)
        except Exception as error:
            self._failed(data, waiter, error)

    def _failed(self, data: bytes, waiter: Waiter | None, error: Exception) -> None:
        """Let one query have its SERVFAIL for an error of ours."""
        if waiter is not None:
            self._owner.service.table.withdraw(waiter, error)
            return
        mishaps.note(self._owner.loop, "a query failed", error)
        refusal = mishaps.refusal(data)
        if refusal is not None:
            self._write(refusal)

    # -- replies --------------------------------------------------------------------------------

    def answer(self, waiter: TcpWaiter, result: Result) -> None:
        """Send the reply to one query, or note what it is until the client has read the others."""
        if self._blocked or self._unsent:
            self._unsent.append((waiter, result))
            return
        self._send(result, waiter)
        self._work()

    def _send(self, result: Result, waiter: Waiter) -> None:
        assert isinstance(waiter, TcpWaiter)
        more = self._keepalive() if waiter.keepalive else b""
        reply = self._owner.service.reply(waiter.ask, waiter.client_id, result, more)
        # Not before: when no reply can be made of this result, another one comes.
        self._pending -= 1
        self._write(reply)
        if waiter.keepalive and self._transport is not None:
            self._expect()

    def _keepalive(self) -> bytes:
        """Return what tells how long this connection is kept, and keep it so long from now on."""
        seconds = self._owner.keeps()
        self._kept = min(max(seconds, PARTING), self._owner.limits.idle_timeout)
        return build_keepalive(seconds)

    def _write(self, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(reply))

    # -- time -----------------------------------------------------------------------------------

    def _expect(self) -> None:
        """Give the client its time for the next whole message, or to read its replies."""
        if self._deadline is not None:
            self._deadline.cancel()
        owner = self._owner
        seconds = owner.limits.idle_timeout
        if self._kept is not None and not self._blocked:
            seconds = self._kept
        self._deadline = owner.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if self._transport is None:
            return
        if self._pending and not self._blocked:
            self._expect()
        else:
            self._transport.abort()
