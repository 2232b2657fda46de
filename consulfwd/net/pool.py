"""The way to a server off the host: each query from a random port of a pool (RFC 5452).

A port is lent to one query at a time and taken back with the reply, so that what comes by it can be
the reply to one query only. A port that anything else came by, or whose query was given up, is
closed, and the next one is the kernel's choice again. Must not decide anything about failover.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from consulfwd.core.attempts import SPELLED, Attempt
from consulfwd.core.upstreams import Upstream
from consulfwd.net.channel import (
    BUFFER_FULL,
    FALSE_REPLY,
    OTHER_ID,
    OUR_SHORTAGE,
    TOO_MANY,
    Owner,
    overdue,
    tell_due,
)
from consulfwd.net.fastlane import fast
from consulfwd.net.lending import Lending
from consulfwd.net.loop import watch
from consulfwd.net.ports import Port, Ports, connected
from consulfwd.net.scopes import reason
from consulfwd.net.speller import Speller
from consulfwd.net.waiter import Waiter

RECEIVE_SIZE = 65535


class PortPool(Lending):
    """Sockets to one upstream off this host, for attempts and for relays (see `SharedUdp`).

    `ports` are the sockets of all such upstreams; `awake` is called when there is something to
    sweep again; `speller` spells names by chance where the upstream repeats that. By its `way` the
    compiled lane has queries sent here, and passes plain replies back: which port is next, its ID
    and the spelling are decided here each time.
    """

    def __init__(
        self,
        upstream: Upstream,
        loop: asyncio.AbstractEventLoop,
        owner: Owner,
        ports: Ports,
        awake: Callable[[PortPool], None],
    ) -> None:
        super().__init__(loop, ports)
        self._upstream = upstream
        self._owner = owner
        self._awake = awake
        self.speller = Speller()
        self.way: Any = None
        if fast is not None and owner.passing is not None:
            self.way = fast.PoolWay(owner.passing, self, owner, self.speller, Port)
        self._timer: asyncio.TimerHandle | None = None

    # -- out ----------------------------------------------------------------------------------

    def send(self, attempt: Attempt, tail: bytes) -> str | None:
        """Send a query given without its ID; return why it could not be sent, or None."""
        return self._send(attempt, tail, attempt.sent_at)

    def relay(self, relay: Waiter, tail: bytes) -> bool:
        """Send a relay's query; False when that has to go the long way: nobody gives way to it."""
        if self._send(relay, tail, relay.sent_at) is not None:
            return False
        if self._timer is None:
            self._timer = self._loop.call_later(self._upstream.hedge_after(), self._look_after)
        return True

    def _send(
        self, item: Attempt | Waiter, tail: bytes, now: float, *, short: bool = False
    ) -> str | None:
        port = self._at_hand(now, short=short)
        while port is not None:
            ident = self._new_id(port)
            try:
                port.sock.send(ident + self.speller.spell(port, item, tail, now))
            except BlockingIOError:
                self._keep(port)
                return BUFFER_FULL
            except OSError:
                # What came by it meanwhile, or has become of our address since, is not the fate
                # of this query: another port will tell.
                self.drop(port)
                port = self._at_hand(now, short=short)
                continue
            self._lend(port, ident, item, now)
            return None
        ports = self._ports
        if ports.full and (not isinstance(item, Attempt) or not ports.make_room(now)):
            return TOO_MANY
        try:
            sock = connected(self._upstream)
        except OSError as error:
            why = reason(error)
            if why in OUR_SHORTAGE and self._idle:
                return self._send(item, tail, now, short=True)
            return why
        port = Port(sock, self, now)
        ident = self._new_id(port)
        try:
            sock.send(ident + self.speller.spell(port, item, tail, now))
        except OSError as error:
            sock.close()
            return BUFFER_FULL if isinstance(error, BlockingIOError) else reason(error)
        lane = None if self.way is None else self.way.lane(port, sock.fileno())
        watch(self._loop, sock, partial(self._readable, port), first=True, lane=lane)
        self._awake(self)
        self._lend(port, ident, item, now)
        return None

    # -- in -----------------------------------------------------------------------------------

    def _readable(self, port: Port) -> None:
        try:
            data = port.sock.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(port, error)
            return
        self.take(port, data)

    def take(self, port: Port, data: bytes) -> None:
        """Take what came by a port."""
        item = port.item
        if item is None or data[:2] != port.ident:
            self._unexpected(port, data[:2])
            return
        owner = self._owner
        now = owner.clock.now()
        if port.spelled is not None or port.again:
            told = self.speller.read(port, data, now)
            if told is None:
                self._stray(port, item, SPELLED)
                return
            data = told
        if isinstance(item, Attempt):
            if not owner.on_reply(item, data):
                self._stray(port, item, FALSE_REPLY)
                return
        else:
            try:
                if owner.on_relayed(item, data, now):
                    owner.on_drained(item, 1, now)
            except Exception as error:
                owner.on_broken(item, error)
            self.settle(port, now)
            return
        self._take_back(port, now)

    def settle(self, port: Port, now: float) -> None:
        """Have the port of a relay that something came for at hand again, if it is over."""
        left = port.item
        if isinstance(left, Attempt) and not left.result:
            # A lookup has taken over, as what came was no reply: what else comes is its own.
            port.spent = True
            return
        self._take_back(port, now)

    def _unexpected(self, port: Port, ident: bytes) -> None:
        """Take note of what is no reply to the query a port is lent to: the port is known."""
        item = port.item
        if item is not None and (len(ident) < 2 or ident not in port.past):
            self._stray(port, item, OTHER_ID)
            return
        # To one that has its answer, if any: the network, or a server, says things twice.
        port.spent = True
        self._owner.on_unasked(1)
        if item is None:
            self.drop(port)

    def _stray(self, port: Port, item: Attempt | Waiter, why: str) -> None:
        """Wait past what came in place of a reply, if it is still worth waiting."""
        port.spent = True
        if isinstance(item, Attempt):
            self._owner.on_stray(item, why)
        else:
            self._owner.on_relay_stray(item, why)
        left = port.item
        if left is None or (isinstance(left, Attempt) and left.result):
            self.drop(port)

    def _failed(self, port: Port, error: OSError) -> None:
        item = port.item
        self.drop(port)
        if item is None:
            return
        why = os.strerror(error.errno or 0).lower()
        refused = isinstance(error, ConnectionRefusedError)
        if isinstance(item, Attempt):
            self._owner.on_failure(item, why, refused=refused)
        else:
            self._owner.on_relay_failed(item, why, refused=refused)

    # -- relays -------------------------------------------------------------------------------

    def adopt(self, ident: bytes, attempt: Attempt) -> None:
        """Put an attempt in the place of the relay that was sent with this ID."""
        port = self._lent.get(ident)
        if port is not None and isinstance(port.item, Waiter):
            port.item = attempt

    def reopen(self, ident: bytes, attempt: Attempt) -> None:
        """Let an attempt wait on for the reply to a relay; what came for that was none."""
        self.adopt(ident, attempt)

    def forget(self, relay: Waiter) -> None:
        """Take no reply to a relay any more: it has had its answer."""
        if (port := self._port_of(relay)) is not None:
            self.drop(port)

    def flush(self) -> None:
        """Send the queries collected meanwhile: there are none, each has left by its own port."""

    def _look_after(self) -> None:
        """Tell of relays that have waited for longer than is usual here."""
        self._timer = None
        late = self._owner.clock.now() - self._upstream.hedge_after()
        due, pause = overdue((port.item for port in self._lent.values()), late)
        if pause is not None:
            self._timer = self._loop.call_later(pause, self._look_after)
        tell_due(self._owner, due, lambda relay: self._port_of(relay) is not None)

    def _port_of(self, relay: Waiter) -> Port | None:
        """Return the port by which a relay waits for its reply, if it does."""
        port = self._lent.get(relay.ident)
        return port if port is not None and port.item is relay else None

    # -- ends ---------------------------------------------------------------------------------

    def give_way(self, port: Port) -> None:
        """Close a port; what it was lent to had to give way."""
        item = port.item
        self.drop(port)
        if isinstance(item, Attempt):
            self._owner.on_gave_way(item)
        elif item is not None:
            self._owner.on_relay_gave_way(item)

    def close(self) -> None:
        """Let go of every socket."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().close()
