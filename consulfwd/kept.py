"""Listening sockets that outlive this process: the service manager keeps them while it restarts.

Queries that arrive meanwhile wait in the sockets and are answered by the next process. The manager
hands them over as sd_listen_fds(3) has it, and takes them by FDSTORE= of sd_notify(3). Must not
know what is read from them.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Iterable, MutableMapping

from consulfwd.config import Endpoint
from consulfwd.errors import StartError
from consulfwd.net.binding import Bound, Pair, bind_all, bind_beside
from consulfwd.notify import Notifier

log = logging.getLogger("consulfwd")

_FIRST = 3
# How long (seconds) the manager may take to close what it was told to let go.
RELEASE_S = 1.0


class Kept:
    """The sockets handed over to this process, and what becomes of them.

    `names` are those the manager knows them by, in the same order. Of each address there are
    `count` pairs of sockets, among which the kernel shares out what comes (SO_REUSEPORT).
    """

    def __init__(
        self,
        notifier: Notifier,
        handed_over: Iterable[socket.socket] = (),
        names: Iterable[str] = (),
        count: int = 1,
    ) -> None:
        self.count = count
        self._beside: dict[socket.socket, list[Pair]] = {}
        self._notifier = notifier
        self._spare = list(handed_over)
        self._names = dict(zip(self._spare, names, strict=False))

    @classmethod
    def take(cls, notifier: Notifier, environ: MutableMapping[str, str], pid: int) -> Kept:
        """Return what was handed over, and take word of it out of the environment."""
        count = environ.pop("LISTEN_FDS", "")
        meant = environ.pop("LISTEN_PID", "") == str(pid)
        names = environ.pop("LISTEN_FDNAMES", "").split(":")
        found: dict[socket.socket, str] = {}
        if meant and count.isascii() and count.isdigit():
            for at, number in enumerate(range(_FIRST, _FIRST + int(count))):
                # What is no socket, or not there, was not meant for us.
                with contextlib.suppress(OSError):
                    sock = socket.socket(fileno=number)
                    sock.set_inheritable(False)
                    found[sock] = names[at] if at < len(names) else ""
        return cls(notifier, found, found.values())

    def bind(self, endpoints: Iterable[Endpoint]) -> Bound:
        """Return the sockets of the addresses that this host has, those handed over among them.

        Raises StartError with every fault. From here on the manager keeps what is bound.
        """
        wanted = list(endpoints)
        there = {one: pair for one in wanted if (pair := self._handed_over(one)) is not None}
        for endpoint, pair in there.items():
            self._beside[pair[0]] = self._others_handed_over(endpoint)
        if there:
            log.info("taken over: the sockets of %s", ", ".join(map(str, there)))
        patience = RELEASE_S if self._drop_spare() else 0.0
        bound = self._bind([one for one in wanted if one not in there], patience)
        for endpoint, pair in bound.pairs.items():
            if endpoint.port:
                self._notifier.keep(name_of(endpoint), pair)
        pairs = {**there, **bound.pairs}
        found = Bound({one: pairs[one] for one in wanted if one in pairs}, bound.missing)
        if self.count > 1:
            self._share(found)
        return found

    def pairs(self, pair: Pair) -> list[Pair]:
        """Return all pairs of an address whose first this is. They are the caller's to close."""
        return [pair, *self._beside.pop(pair[0], ())]

    def _others_handed_over(self, endpoint: Endpoint) -> list[Pair]:
        found = (self._handed_over(endpoint, number) for number in range(1, self.count))
        return [pair for pair in found if pair is not None]

    def _share(self, bound: Bound) -> None:
        """Bind each address as often as there are to be pairs. Raises StartError."""
        try:
            for endpoint, pair in bound.pairs.items():
                beside = self._beside.setdefault(pair[0], [])
                while len(beside) < self.count - 1:
                    beside.append(bind_beside(pair))
                    if endpoint.port:
                        self._notifier.keep(name_of(endpoint, len(beside)), beside[-1])
        except OSError as error:
            for pair in bound.pairs.values():
                for sock in (one for each in self.pairs(pair)[1:] for one in each):
                    sock.close()
            bound.close()
            raise StartError(f"workers: {endpoint} cannot be shared: {error.strerror}") from None

    def _bind(self, endpoints: list[Endpoint], patience: float) -> Bound:
        """Bind what was not handed over; what the manager is to release may be in use till then."""
        end = time.monotonic() + patience
        while True:
            try:
                return bind_all(endpoints)
            except StartError:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.02)

    def let_go(self, endpoint: Endpoint) -> None:
        """Have the manager keep the sockets of an address no longer."""
        self._let_go(name_of(endpoint, number) for number in range(self.count))

    def give_up(self) -> None:
        """Have the manager close all that was handed over: this process will not serve.

        Whoever asks is refused at once then, and can ask another server. Were the sockets still
        open, each query would wait in vain.
        """
        self._let_go(self._names.values())

    def _let_go(self, names: Iterable[str]) -> None:
        for name in dict.fromkeys(names):
            if name:
                self._notifier.send("FDSTOREREMOVE=1", f"FDNAME={name}")

    def _drop_spare(self) -> bool:
        """Give up what was handed over and is not wanted any more; return whether there was any."""
        spare, self._spare = self._spare, []
        taken = {name for sock, name in self._names.items() if sock not in spare}
        self._let_go(name for one in spare if (name := self._names.get(one, "")) not in taken)
        for sock in spare:
            sock.close()
        return bool(spare)

    def _handed_over(self, endpoint: Endpoint, number: int = 0) -> Pair | None:
        """Return both sockets of an address if they were handed over; those of its name first."""
        name = name_of(endpoint, number)
        spare = sorted(self._spare, key=lambda sock: self._names.get(sock) != name)
        pair = [
            next((sock for sock in spare if _serves(sock, endpoint, kind)), None)
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        ]
        udp, tcp = pair
        if udp is None or tcp is None:
            return None
        for sock in (udp, tcp):
            self._spare.remove(sock)
            sock.setblocking(False)
        return udp, tcp


def _is_internet(sock: socket.socket) -> bool:
    return sock.family in (socket.AF_INET, socket.AF_INET6)


def _serves(sock: socket.socket, endpoint: Endpoint, kind: socket.SocketKind) -> bool:
    """Return whether a socket is bound to an address, and of that kind."""
    if sock.type != kind or not _is_internet(sock) or not endpoint.port:
        return False
    host, port = endpoint.host, endpoint.port
    try:
        found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        # The interface that it names is gone.
        return False
    return bool(sock.getsockname() == found[0][4])


def name_of(endpoint: Endpoint, number: int = 0) -> str:
    """Return what the manager knows an address by: printable, and without colons."""
    beside = f"-{number}" if number else ""
    return f"dns-{endpoint.host}-{endpoint.port}{beside}".replace(":", ".")
