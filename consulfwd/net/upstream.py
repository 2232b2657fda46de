"""Exchanges with upstreams on this host: carries attempts out, hands replies and failures back.

Replies are matched to attempts by ID here; whether they answer the question is checked by the
owner. All queries to one upstream share a connected socket. Must not decide anything about
failover.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from consulfwd.core.attempts import Attempt
from consulfwd.core.upstreams import Upstream
from consulfwd.net import mmsg
from consulfwd.net.channel import (
    BUFFER_FULL,
    FALSE_REPLY,
    TOO_MANY,
    Owner,
    overdue,
    random_ids,
    tell_due,
)
from consulfwd.net.fastlane import fast
from consulfwd.net.loop import unwatch, watch
from consulfwd.net.ports import connected
from consulfwd.net.scopes import reason
from consulfwd.net.waiter import Waiter

RECEIVE_SIZE = 65535
# Of a reply so much stands in one block with the others, which stays in the processor's cache.
SLOT = 2048
DRAIN = 64
# How often in a row a socket is read while it gives whole batches.
ROUNDS = 64
# So many queries may wait at one on-host server: with more, free IDs are hard to come by.
WINDOW = 16_384
# Replies this late no longer tell anything about an upstream's health.
FORGET_AFTER = 5.0
# How often (seconds) it is looked whether any of those that wait does so in vain.
RECLAIM_EVERY = 0.1
# One of the relays that were answered in one go, how many, and when.
Taken = tuple[Waiter | None, int, float]


class SharedUdp:
    """One connected socket for all queries to an upstream on this host.

    Besides attempts it carries relays: queries for which nothing is decided unless no reply comes
    in time, told to the owner by `on_relay_due`.
    """

    def __init__(self, upstream: Upstream, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self._upstream = upstream
        self._loop = loop
        self._owner = owner
        self._ids = random_ids()
        self._pending: dict[bytes, Attempt | Waiter] = {}
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._batch: mmsg.Batch | None = None
        self._outbox: list[bytes] = []
        self._reclaimed_at = 0.0
        # What the compiled lane has of it: queries go out by it, and plain replies back.
        self.way: Any = None
        if fast is not None and owner.passing is not None:
            self.way = fast.Way(owner.passing, self, owner, self._pending, WINDOW)

    def relay(self, relay: Waiter, tail: bytes) -> bool:
        """Send a relay's query; False when that has to go the long way."""
        pending = self._pending
        if self._batch is None or len(pending) >= WINDOW:
            return False
        ident = next(self._ids)
        while ident in pending:
            ident = next(self._ids)
        self._outbox.append(ident + tail)
        pending[ident] = relay
        relay.ident = ident
        if not self._owner.batching:
            self.flush()
        if self._timer is None:
            self._arm()
        return True

    def _arm(self) -> None:
        self._timer = self._loop.call_later(self._upstream.hedge_after(), self._look_after)

    def passed_on(self, failure: int) -> None:
        """Look after what the compiled lane has sent: this errno was the last failure (0: none)."""
        if self._timer is None:
            self._arm()
        if failure == errno.ECONNREFUSED:
            self._refused()

    def flush(self) -> None:
        """Send the queries collected meanwhile."""
        if self._outbox and self._batch is not None:
            failure = self._batch.send(self._outbox)
            self._outbox.clear()
            if failure == errno.ECONNREFUSED:
                self._refused()

    def adopt(self, ident: bytes, attempt: Attempt) -> None:
        """Put an attempt in the place of the relay that was sent with this ID."""
        # Once its reply is read nothing more is to come with this ID.
        if ident in self._pending:
            self._pending[ident] = attempt

    def reopen(self, ident: bytes, attempt: Attempt) -> None:
        """Let an attempt wait on for the reply to a relay; what came for that was none."""
        self._pending.setdefault(ident, attempt)

    def forget(self, relay: Waiter) -> None:
        """Take no reply to a relay any more: it has had its answer."""
        if self._pending.get(relay.ident) is relay:
            del self._pending[relay.ident]

    def _look_after(self) -> None:
        """Tell of relays that have waited for longer than is usual here."""
        self._timer = None
        late = self._owner.clock.now() - self._upstream.hedge_after()
        due, pause = overdue(self._pending.values(), late)
        if pause is not None:
            self._timer = self._loop.call_later(pause, self._look_after)
        tell_due(self._owner, due, lambda relay: self._pending.get(relay.ident) is relay)

    def send(self, attempt: Attempt, tail: bytes) -> str | None:
        if len(self._pending) >= WINDOW and not self._reclaim():
            return TOO_MANY
        pending = self._pending
        ident = next(self._ids)
        while ident in pending:
            ident = next(self._ids)
        sock = self._sock
        try:
            if sock is None:
                self._sock = sock = connected(self._upstream)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                if mmsg.available:
                    self._batch = mmsg.Batch(sock, SLOT, RECEIVE_SIZE - SLOT, named=False)
                    if self.way is not None:
                        self.way.use(self._batch)
                lane = self.way if self._batch is not None else None
                watch(self._loop, sock, self._readable, first=True, lane=lane)
            try:
                sock.send(ident + tail)
            except ConnectionRefusedError:
                # The kernel reports the fate of an earlier datagram; this one is not sent yet.
                self._refused()
                sock.send(ident + tail)
        except BlockingIOError:
            return BUFFER_FULL
        except OSError as error:
            return reason(error)
        pending[ident] = attempt
        return None

    def _readable(self) -> None:
        owner = self._owner
        owner.batching = True
        try:
            for _ in range(ROUNDS):
                received, failure = self._received()
                sample, relayed, now = self._take(received)
                if sample is not None:
                    owner.on_drained(sample, relayed, now)
                if failure is not None:
                    self.lost(failure)
                if len(received) < mmsg.BATCH or self._sock is None:
                    break
        finally:
            owner.batching = False
            owner.flush()

    def take_left(self, received: Sequence[bytes]) -> Taken:
        """Take what came and the compiled lane leaves; it tells of all relays of a batch."""
        owner = self._owner
        owner.batching = True
        try:
            return self._take(received)
        finally:
            owner.batching = False
            owner.flush()

    def _take(self, received: Iterable[bytes]) -> Taken:
        """Hand over replies; return which relays were answered (`Owner.on_drained`).

        Where that goes wrong with one, it goes on behind it.
        """
        pop = self._pending.pop
        owner = self._owner
        on_reply, on_relayed = owner.on_reply, owner.on_relayed
        now = owner.clock.now()
        relayed = unasked = 0
        sample: Waiter | None = None
        left = iter(received)
        while True:
            try:
                for data in left:
                    item = pop(data[:2], None)
                    if item is None:
                        unasked += 1
                        continue
                    if item.__class__ is not Attempt:
                        if on_relayed(item, data, now):  # type: ignore[arg-type]
                            relayed += 1
                            sample = item  # type: ignore[assignment]
                    elif not on_reply(item, data):
                        self._stray(data[:2], item)
                break
            except Exception as error:
                owner.on_broken(item, error)  # type: ignore[arg-type]
        if unasked:
            owner.on_unasked(unasked)
        return sample, relayed, now

    def _stray(self, ident: bytes, attempt: Attempt) -> None:
        """Wait past a false reply, if it is still worth waiting."""
        pending = self._pending
        pending[ident] = attempt
        self._owner.on_stray(attempt, FALSE_REPLY)
        if attempt.result and pending.get(ident) is attempt:
            del pending[ident]

    def _received(self) -> tuple[Sequence[bytes], OSError | None]:
        """Return the replies that are there, and what became of the port behind them."""
        received: list[bytes] = []
        try:
            if self._batch is not None:
                return self._batch.messages() if self._batch.receive() else (), None
            assert self._sock is not None
            for _ in range(DRAIN):
                received.append(self._sock.recv(RECEIVE_SIZE))
        except BlockingIOError:
            pass
        except OSError as error:
            return received, error
        return received, None

    def lost(self, failure: OSError) -> None:
        """Take what became of the port, as the socket tells."""
        if isinstance(failure, ConnectionRefusedError):
            self._refused()
        else:
            self._fail_all(os.strerror(failure.errno or 0).lower(), refused=False)

    def _refused(self) -> None:
        self._fail_all("connection refused", refused=True)

    def _fail_all(self, reason: str, *, refused: bool) -> None:
        items = list(self._pending.values())
        self._pending.clear()
        for item in items:
            if isinstance(item, Attempt):
                if not item.result:
                    self._owner.on_failure(item, reason, refused=refused)
                continue
            try:
                self._owner.on_relay_failed(item, reason, refused=refused)
            except Exception as error:
                self._owner.on_broken(item, error)

    def _reclaim(self) -> bool:
        """Forget every attempt nobody waits for any more; return whether there was one."""
        now = self._owner.clock.now()
        if now < self._reclaimed_at + RECLAIM_EVERY:
            return False
        self._reclaimed_at = now
        over = [
            ident
            for ident, item in self._pending.items()
            if isinstance(item, Attempt) and item.lookup.outcome is not None
        ]
        for ident in over:
            del self._pending[ident]
        return bool(over)

    def sweep(self, now: float) -> bool:
        pending = self._pending
        for ident, item in list(pending.items()):
            if item.sent_at > now - FORGET_AFTER:
                break
            if isinstance(item, Waiter) or item.lookup.outcome is not None:
                del pending[ident]
        return True  # relays come in without anybody being told

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._batch = None
        if self.way is not None:
            self.way.use(None)
        if self._sock is not None:
            unwatch(self._loop, self._sock)
            self._sock.close()
            self._sock = None
        self._pending.clear()
