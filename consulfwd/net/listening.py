"""The addresses of the settings: those that are listened on, and those this host has not now.

What belongs here is which address has its listeners, and when it is tried again. How sockets are
bound is `binding`'s, how they are read the listeners'. It keeps no time itself: `now` is passed in.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, Protocol

from consulfwd.config import Endpoint
from consulfwd.core.upstreams import NO_INTERFACE
from consulfwd.errors import StartError
from consulfwd.net.binding import Bound, Pair
from consulfwd.net.scopes import SocketAddress, socket_address
from consulfwd.net.tcp import TcpListener
from consulfwd.net.udp_base import BaseListener
from consulfwd.words import duration

log = logging.getLogger("consulfwd")

# Seconds from one look to the next: after news, and at most.
SOON, LATEST = 1.0, 5.0
AGAIN = "it is tried again"
NO_WAY_BACK = "a right that was given up at the start does not come back: restart consulfwd"
Listeners = tuple[BaseListener, TcpListener]


class Sockets(Protocol):
    """Where bound sockets come from, and who is told which are not needed any more."""

    def bind(self, endpoints: Iterable[Endpoint]) -> Bound:
        """Return the sockets of the addresses that this host has. Raises StartError."""

    def let_go(self, endpoint: Endpoint) -> None:
        """Take note that an address is listened on no longer."""


class Missing(NamedTuple):
    """Why an address cannot be had, and since when."""

    reason: str
    since: float


class Answering(NamedTuple):
    """An address's listeners, where they answer, and what the kernel calls that."""

    listeners: Listeners
    at: Endpoint
    name: SocketAddress


class Listening:
    """A UDP and a TCP listener (made by `listen`) on each address that this host has.

    `missing` are the addresses it has not. They may come, and others go: `look` when it is `due`.
    """

    def __init__(
        self, sockets: Sockets, listen: Callable[[Pair], Awaitable[Listeners]]
    ) -> None:
        self._sockets = sockets
        self._listen = listen
        self._answering: dict[Endpoint, Answering] = {}
        self.missing: dict[Endpoint, Missing] = {}
        self._look_at = 0.0
        self._pause = SOON

    @property
    def listeners(self) -> dict[Endpoint, Listeners]:
        """Return the listeners, by the address of the settings."""
        return {endpoint: one.listeners for endpoint, one in self._answering.items()}

    @property
    def endpoints(self) -> list[Endpoint]:
        """Return where it answers: with the port that was found for port 0."""
        return [one.at for one in self._answering.values()]

    def bind(self, wanted: Iterable[Endpoint]) -> Bound:
        """Return sockets for those of the addresses that have no listeners.

        Raises StartError with every fault, and if none at all would be listened on. What stands in
        the way of one that was missing before is none: other settings are not to wait for it.
        """
        wanted = list(wanted)
        known = self._answering.keys() | self.missing.keys()
        bound = self._sockets.bind([one for one in wanted if one not in known])
        for one in [one for one in wanted if one in self.missing]:
            try:
                again = self._sockets.bind([one])
            except StartError as error:
                bound.missing[one] = str(error)
            else:
                bound.pairs.update(again.pairs)
                bound.missing.update(again.missing)
        if not bound.pairs and self._answering.keys().isdisjoint(wanted):
            raise StartError("\n".join(bound.missing.values()))
        return bound

    async def open(self, bound: Bound, now: float) -> None:
        """Listen on what was bound for the settings; try again what is missing of them."""
        for endpoint, pair in bound.pairs.items():
            await self._open(endpoint, pair)
        before = self.missing
        self.missing = {}
        for endpoint, reason in bound.missing.items():
            if endpoint not in before:
                log.warning("%s (%s)", reason, AGAIN)
            self.missing[endpoint] = before.get(endpoint) or Missing(reason, now)
        self._news(now)

    async def _open(self, endpoint: Endpoint, pair: Pair) -> None:
        name = pair[0].getsockname()
        at = Endpoint(host=endpoint.host, port=name[1])
        self._answering[endpoint] = Answering(await self._listen(pair), at, name)

    def close(self, endpoints: Iterable[Endpoint]) -> None:
        """Listen on these no longer."""
        for endpoint in endpoints:
            for listener in self._answering.pop(endpoint).listeners:
                listener.close()
            self._sockets.let_go(endpoint)

    def give_up(self, bound: Bound) -> None:
        """Listen on none of what was bound."""
        for endpoint in bound.pairs:
            self._sockets.let_go(endpoint)
        bound.close()

    def stop(self) -> None:
        """Read no more, and look for nothing; whoever keeps the sockets goes on to."""
        for one in self._answering.values():
            for listener in one.listeners:
                listener.close()
        self._answering.clear()
        self.missing.clear()

    def due(self, now: float) -> bool:
        """Return whether it is time to `look`."""
        if now < self._look_at:
            return False
        return bool(self.missing) or any("%" in one.host for one in self._answering)

    @property
    def patient(self) -> bool:
        """Return whether `due` need not be asked more often than every `LATEST` seconds."""
        return not self.missing or self._pause >= LATEST

    async def look(self, now: float) -> bool:
        """Try what is missing; return whether an address is listened on that was not before."""
        self._look_at = now + self._pause
        self._pause = min(self._pause * 2, LATEST)
        self._leave(now)
        came = []
        for one in list(self.missing):
            try:
                if await self._try(one, now):
                    came.append(one)
            except Exception:
                # The others are not to wait for it.
                log.exception("%s cannot be listened on (%s)", one, AGAIN)
        if came:
            # What comes with the same interface may not be long in coming.
            self._news(now)
        return bool(came)

    def _leave(self, now: float) -> None:
        """Leave interfaces that are gone: if they are there again, they are others."""
        for endpoint, one in list(self._answering.items()):
            if "%" in endpoint.host and not _still(one):
                log.warning("%s is gone with its interface (%s)", one.at, AGAIN)
                self.close([endpoint])
                self.missing[endpoint] = Missing(NO_INTERFACE, now)

    async def _try(self, endpoint: Endpoint, now: float) -> bool:
        before = self.missing[endpoint]
        try:
            bound = self._sockets.bind([endpoint])
        except StartError as error:
            if str(error) != before.reason:
                log.error("%s (%s)", error, NO_WAY_BACK if error.no_right else AGAIN)
            self.missing[endpoint] = Missing(str(error), before.since)
            return False
        if endpoint in bound.missing:
            return False
        try:
            await self._open(endpoint, bound.pairs[endpoint])
        except Exception:
            # Whatever that was, it is not to be missing for good.
            self.give_up(bound)
            raise
        del self.missing[endpoint]
        at = self._answering[endpoint].at
        log.info("listening on %s too: it was missing for %s", at, duration(now - before.since))
        return True

    def _news(self, now: float) -> None:
        self._pause = SOON
        self._look_at = now + SOON


def _still(one: Answering) -> bool:
    try:
        return socket_address(one.at.host, one.at.port) == one.name
    except OSError as error:
        # Where that cannot be found out, for want of descriptors, it stays.
        return error.errno != errno.ENODEV
