"""The ports to one server off the host: those lent to a query, and those at hand for the next.

What goes and comes by them is `pool`'s.
"""

from __future__ import annotations

import asyncio

from consulfwd.core.attempts import Attempt
from consulfwd.net.channel import random_ids
from consulfwd.net.loop import unwatch
from consulfwd.net.ports import PORTS, Port, Ports
from consulfwd.net.waiter import Waiter

# Replies this late no longer tell anything about an upstream's health.
FORGET_AFTER = 5.0


class Lending:
    """Lends each port to one query at a time; `ports` are the sockets of all such servers."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ports: Ports) -> None:
        self._loop = loop
        self._ports = ports
        self._ids = random_ids()
        self._chance = random_ids()
        # By the ID of what they are lent to, the longest lent first; and those at hand.
        self._lent: dict[bytes, Port] = {}
        self._idle: list[Port] = []

    def _at_hand(self, now: float, *, short: bool = False) -> Port | None:
        """Take one of the ports at hand, by chance; None where another one is to be opened.

        Where none can be, as the system is `short` of something, one will do whose like are few.
        """
        idle, ports = self._idle, self._ports
        while idle and (short or len(idle) + len(self._lent) >= PORTS or ports.full):
            place = int.from_bytes(next(self._chance), "big") % len(idle)
            port, idle[place] = idle[place], idle[-1]
            idle.pop()
            ports.at_hand -= 1
            if not idle:
                del ports.keepers[self]
            if not port.spent and now < port.ends_at:
                return port
            self.drop(port)
        return None

    def _keep(self, port: Port) -> None:
        """Have a port at hand."""
        idle, ports = self._idle, self._ports
        if not idle:
            ports.keepers[self] = None
        idle.append(port)
        ports.at_hand += 1

    def _new_id(self, port: Port) -> bytes:
        """Return an ID that nothing else has here, and nothing had by this port."""
        ident = next(self._ids)
        while ident in self._lent or ident in port.past:
            ident = next(self._ids)
        return ident

    def _lend(self, port: Port, ident: bytes, item: Attempt | Waiter, now: float) -> None:
        self._ports.room.take(port, now)
        self._lent[ident] = port
        port.ident, port.item = ident, item
        if item.__class__ is not Attempt:
            item.ident = ident  # type: ignore[union-attr]

    def _take_back(self, port: Port, now: float) -> None:
        """Keep a port for another query, as the one it was lent to has its reply."""
        if self._lent.get(port.ident) is not port:
            return  # closed meanwhile
        port.past += port.ident
        if port.worn(now) or self._ports.enough:
            self.drop(port)
            return
        del self._lent[port.ident]
        self._ports.room.give_back(port)
        port.item = None
        self._keep(port)

    def drop(self, port: Port) -> None:
        """Close a port; what it was lent to is told nothing. Harmless where that was done."""
        ports = self._ports
        if self._lent.get(port.ident) is port:
            del self._lent[port.ident]
            ports.room.give_back(port)
        elif port in self._idle:
            self._idle.remove(port)
            ports.at_hand -= 1
            if not self._idle:
                del ports.keepers[self]
        port.item, port.spent = None, True
        unwatch(self._loop, port.sock)
        port.sock.close()

    def spare(self) -> None:
        """Close one of those at hand, which there are."""
        self.drop(self._idle[0])

    def give_way(self, port: Port) -> None:
        """Close a port; what it was lent to had to give way."""
        raise NotImplementedError

    def sweep(self, now: float) -> bool:
        """Forget attempts that will not be answered any more; return whether others are left."""
        for port in [one for one in self._idle if one.worn(now)]:
            self.drop(port)
        for port in list(self._lent.values()):
            item = port.item
            if item is not None and item.sent_at > now - FORGET_AFTER:
                break
            if isinstance(item, Attempt) and item.lookup.outcome is not None:
                self.drop(port)
        return bool(self._lent or self._idle)

    def close(self) -> None:
        """Close all ports."""
        for port in [*self._lent.values(), *self._idle]:
            self.drop(port)
