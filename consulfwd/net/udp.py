"""UDP listeners: drain the socket, answer from the hot table, hand the rest to the table.

`UdpListener._trusting` is the hottest code there is: a hit is two slices and a
look-up, and both receiving and sending are one system call for many datagrams.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from consulfwd.core.access import Access
from consulfwd.net import mmsg
from consulfwd.net.clock import usual_now
from consulfwd.net.fastlane import fast
from consulfwd.net.front import Front
from consulfwd.net.noting import Noted, Observer
from consulfwd.net.udp_base import BaseListener
from consulfwd.net.udp_waiters import DatagramWaiter
from consulfwd.net.udp_wildcard import WildcardListener
from consulfwd.net.waiter import Waiter

log = logging.getLogger("consulfwd.udp")

ROUNDS = 8
WORTH_ANOTHER = 24
_LOOPBACK = {
    socket.AF_INET: ip_network("127.0.0.0/8"),
    socket.AF_INET6: ip_network("::1/128"),
}
# Where a struct sockaddr has the address.
_ADDRESS = {socket.AF_INET: slice(4, 8), socket.AF_INET6: slice(8, 24)}
# Where message i of a batch begins, and where it goes on behind its ID. Longer than most batches:
# what is zipped with them ends first.
_STARTS = tuple(range(0, mmsg.BATCH * mmsg.SLOT, mmsg.SLOT))
_KEYS = tuple(start + 2 for start in _STARTS)


class UdpListener(BaseListener):
    """A socket bound to one address, read and written many datagrams at a time."""

    def _prepare(self) -> None:
        self._batch = mmsg.Batch(self._sock)
        self._replies: list[bytes] = []
        self._names: list[bytes] = []
        self._address = _ADDRESS[self._sock.family]
        if fast is not None:
            self._lane = fast.HotLane(
                self._batch, self.hot.answers, self.hot.ending, self.access, self.warmth,
                self._clock, usual_now, self._counters,
            )  # fmt: skip
            self._lane.taker = self.driver.passer(self)
        self.driver.on_flush(self.flush)

    def _trusted(self) -> bool:
        """Return whether every client that can reach this socket may ask."""
        if not self.on_host or self.access.limiter.own_host:
            return False
        return _LOOPBACK[self._sock.family] in self.access.networks

    def use(self, observer: Observer | None) -> None:
        if self._lane is not None:
            # It notes nothing; it opens again when it is found that it may.
            self._lane.trusted = None
        super().use(observer)

    def _readable(self) -> None:
        batch, driver, lane = self._batch, self.driver, self._lane
        if self._clock.now() >= self.warmth.good_until:
            self.warmth.overdue()
        trusted = self._trusted()
        drain = self._trusting if trusted else self._checking
        observer = self.observer
        rest: list[int] = []
        if lane is not None:
            rest = lane.take()
            lane.trusted = self.access.networks if trusted and observer is None else None
        driver.batching = True
        try:
            for _ in range(ROUNDS):
                if rest:
                    # Those the lane received, and had no answers for.
                    count = len(batch.lengths)
                    self._ask(rest)
                    rest = []
                else:
                    count = batch.receive()
                    if count:
                        drain(() if observer is None else observer.take(count))
                if count < WORTH_ANOTHER:
                    break
                driver.flush()
            else:
                self._behind(self._clock.now())
        except OSError as error:
            log.debug("UDP: %s", error)
        finally:
            driver.batching = False
            driver.flush()

    def _trusting(self, noted: Sequence[int] = ()) -> None:
        """Answer a batch whose clients may all ask; those of these numbers are `noted`."""
        batch = self._batch
        if max(batch.lengths) > mmsg.SLOT:
            self._checking(noted)
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
            if noted:
                self._note_ready(noted, dict(enumerate(tails)))
            return
        if tails:
            size = batch.name_size
            hits = sorted(set(range(len(batch.lengths))).difference(rest))
            for index, tail in zip(hits, tails, strict=True):
                start = _STARTS[index]
                self._replies.append(data[start : start + 2] + tail)
                self._names.append(peers[index * size : (index + 1) * size])
            if noted:
                self._note_ready(noted, dict(zip(hits, tails, strict=True)))
        if noted:
            left = set(rest)
            self._note_all(left.intersection(noted))
            rest = sorted(left.difference(noted))
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
                    if lengths[index] > mmsg.SLOT:
                        waiter = None
                        self.query(batch.message(index), peer, mmsg.to_address(peer)[0])
                        continue
                    ask = asks.get(data[key:end])
                    if ask is not None:
                        asked += 1
                        waiter = DatagramWaiter(self, ask, data[start:key], peer)
                        submit(ask, waiter, now)
                    else:
                        waiter = None
                        self.query(data[start:end], peer, mmsg.to_address(peer)[0])
                break
            except Exception as error:
                # The one that failed is behind the iterator: it goes on with the next.
                self._failed(data[start:end], peer, waiter, error)
        self._counters.queries += asked

    def _note_ready(self, noted: Iterable[int], tails: Mapping[int, bytes]) -> None:
        """Note queries of a batch whose answers were ready: here, without their IDs."""
        batch, size, observer = self._batch, self._batch.name_size, self.observer
        if observer is None:
            return
        now, wall = self._clock.now(), self._clock.wall()
        for index in noted:
            tail = tails.get(index)
            if tail is None:
                continue
            start = _STARTS[index]
            data = batch.data[start : start + batch.lengths[index]]
            client = mmsg.to_address(batch.names[index * size : (index + 1) * size])
            one = Noted(data, client, (self._at, self._port), "udp", wall, now)
            one.kind = "hot"
            one.reply = data[:2] + tail
            observer.note(one)

    def _note_all(self, noted: Iterable[int]) -> None:
        """Answer those of a batch that are noted."""
        batch, size = self._batch, self._batch.name_size
        for index in noted:
            peer = batch.names[index * size : (index + 1) * size]
            self._note(batch.message(index), peer, mmsg.to_address(peer))

    def _checking(self, noted: Sequence[int] = ()) -> None:
        """Answer a batch, looking at every client's address, and at queries of any length.

        Those of these numbers are `noted`.
        """
        over = self._over_limits() if self._limits() else ()
        if over:
            noted = [index for index in noted if index not in over]
        if noted:
            self._note_all(noted)
        batch = self._batch
        peers = batch.names
        ready = self.hot.answers.get
        counters = self._counters
        size = batch.name_size
        left: Iterable[int] = range(len(batch.lengths))
        if noted or over:
            left = set(left).difference(noted, over)
        for index in left:
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

    def _over_limits(self) -> set[int]:
        """Return which of a batch are too many of their clients'; these are told already."""
        batch = self._batch
        names, size, first = batch.names, batch.name_size, self._address.start
        octets = self._address.stop - first
        now = self._clock.now()
        over: set[int] = set()
        limiter = self.access.limiter
        is_over, pressed = limiter.over, now < self.pressed_until
        data = batch.data
        for index, length in enumerate(batch.lengths):
            at = index * size
            address = names[at + first : at + first + octets]
            too_many = is_over(address, now)
            if pressed and not too_many:
                start = index * mmsg.SLOT + 2
                if self._is_new(data[start : start + length - 2]):
                    too_many = limiter.over_new(address, now)
            if too_many:
                peer = names[at : at + size]
                if self._too_many(batch.message(index), peer, address):
                    over.add(index)
        return over

    def address(self, peer: Any) -> bytes:
        found: bytes = peer[self._address]
        return found

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


def listen(
    sock: socket.socket,
    front: Front,
    access: Access,
    loop: asyncio.AbstractEventLoop,
    observer: Observer | None = None,
) -> BaseListener:
    """Return the listener that suits a bound socket and this system."""
    wildcard = sock.getsockname()[0] in ("0.0.0.0", "::")
    kind = UdpListener if mmsg.available and not wildcard else WildcardListener
    return kind(sock, front, access, loop, observer)
