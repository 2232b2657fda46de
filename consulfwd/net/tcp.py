"""A TCP listener: its connections, and which of them gives way when there are too many.

They are accepted by `accepting`; what is said on them is `connection`'s.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque

from consulfwd.config.sections import TcpSettings
from consulfwd.core.access import Access, client_of
from consulfwd.core.places import STRANGER, Places
from consulfwd.net.accepting import Acceptor
from consulfwd.net.connection import ServerConnection
from consulfwd.net.front import Front
from consulfwd.net.noting import Observer
from consulfwd.net.tcp_service import TcpService

log = logging.getLogger("consulfwd.tcp")

# How often (seconds) it is told that clients are refused.
TELL_EVERY = 60.0
# How much (octets) is read of a connection at once: with its queries answered, more is read.
READ = 1 << 16


class TcpListener:
    """One listening socket and its connections: no more than `room`, whatever the settings say."""

    def __init__(
        self,
        sock: socket.socket,
        front: Front,
        access: Access,
        loop: asyncio.AbstractEventLoop,
        limits: TcpSettings,
        room: int,
        observer: Observer | None = None,
    ) -> None:
        self._sock = sock
        self.service = TcpService(front, access, observer)
        self.loop = loop
        self.connections: Places[ServerConnection] = Places(1, 1)
        # Connections with more queries than one turn allows; while there are any, all queue here.
        self.turns: deque[ServerConnection] = deque()
        # Where each of them is read into: what it says is taken out of it at once.
        self.buffer = memoryview(bytearray(READ))
        self._acceptor: Acceptor | None = None
        self._refused = 0
        self._closed = False
        self._told_at: float | None = None
        self.use(limits, room)

    def use(self, limits: TcpSettings, room: int) -> None:
        """Go by other limits from now on."""
        self.limits = limits
        self.connections.most = min(limits.max_connections, room)
        self.connections.most_each = limits.max_per_client

    def start(self) -> None:
        """Accept connections."""
        clock = self.service.table.clock
        self._acceptor = Acceptor(self._sock, lambda: ServerConnection(self), self.loop, clock)

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

    def admit(self, connection: ServerConnection, at: str) -> bool:
        """Give a connection a place; the longest idle one gives way for it, whoever's it is.

        What waits for an answer is left alone. A client that has its part gives way to itself.
        """
        if self._closed:
            # It was accepted a moment before.
            return False
        client = client_of(connection.host, at)
        if not self.service.allows(connection.host):
            client = STRANGER
        places = self.connections
        while places.full(client):
            victim = next((one for one in places.idle(client) if one.done_with()), None)
            if victim is None:
                self._refuse(connection, client)
                return False
            victim.leave()
        places.take(connection, client)
        return True

    def keeps(self) -> float:
        """Return for how many seconds an idle connection is kept, as things are.

        From where half of the places are taken on it is less, down to nothing (RFC 7828 section
        3.3.2): whoever could keep its connection may have to give way.
        """
        return self.limits.idle_timeout * min(2 * self.connections.left, 1.0)

    def _refuse(self, connection: ServerConnection, client: str | None) -> None:
        """Tell that a client is refused, but not each time."""
        self._refused += 1
        now = self.service.table.clock.now()
        if self._told_at is not None and now - self._told_at < TELL_EVERY:
            return
        places = self.connections
        own = len(places) < places.most
        busy = f"all {len(places)} are busy (tcp.max_connections)"
        if own:
            whose = {None: "this host's", STRANGER: "that of who may not ask"}.get(client, client)
            limit = "tcp.max_per_client" if client else "tcp.max_connections"
            busy = f"{whose}: {places.of(client)} are busy ({limit})"
        log.warning(
            "TCP connections to %s refused: %d, the last one from %s; %s",
            self._sock.getsockname()[0], self._refused, connection.host, busy,
        )  # fmt: skip
        self._refused, self._told_at = 0, now

    def stop_reading(self) -> None:
        """Accept no more connections and read no more queries; replies still go out."""
        self._closed = True
        if self._acceptor is not None:
            self._acceptor.close()
        for connection in list(self.connections):
            connection.stop_reading()

    def close(self) -> None:
        """End every connection."""
        self.stop_reading()
        for connection in list(self.connections):
            connection.close()
        self.service.close()
