"""UDP listeners: drain the socket, answer from the hot table, hand the rest to the table.

The loop in `UdpListener._readable` is the hottest code there is: a hit is two slices and a
look-up, and both receiving and sending are one system call for many datagrams.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from consulfwd.core.access import Access, client_of
from consulfwd.core.ask import Ask, Known
from consulfwd.core.hot import HotTable, variants
from consulfwd.core.routes import Kind
from consulfwd.dns import const, replies
from consulfwd.errors import WireError
from consulfwd.net import mishaps, mmsg
from consulfwd.net.answers import prohibited
from consulfwd.net.front import Front
from consulfwd.net.loop import unwatch, watch
from consulfwd.net.waiter import Result, Waiter

log = logging.getLogger("consulfwd.udp")

ROUNDS = 8
WORTH_ANOTHER = 24
DRAIN = 64
BUFFER = 4 << 20
# How many queries of one client off this host may wait for their answers (`access.client_of`).
MAX_PER_CLIENT = 1000
TOO_MANY = (const.EDE_OTHER, "too many queries of this client wait for their answers")
_LOOPBACK = {
    socket.AF_INET: ip_network("127.0.0.0/8"),
    socket.AF_INET6: ip_network("::1/128"),
}
# Where message i of a batch begins, and where it goes on behind its ID. Longer than most batches:
# what is zipped with them ends first.
_STARTS = tuple(range(0, mmsg.BATCH * mmsg.SLOT, mmsg.SLOT))
_KEYS = tuple(start + 2 for start in _STARTS)
QueryLog = Callable[[Ask, str, str], None]
Ancillary = list[tuple[int, int, bytes]]


class BaseListener:
    """What both kinds of listener share: everything but the system calls."""

    def __init__(
        self,
        sock: socket.socket,
        front: Front,
        access: Access,
        loop: asyncio.AbstractEventLoop,
        query_log: QueryLog | None = None,
    ) -> None:
        self._sock = sock
        self._loop = loop
        self.questions = front.questions
        self.table = front.table
        self.warmth = front.warmth
        self.driver = front.driver
        self._rng = front.rng
        self._clock = front.table.clock
        self._counters = front.table.counters
        self.access = access
        self.query_log = query_log
        self._at: str = sock.getsockname()[0]
        # Clients of a loopback socket are on this host by definition.
        self.on_host = ip_address(self._at.partition("%")[0]).is_loopback
        self.hot = HotTable()
        # How many wait, by client off this host, those for Consul's names and others apart.
        self.waiting: dict[tuple[str, bool], int] = {}
        self.warmth.on_clear(self.hot.clear)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._prepare()
        watch(loop, sock, self._readable)

    def _prepare(self) -> None:
        """Make ready what the kind of listener needs."""
        raise NotImplementedError

    def _readable(self) -> None:
        raise NotImplementedError

    def send(self, reply: bytes, peer: Any) -> None:
        """Send one reply to where its query came from; losing it is the network's right."""
        raise NotImplementedError

    def query(self, data: bytes, peer: Any, host: str) -> None:
        """Take one datagram that the hot table does not know."""
        self._counters.queries += 1
        waiter = None
        try:
            if not self.access.allows(host):
                self._turn_away(data, peer)
                return
            try:
                ask = self.questions.prepare(data)
            except WireError as error:
                if error.rcode is not None:
                    self.send(replies.refuse(data, error.rcode), peer)
                return
            if self.query_log is not None:
                self.query_log(ask, host, "udp")
            client = None
            if not self.on_host and ask.local is None:
                client = client_of(host, self._at)
            if client is None:
                waiter = _Waiter(self, ask, data[:2], peer)
                self.table.submit(ask, waiter)
                return
            whose = (client, ask.route.kind is Kind.CONSUL)
            if self.waiting.get(whose, 0) >= MAX_PER_CLIENT and not self.table.at_hand(ask):
                self.send(replies.refuse(data, const.SERVFAIL, ask.query, TOO_MANY), peer)
                return
            waiter = counted = _CountedWaiter(self, ask, data[:2], peer)
            self.table.submit(ask, waiter)
            counted.count(whose)
        except Exception as error:
            self._failed(data, peer, waiter, error)

    def _turn_away(self, data: bytes, peer: Any) -> None:
        """Refuse who may not ask; what is prepared for clients is not theirs to fill."""
        try:
            query = self.questions.read(data)
        except WireError:
            return
        self.send(prohibited(data, query), peer)

    def _failed(self, data: bytes, peer: Any, waiter: Waiter | None, error: Exception) -> None:
        """Let one query have its SERVFAIL for an error of ours."""
        if waiter is not None:
            self.table.withdraw(waiter, error)
            return
        mishaps.note(self._loop, "a query failed", error)
        refusal = mishaps.refusal(data)
        if refusal is not None:
            self.send(refusal, peer)

    def cached(self, ask: Ask, ident: bytes, limit: int, result: Result) -> bytes:
        """Return the reply for a cached answer; what is asked again this second becomes hot."""
        warmth = self.warmth
        entry = result.entry
        assert entry is not None
        body = self.table.cache.body(entry, self._clock.now())
        again = ask.warm == warmth.epoch
        ask.warm = warmth.epoch
        if again and self.query_log is None and entry.expires_at >= warmth.epoch_ends:
            ready = variants(ask.query, entry.message, limit, body, self._rng)
            self.hot.put(ask.raw, ready)
            if entry.watched and ask.raw in self.hot.answers:
                if entry.hot is None or entry.hot_epoch != warmth.epoch:
                    entry.hot, entry.hot_epoch = set(), warmth.epoch
                entry.hot.add((self.hot, ask.raw))
        else:
            ready = variants(ask.query, entry.message, limit, body, self._rng, most=1)
        return ident + ready[0]

    def stop_reading(self) -> None:
        """Take no more queries, but still answer those in flight."""
        unwatch(self._loop, self._sock)

    def close(self) -> None:
        """Stop listening."""
        unwatch(self._loop, self._sock)
        self.warmth.forget(self.hot.clear)
        self._sock.close()


