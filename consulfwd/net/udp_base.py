"""What all listeners for datagrams share: everything but the system calls.

What belongs here: who may ask, who waits, which answers become hot, which queries are noted.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

from consulfwd.core.access import Access, client_of, packed
from consulfwd.core.ask import Ask
from consulfwd.core.hot import HotTable
from consulfwd.core.limits import one_client
from consulfwd.core.routes import Kind
from consulfwd.dns import const, replies
from consulfwd.dns.cookies import MARK
from consulfwd.dns.turns import in_turn
from consulfwd.errors import WireError
from consulfwd.net import mishaps
from consulfwd.net.answers import prohibited
from consulfwd.net.fastlane import fast
from consulfwd.net.front import Front
from consulfwd.net.loop import unwatch, watch
from consulfwd.net.noting import Noted, Observer, marked, noted_of, opened_of, with_cookie
from consulfwd.net.udp_waiters import (
    CountedWaiter,
    DatagramWaiter,
    NotedCountedWaiter,
    NotedWaiter,
)
from consulfwd.net.waiter import Result, Waiter

BUFFER = 4 << 20
# How many queries of one client off this host may wait for their answers (`access.client_of`).
MAX_PER_CLIENT = 1000
# How long (seconds) it counts that there was more to read than could be read at once.
PRESSED_S = 1.0
TOO_MANY = (const.EDE_OTHER, "too many queries of this client wait for their answers")


class BaseListener:
    """What both kinds of listener share: everything but the system calls."""

    def __init__(
        self,
        sock: socket.socket,
        front: Front,
        access: Access,
        loop: asyncio.AbstractEventLoop,
        observer: Observer | None = None,
    ) -> None:
        self._sock = sock
        self._loop = loop
        self.questions = front.questions
        self.table = front.table
        self.warmth = front.warmth
        self.driver = front.driver
        self._rng = front.rng
        self._jar = front.jar
        self._clock = front.table.clock
        self._counters = front.table.counters
        self.access = access
        self._at: str
        self._at, self._port, *_ = sock.getsockname()
        # Clients of a loopback socket are on this host by definition.
        self.on_host = ip_address(self._at.partition("%")[0]).is_loopback
        self.hot = HotTable(None if fast is None else fast.Ready)
        self.waiting: dict[tuple[str, bool], int] = {}
        # Until then unknown names are asked for in turns, as the queue does not come to an end.
        self.pressed_until = 0.0
        self.warmth.on_clear(self.hot.clear, self._second)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        # What answers without Python, where there is such a thing.
        self._lane: Any = None
        self.observer: Observer | None = None
        self._prepare()
        self.use(observer)
        watch(loop, sock, self._readable, lane=self._lane)

    def use(self, observer: Observer | None) -> None:
        """Have an observer told of queries from now on, or nobody: then nothing is done for it."""
        self.observer = observer
        self.choose_way()

    def choose_way(self) -> None:
        """Have replies looked at on their way out only while there may be something to do then."""
        self._baked = self._jar.on_loopback if self.on_host else self._jar.on
        if self.observer is not None or self._baked:
            self.send = self._send_marked  # type: ignore[method-assign]
        else:
            self.__dict__.pop("send", None)

    def _prepare(self) -> None:
        """Make ready what the kind of listener needs."""
        raise NotImplementedError

    def _readable(self) -> None:
        raise NotImplementedError

    def send(self, reply: bytes, peer: Any) -> None:
        """Send one reply to where its query came from; losing it is the network's right."""
        raise NotImplementedError

    def address(self, peer: Any) -> bytes:
        """Return the octets of the address a query came from."""
        raise NotImplementedError

    def whose(self, peer: Any) -> bytes | str:
        """Return what stands for the client that a query came from."""
        return one_client(self.address(peer))

    def _limits(self) -> bool:
        """Return whether there are clients of this socket who may only ask so much."""
        limiter = self.access.limiter
        return limiter.on and (limiter.own_host or not self.on_host)

    def _is_new(self, raw: bytes) -> bool:
        """Return whether a query (without its ID) is for what had no answer lately."""
        if self._baked and MARK in raw:
            # Questions are kept without.
            raw = self._jar.without(raw, self._most())
        ask = self.questions.asks.get(raw)
        return ask is None or not self.table.knows(ask)

    def _behind(self, now: float) -> None:
        """Note that more queries wait than can be answered at once."""
        self.pressed_until = now + PRESSED_S

    def _too_many(self, data: bytes, peer: Any, address: bytes) -> bool:
        """Tell what is to be told of a query over its client's limit; False if it is answered.

        It is, where the client shows that it is at its address: then nobody else asks in its name.
        """
        if self.access.proves(address, data):
            return False
        counters, limiter = self._counters, self.access.limiter
        counters.queries += 1
        counters.limited += 1
        if limiter.slips():
            # Who has an old cookie needs no more than a new one.
            reply = self._jar.challenge(data, address) or replies.come_by_tcp(data)
            if reply is not None:
                counters.slipped += 1
                self.send(reply, peer)
        return True

    def query(self, data: bytes, peer: Any, host: str) -> None:
        """Take one datagram that the hot table does not know."""
        self._counters.queries += 1
        waiter = None
        try:
            if not self.access.allows(host):
                self._turn_away(data, peer, host)
                return
            if self._baked and MARK in data and self._jar.serves(host):
                opened = self._open(data, peer, host)
                if opened is None:
                    return
                data, peer = opened
            try:
                ask = self.questions.prepare(data)
            except WireError as error:
                if error.rcode is not None:
                    self.send(replies.refuse(data, error.rcode), peer)
                return
            noted = self.observer is not None and noted_of(peer) is not None
            client = None
            if not self.on_host and ask.local is None:
                client = client_of(host, self._at)
            if client is None:
                waiter = (NotedWaiter if noted else DatagramWaiter)(self, ask, data[:2], peer)
                self.table.submit(ask, waiter)
                return
            if ask.qtype == const.ANY:
                # Whoever wants all there is shows first where it is (RFC 8482 section 4.4).
                reply = replies.come_by_tcp(data)
                if reply is not None:
                    self.send(reply, peer)
                return
            whose = (client, ask.route.kind is Kind.CONSUL)
            if self.waiting.get(whose, 0) >= MAX_PER_CLIENT and not self.table.at_hand(ask):
                self.send(replies.refuse(data, const.SERVFAIL, ask.query, TOO_MANY), peer)
                return
            kind = NotedCountedWaiter if noted else CountedWaiter
            waiter = counted = kind(self, ask, data[:2], peer)
            self.table.submit(ask, waiter)
            counted.count(whose)
        except Exception as error:
            self._failed(data, peer, waiter, error)

    def _most(self) -> int:
        """Return how long a reply may be, whatever a client says."""
        return replies.DATAGRAM_LIMIT if self.on_host else replies.OWN_SIZE

    def _open(self, data: bytes, peer: Any, host: str) -> tuple[bytes, Any] | None:
        """Return a query without its cookie, and its peer with that; None where it is answered.

        Without it the query is as those of all who ask the same, so the hot table may know it.
        """
        try:
            opened = self._jar.open(data, host, self._most())
        except WireError:
            self.send(replies.refuse(data, const.FORMERR), peer)
            return None
        if opened is None:
            return data, peer
        if not opened.asks:
            self.send(opened.alone(), peer)
            return None
        data, peer = opened.query, with_cookie(peer, opened)
        variant = self.hot.answers.get(data[2:])
        if variant is None:
            return data, peer
        self._counters.hot += 1
        noted = noted_of(peer)
        if noted is not None:
            noted.kind = "hot"
        self.send(data[:2] + variant(), peer)
        return None

    def _note(self, data: bytes, peer: Any, client: tuple[str, int]) -> None:
        """Answer a query that is noted."""
        clock = self._clock
        noted = Noted(data, client, (self._at, self._port), "udp", clock.wall(), clock.now())
        mark = marked(peer, noted)
        variant = self.hot.answers.get(data[2:])
        if variant is None or client[0] not in self.access.seen:
            self.query(data, mark, client[0])
            return
        self._counters.hot += 1
        self._counters.queries += 1
        noted.kind = "hot"
        self.send(data[:2] + variant(), mark)

    def _send_marked(self, reply: bytes, peer: Any) -> None:
        """Send one reply with its cookie, and hand over what is noted of its query, if anything."""
        opened = opened_of(peer)
        if opened is not None:
            reply = opened.put(reply)
        type(self).send(self, reply, peer)
        noted, observer = noted_of(peer), self.observer
        if noted is not None and observer is not None:
            noted.reply = reply
            noted.took = self._clock.now() - noted.since
            observer.note(noted)

    def _turn_away(self, data: bytes, peer: Any, host: str) -> None:
        """Refuse who may not ask; what is prepared for clients is not theirs to fill.

        But not again and again: the address may be another's, who is to be flooded.
        """
        stranger = one_client(packed(host))
        now = self._clock.now()
        if not self.on_host and not self.access.limiter.may_be_told(stranger, now):
            self._counters.limited += 1
            return
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
        """Return the reply for a cached answer, which is hot from here on if there is room."""
        warmth, hot = self.warmth, self.hot
        entry = result.entry
        assert entry is not None
        again = ask.warm >= warmth.epoch - 1
        ask.warm = warmth.epoch
        # Asked for twice in one batch, or about to end, it is there already.
        give = hot.take(ask.raw)
        if give is None:
            now, ends = self._clock.now(), warmth.epoch_ends
            body = self.table.cache.body(entry, now)
            message = entry.message
            if not hot.has_room(entry, ends, again=again):
                return ident + next(in_turn(ask.query, message, limit, body, self._rng))
            ready = hot.make(ask.query, message, limit, body, self._rng)
            give = hot.put(ask.raw, ask.key, entry, int(now - entry.stored_at), ready, ends)
            reply = ident + give()
            # This one is not given because it was there.
            ready.hits = 0
            return reply
        return ident + give()

    def _second(self, now: float, ends: float) -> None:
        """Let what is hot be a second older; what was given of it counts as used."""
        used = self.table.cache.used
        for key in self.hot.age(now, ends):
            used(key)

    def stop_reading(self) -> None:
        """Take no more queries, but still answer those in flight."""
        unwatch(self._loop, self._sock)

    def close(self) -> None:
        """Stop listening."""
        unwatch(self._loop, self._sock)
        self.warmth.forget(self.hot.clear)
        self.hot.clear()
        self._sock.close()
