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
from consulfwd.net.binding import Bound, Pair, bind_all
from consulfwd.notify import Notifier

log = logging.getLogger("consulfwd")

_FIRST = 3
# How long (seconds) the manager may take to close what it was told to let go.
RELEASE_S = 1.0


class Kept:
    """The sockets handed over to this process, and what becomes of them.

    `names` are those the manager knows them by, in the same order.
    """

    def __init__(
        self,
        notifier: Notifier,
        handed_over: Iterable[socket.socket] = (),
        names: Iterable[str] = (),
    ) -> None:
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
        if there:
            log.info("taken over: the sockets of %s", ", ".join(map(str, there)))
        patience = RELEASE_S if self._drop_spare() else 0.0
        bound = self._bind([one for one in wanted if one not in there], patience)
        for endpoint, pair in bound.pairs.items():
            if endpoint.port:
                self._notifier.keep(_name(endpoint), pair)
        pairs = {**there, **bound.pairs}
        return Bound({one: pairs[one] for one in wanted if one in pairs}, bound.missing)

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
        self._let_go([_name(endpoint)])

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
        self._let_go(self._names.get(sock, "") for sock in spare)
        for sock in spare:
            sock.close()
        return bool(spare)

    def _handed_over(self, endpoint: Endpoint) -> Pair | None:
        """Return both sockets of an address if they were handed over."""
        pair = [
            next((sock for sock in self._spare if _serves(sock, endpoint, kind)), None)
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


def _name(endpoint: Endpoint) -> str:
    """What the manager knows an address by: printable, and without colons."""
    return f"dns-{endpoint.host}-{endpoint.port}".replace(":", ".")