class UdpListener(BaseListener):
    """A socket bound to one address, read and written many datagrams at a time."""

    def _prepare(self) -> None:
        self._batch = mmsg.Batch(self._sock)
        self._replies: list[bytes] = []
        self._names: list[bytes] = []
        self.driver.on_flush(self.flush)

    def _trusted(self) -> bool:
        """Return whether every client that can reach this socket may ask, and none is logged."""
        loopback = _LOOPBACK[self._sock.family]
        return self.on_host and self.query_log is None and loopback in self.access.networks

    def _readable(self) -> None:
        batch = self._batch
        driver = self.driver
        if self._clock.now() >= self.warmth.good_until:
            self.warmth.overdue()
        drain = self._trusting if self._trusted() else self._checking
        driver.batching = True
        try:
            for _ in range(ROUNDS):
                count = batch.receive()
                if count:
                    drain()
                if count < WORTH_ANOTHER:
                    break
                driver.flush()
        except OSError as error:
            log.debug("UDP: %s", error)
        finally:
            driver.batching = False
            driver.flush()

    def _trusting(self) -> None:
        """Answer a batch whose clients may all ask."""
        batch = self._batch
        if max(batch.lengths) > mmsg.SLOT:
            self._checking()
            return
        data, peers = batch.data, batch.names
        ready = self.hot.answers.get
        tails: list[bytes] = []
        rest: list[int] = []
        for start, key, length in zip(_STARTS, _KEYS, batch.lengths):  # noqa: B905 - see _STARTS
            variant = ready(data[key : start + length])
            if variant is not None:
                tails.append(variant())
            else:
                rest.append(start // mmsg.SLOT)
        counters = self._counters
        counters.hot += len(tails)
        counters.queries += len(tails)
        if not rest:
            self._tell(batch.send_back(tails))
            return
        if tails:
            size = batch.name_size
            hits = sorted(set(range(len(batch.lengths))).difference(rest))
            for index, tail in zip(hits, tails, strict=True):
                start = _STARTS[index]
                self._replies.append(data[start : start + 2] + tail)
                self._names.append(peers[index * size : (index + 1) * size])
        self._ask(rest)

    def _ask(self, rest: list[int]) -> None:
        """Hand those of a batch to the table that the hot table did not know."""
        batch = self._batch
        data, peers, lengths, size = batch.data, batch.names, batch.lengths, batch.name_size
        asks, submit = self.questions.asks, self.table.submit
        now = self._clock.now()
        asked = 0
        waiter: Waiter | None = None
        left = iter(rest)
        while True:
            try:
                for index in left:
                    peer = peers[index * size : (index + 1) * size]
                    start = _STARTS[index]
                    key, end = start + 2, start + lengths[index]
                    ask = asks.get(data[key:end])
                    if ask is not None:
                        asked += 1
                        waiter = _Waiter(self, ask, data[start:key], peer)
                        submit(ask, waiter, now)
                    else:
                        waiter = None
                        self.query(data[start:end], peer, mmsg.to_address(peer)[0])
                break
            except Exception as error:
                # The one that failed is behind the iterator: it goes on with the next.
                self._failed(data[start:end], peer, waiter, error)
        self._counters.queries += asked

    def _checking(self) -> None:
        """Answer a batch, looking at every client's address, and at queries of any length."""
        batch = self._batch
        peers = batch.names
        ready = self.hot.answers.get
        counters = self._counters
        size = batch.name_size
        for index in range(len(batch.lengths)):
            data = batch.message(index)
            peer = peers[index * size : (index + 1) * size]
            host = mmsg.to_address(peer)[0]
            variant = ready(data[2:])
            if variant is not None and host in self.access.seen:
                counters.hot += 1
                counters.queries += 1
                self._replies.append(data[:2] + variant())
                self._names.append(peer)
            else:
                self.query(data, peer, host)

    def send(self, reply: bytes, peer: Any) -> None:
        if not self._replies and not self.driver.batching:
            # Nobody else will flush: a timer or a stream brought this answer.
            self._loop.call_soon(self.flush)
        self._replies.append(reply)
        self._names.append(peer)

    def flush(self) -> None:
        """Send what was collected."""
        if self._replies:
            self._tell(self._batch.send(self._replies, self._names))
            self._replies.clear()
            self._names.clear()

    def _tell(self, failure: int) -> None:
        if failure:
            log.debug("UDP: not every reply could be sent: %s", os.strerror(failure))

    def close(self) -> None:
        self.flush()
        self._batch.close()
        self.driver.forget(self.flush)
        super().close()


class WildcardListener(BaseListener):
    """A socket bound to every address: each reply leaves from the address its query came to."""

    def _prepare(self) -> None:
        sock = self._sock
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_PKTINFO", 8), 1)

    def _readable(self) -> None:
        if self._clock.now() >= self.warmth.good_until:
            self.warmth.overdue()
        receive = self._sock.recvmsg
        ready = self.hot.answers.get
        try:
            for _ in range(DRAIN):
                data, ancillary, _, address = receive(mmsg.SLOT + mmsg.SPILL, 256)
                peer = (_reply_from(ancillary), address)
                variant = ready(data[2:])
                if variant is not None and address[0] in self.access.seen:
                    self._counters.hot += 1
                    self._counters.queries += 1
                    self.send(data[:2] + variant(), peer)
                else:
                    self.query(data, peer, address[0])
        except BlockingIOError:
            pass
        except OSError as error:
            log.debug("UDP: %s", error)

    def send(self, reply: bytes, peer: Any) -> None:
        ancillary, address = peer
        try:
            self._sock.sendmsg([reply], ancillary, 0, address)
        except OSError as error:
            log.debug("UDP reply not sent: %s", error)


class _Waiter(Waiter):
    """A client that waits for a datagram; `client_id` is the ID it chose."""

    __slots__ = ("client_id", "listener", "peer")

    listener: BaseListener

    def __init__(self, listener: BaseListener, ask: Ask, ident: bytes, peer: Any) -> None:
        self.listener = listener
        self.ask = ask
        self.client_id = ident
        self.peer = peer

    def relayed(self, ask: Ask, known: Known) -> None:
        """Send an upstream's reply; the bytes it makes for this question are made once."""
        listener = self.listener
        if self.ask is not ask:
            mine = self.ask
            limit = mine.limit_on_host if listener.on_host else mine.limit_off_host
            reply = replies.respond(mine.query, self.client_id, known.message, limit)
            listener.send(reply, self.peer)
            return
        if listener.on_host:
            wire = known.on_host
            if wire is None:
                wire = replies.respond(ask.query, b"", known.message, ask.limit_on_host)
                known.on_host = wire
        else:
            wire = known.off_host
            if wire is None:
                wire = replies.respond(ask.query, b"", known.message, ask.limit_off_host)
                known.off_host = wire
        listener.send(self.client_id + wire, self.peer)

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


class _CountedWaiter(_Waiter):
    """One off this host, of which so many may wait."""

    __slots__ = ("_over", "_whose")

    def __init__(self, listener: BaseListener, ask: Ask, ident: bytes, peer: Any) -> None:
        super().__init__(listener, ask, ident, peer)
        self._over = False
        self._whose: tuple[str, bool] | None = None

    def count(self, whose: tuple[str, bool]) -> None:
        """Count it from now on, if it has to wait."""
        if not self._over:
            self._whose = whose
            waiting = self.listener.waiting
            waiting[whose] = waiting.get(whose, 0) + 1

    def relayed(self, ask: Ask, known: Known) -> None:
        """Send an upstream's reply."""
        super().relayed(ask, known)
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


def _reply_from(ancillary: Ancillary) -> Ancillary:
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


def listen(
    sock: socket.socket,
    front: Front,
    access: Access,
    loop: asyncio.AbstractEventLoop,
    query_log: QueryLog | None = None,
) -> BaseListener:
    """Return the listener that suits a bound socket and this system."""
    wildcard = sock.getsockname()[0] in ("0.0.0.0", "::")
    kind = UdpListener if mmsg.available and not wildcard else WildcardListener
    return kind(sock, front, access, loop, query_log)
