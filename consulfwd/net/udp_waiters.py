"""Clients that wait for a datagram: how each is told.

What belongs here is what becomes of a result for one client. Knows of the listener what `Answering`
says, and no socket.
"""

from __future__ import annotations

from typing import Any, Protocol

from consulfwd.core.ask import Ask
from consulfwd.core.known import Known
from consulfwd.dns import replies
from consulfwd.dns.message import Message
from consulfwd.net.noting import Noted, noted_of
from consulfwd.net.table import Table
from consulfwd.net.waiter import Result, Waiter


class Answering(Protocol):
    """What a client that waits needs of the listener its query came by."""

    on_host: bool
    table: Table
    # How many wait, by client off this host, those for Consul's names and others apart.
    waiting: dict[tuple[str, bool], int]

    def send(self, reply: bytes, peer: Any) -> None:
        """Send one reply to where its query came from."""

    def whose(self, peer: Any) -> bytes | str:
        """Return what stands for the client that a query came from."""

    def cached(self, ask: Ask, ident: bytes, limit: int, result: Result) -> bytes:
        """Return the reply for a cached answer."""


class DatagramWaiter(Waiter):
    """A client that waits for a datagram; `client_id` is the ID it chose."""

    __slots__ = ("client_id", "listener", "peer")

    listener: Answering

    def __init__(self, listener: Answering, ask: Ask, ident: bytes, peer: Any) -> None:
        self.listener = listener
        self.ask = ask
        self.client_id = ident
        self.peer = peer

    def whose(self) -> bytes | str:
        """Return what stands for the client."""
        return self.listener.whose(self.peer)

    def relayed(self, ask: Ask, known: Known, data: bytes) -> None:
        """Send an upstream's reply; what it makes for this question is made once."""
        listener = self.listener
        if self.ask is not ask:
            self._send(known.as_came(data))
            return
        if listener.on_host:
            pieces = known.on_host
            if pieces is None:
                pieces = known.on_host = known.pieces(ask.query, ask.limit_on_host)
        else:
            pieces = known.off_host
            if pieces is None:
                pieces = known.off_host = known.pieces(ask.query, ask.limit_off_host)
        if pieces is None:
            # It has to be cut where its records end.
            self._send(known.as_came(data))
            return
        head, begin, end, tail = pieces
        listener.send(self.client_id + head + data[begin:end] + tail, self.peer)

    def _send(self, message: Message) -> None:
        """Send a message as it is for this client."""
        ask, listener = self.ask, self.listener
        limit = ask.limit_on_host if listener.on_host else ask.limit_off_host
        listener.send(replies.respond(ask.query, self.client_id, message, limit), self.peer)

    def deliver(self, result: Result) -> None:
        """Send the reply."""
        listener = self.listener
        ask = self.ask
        limit = ask.limit_on_host if listener.on_host else ask.limit_off_host
        entry = result.entry
        if entry is not None and not result.stale:
            reply = listener.cached(ask, self.client_id, limit, result)
        else:
            body = listener.table.cache.stale_body(entry) if entry is not None else None
            options = result.options()
            reply = replies.respond(
                ask.query, self.client_id, result.message, limit, body=body, options=options
            )
        listener.send(reply, self.peer)


class CountedWaiter(DatagramWaiter):
    """One off this host, of which so many may wait."""

    __slots__ = ("_over", "_whose")

    def __init__(self, listener: Answering, ask: Ask, ident: bytes, peer: Any) -> None:
        super().__init__(listener, ask, ident, peer)
        self._over = False
        self._whose: tuple[str, bool] | None = None

    def count(self, whose: tuple[str, bool]) -> None:
        """Count it from now on, if it has to wait."""
        if not self._over:
            self._whose = whose
            waiting = self.listener.waiting
            waiting[whose] = waiting.get(whose, 0) + 1

    def relayed(self, ask: Ask, known: Known, data: bytes) -> None:
        """Send an upstream's reply."""
        super().relayed(ask, known, data)
        self._answered()

    def deliver(self, result: Result) -> None:
        """Send the reply."""
        super().deliver(result)
        self._answered()

    def _answered(self) -> None:
        self._over = True
        if self._whose is not None:
            waiting = self.listener.waiting
            waiting[self._whose] -= 1
            if not waiting[self._whose]:
                del waiting[self._whose]
            self._whose = None


class NotedWaiter(DatagramWaiter):
    """One whose query is noted: with where its answer is from."""

    __slots__ = ()

    def relayed(self, ask: Ask, known: Known, data: bytes) -> None:
        """Send an upstream's reply."""
        self._noted().relayed(ask, known.source)
        super().relayed(ask, known, data)

    def deliver(self, result: Result) -> None:
        """Send the reply."""
        self._noted().delivered(self.ask, result)
        super().deliver(result)

    def _noted(self) -> Noted:
        noted = noted_of(self.peer)
        assert noted is not None
        return noted


class NotedCountedWaiter(NotedWaiter, CountedWaiter):
    """Both."""

    __slots__ = ()
