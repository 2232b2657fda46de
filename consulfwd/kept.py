"""Listening sockets that outlive this process: the service manager keeps them while it restarts.

Queries that arrive meanwhile wait in the sockets and are answered by the next process. The manager
hands them over as sd_listen_fds(3) has it, and takes them by FDSTORE= of sd_notify(3). Must not
know what is read from them.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import time
from collections.abc import Iterable, MutableMapping

from consulfwd.config import Endpoint
from consulfwd.errors import StartError
from consulfwd.net.binding import Pair, bind_all
from consulfwd.notify import Notifier

log = logging.getLogger("consulfwd")

_FIRST = 3
# How long (seconds) the manager may take to close what it was told to let go.
RELEASE_S = 1.0


class Kept:
    """The sockets handed over to this process, and what becomes of them."""

    def __init__(self, notifier: Notifier, handed_over: Iterable[socket.socket] = ()) -> None:
        self._notifier = notifier
        self._spare = list(handed_over)

    @classmethod
    def take(cls, notifier: Notifier, environ: MutableMapping[str, str], pid: int) -> Kept:
        """Return what was handed over, and take word of it out of the environment."""
        count = environ.pop("LISTEN_FDS", "")
        meant = environ.pop("LISTEN_PID", "") == str(pid)
        environ.pop("LISTEN_FDNAMES", None)
        found = []
        if meant and count.isascii() and count.isdigit():
            for number in range(_FIRST, _FIRST + int(count)):
                # What is no socket, or not there, was not meant for us.
                with contextlib.suppress(OSError):
                    found.append(socket.socket(fileno=number))
                    found[-1].set_inheritable(False)
        return cls(notifier, found)

    def bind(self, endpoints: Iterable[Endpoint]) -> dict[Endpoint, Pair]:
        """Return {endpoint: (UDP, TCP socket)}, all bound, those handed over among them.

        Raises StartError with every fault. From here on the manager keeps them all.
        """
        wanted = list(endpoints)
        there = {one: pair for one in wanted if (pair := self._handed_over(one)) is not None}
        if there:
            log.info("taken over: the sockets of %s", ", ".join(map(str, there)))
        patience = RELEASE_S if self._drop_spare() else 0.0
        bound = self._bind([one for one in wanted if one not in there], patience)
        for endpoint, pair in bound.items():
            if endpoint.port:
                self._notifier.keep(_name(endpoint), pair)
        return {one: there.get(one) or bound[one] for one in wanted}

    def _bind(self, endpoints: list[Endpoint], patience: float) -> dict[Endpoint, Pair]:
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
        self._notifier.send("FDSTOREREMOVE=1", f"FDNAME={_name(endpoint)}")

    def _drop_spare(self) -> bool:
        """Give up what was handed over and is not wanted any more; return whether there was any."""
        spare, self._spare = self._spare, []
        for sock in spare:
            if _is_internet(sock):
                host, port = sock.getsockname()[:2]
                self.let_go(Endpoint(host=host, port=port))
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
    host, port = sock.getsockname()[:2]
    return port == endpoint.port and _address(host) == _address(endpoint.host)


def _address(host: str) -> str:
    return str(ipaddress.ip_address(host))


def _name(endpoint: Endpoint) -> str:
    """What the manager knows an address by: printable, and without colons."""
    return f"dns-{endpoint.host}-{endpoint.port}".replace(":", ".")
