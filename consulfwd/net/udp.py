"""A UDP listener: drains its socket, answers from the hot table, hands the rest to the engine.

The loop in `_readable` is the hottest code there is: a hit is a slice, a look-up, a sendto.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any

from consulfwd.core.access import Access
from consulfwd.core.ask import Ask
from consulfwd.core.hot import HotTable, variants
from consulfwd.dns import const, replies
from consulfwd.errors import WireError
from consulfwd.net.resolver import Engine, Result

log = logging.getLogger("consulfwd.udp")

RECEIVE_SIZE = 4096
DRAIN = 128
BUFFER = 4 << 20
QueryLog = Callable[[Ask, str, str], None]


class UdpListener:
    """One bound UDP socket. Clients on a loopback socket are on this host by definition."""

    def __init__(
        self,
        sock: socket.socket,
        engine: Engine,
        access: Access,
        loop: asyncio.AbstractEventLoop,
        query_log: QueryLog | None = None,
    ) -> None:
        self._sock = sock
        self._engine = engine
        self._loop = loop
        self.access = access
        self.query_log = query_log
        host = sock.getsockname()[0]
        self.on_host = host == "::1" or host.startswith("127.")
        self.hot = HotTable()
        engine.on_clear(self.hot.clear)
        self._wildcard = host in ("0.0.0.0", "::")
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        if self._wildcard:
            # The reply must leave from the address the query came to.
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_PKTINFO", 8), 1)
        loop.add_reader(sock, self._readable_any if self._wildcard else self._readable)

    def _readable(self) -> None:
        sock = self._sock
        receive, send = sock.recvfrom, sock.sendto
        ready = self.hot.answers.get
        allowed = self.access.seen
        hits = 0
        try:
            for _ in range(DRAIN):
                data, peer = receive(RECEIVE_SIZE)
                variant = ready(data[2:])
                if variant is not None and peer[0] in allowed:
                    hits += 1
                    send(data[:2] + variant(), peer)
                else:
                    self._slow(data, peer, peer[0])
        except BlockingIOError:
            pass
        except OSError as error:
            log.debug("UDP: %s", error)
        counters = self._engine.counters
        counters.hot += hits
        counters.queries += hits

    def _readable_any(self) -> None:
        receive = self._sock.recvmsg
        try:
            for _ in range(DRAIN):
                data, ancillary, _, peer = receive(RECEIVE_SIZE, 256)
                # Sent back as it came: the kernel takes the local address out of it.
                self._slow(data, (_reply_from(ancillary), peer), peer[0])
        except BlockingIOError:
            pass
        except OSError as error:
            log.debug("UDP: %s", error)

    def _slow(self, data: bytes, peer: Any, host: str) -> None:
        engine = self._engine
        engine.counters.queries += 1
        try:
            ask = engine.prepare(data)
        except WireError as error:
            if error.rcode is not None and self.access.allows(host):
                self.send(replies.refuse(data, error.rcode), peer)
            return
        if not self.access.allows(host):
            ede = (const.EDE_PROHIBITED, "this client is not in access.allow")
            self.send(replies.refuse(data, const.REFUSED, ask.query, ede), peer)
            return
        if self.query_log is not None:
            self.query_log(ask, host, "udp")
        engine.submit(ask, _UdpWaiter(self, ask, data, peer))

    def send(self, reply: bytes, peer: Any) -> None:
        """Send one reply; a full buffer or a vanished client loses only this one."""
        try:
            if self._wildcard:
                ancillary, address = peer
                self._sock.sendmsg([reply], ancillary, 0, address)
            else:
                self._sock.sendto(reply, peer)
        except OSError as error:
            log.debug("UDP reply not sent: %s", error)

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def stop_reading(self) -> None:
        """Take no more queries, but still answer those in flight."""
        self._loop.remove_reader(self._sock)

    def cached(self, waiter: _UdpWaiter, result: Result) -> bytes:
        """Return the reply for a cached answer; what is asked again this second becomes hot."""
        engine, ask = self._engine, waiter.ask
        entry = result.entry
        assert entry is not None
        now = engine.now()
        limit = waiter.limit()
        body = engine.cache.body(entry, now)
        hot = self.query_log is None and entry.expires_at >= engine.epoch_ends
        if hot and ask.warm == engine.epoch:
            ready = variants(ask.query, entry.message, limit, body, engine.rng)
            self.hot.put(waiter.data[2:], ready)
            return waiter.data[:2] + ready[0]
        ask.warm = engine.epoch
        ready = variants(ask.query, entry.message, limit, body, engine.rng, most=1)
        return waiter.data[:2] + ready[0]


class _UdpWaiter:
    """A client that waits for a datagram."""

    __slots__ = ("_listener", "_peer", "ask", "data")

    def __init__(self, listener: UdpListener, ask: Ask, data: bytes, peer: Any) -> None:
        self._listener = listener
        self._peer = peer
        self.ask = ask
        self.data = data

    def limit(self) -> int:
        """Return how large the reply may be."""
        return self.ask.limit_on_host if self._listener.on_host else self.ask.limit_off_host

    def deliver(self, result: Result) -> None:
        """Send the reply."""
        listener = self._listener
        ask = self.ask
        if result.entry is None:
            reply = replies.respond(
                ask.query, self.data[:2], result.message, self.limit(), options=result.options()
            )
        elif result.stale:
            body = listener._engine.cache.stale_body(result.entry)
            reply = replies.respond(
                ask.query, self.data[:2], result.message, self.limit(), body=body,
                options=result.options(),
            )  # fmt: skip
        else:
            reply = listener.cached(self, result)
        listener.send(reply, self._peer)


def _reply_from(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Return the control data that sends a reply from the address a query came to."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and len(data) >= 12:
            # struct in_pktinfo: interface, local address, destination; the kernel sends from the
            # second, and chooses the interface by its routes when the first is 0.
            _, local, _ = struct.unpack("=I4s4s", data[:12])
            return [(level, kind, struct.pack("=I4s4s", 0, local, b"\0\0\0\0"))]
        if level == socket.IPPROTO_IPV6 and len(data) >= 20:
            return [(level, kind, data)]
    return []


def bind_udp(host: str, port: int) -> socket.socket:
    """Return a bound UDP socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
