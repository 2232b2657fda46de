"""Questions of the head to a worker, each with its reply: how it is, what is ordered, sockets.

The head waits for replies on its event loop: it answers no queries, and the wait is bounded. A
reply that comes too late is passed over by its number.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import ceil
from typing import Any, NamedTuple

from consulfwd.ops.watched import OrderError
from consulfwd.workers.frames import Frames, frame

log = logging.getLogger("consulfwd.workers")

_READ, _MOST_FDS = 1 << 16, 16


class Silent(Exception):
    """A worker gave no reply in time, or is gone."""


class Asker:
    """The head's end."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._frames = Frames()
        self._number = 0
        # Not by `select`, which knows no descriptor from 1024 on.
        self._ready = select.poll()
        self._ready.register(sock, select.POLLIN)

    def put(self, name: str, *values: Any, sockets: Sequence[socket.socket] = ()) -> int:
        """Ask; return the number of the question. Raises Silent."""
        self._number += 1
        data = frame((self._number, name, values))
        fds = array("i", [one.fileno() for one in sockets])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if sockets else []
        self._sock.settimeout(1.0)
        try:
            sent = self._sock.sendmsg([data], rights)
            self._sock.sendall(data[sent:])
        except OSError as error:
            raise Silent(error.strerror or "it reads nothing") from None
        return self._number

    def reply(self, number: int, ends: float) -> Any:
        """Return the reply to a question, at the latest at `ends` (time.monotonic).

        Raises Silent, and OrderError where that is the reply.
        """
        while True:
            # What is there already is taken, however long another was waited for.
            left = max(ends - time.monotonic(), 0.0)
            if not self._ready.poll(ceil(left * 1000)):
                raise Silent("it gives no reply")
            try:
                data = self._sock.recv(_READ)
            except OSError:
                data = b""
            if not data:
                raise Silent("it is gone")
            for found, what, value in self._frames.feed(data):
                if found != number:
                    continue
                if what == "refused":
                    raise OrderError(*value)
                if what == "failed":
                    raise Silent(value)
                return value

    def close(self) -> None:
        """Ask no more."""
        self._sock.close()


class Asked(NamedTuple):
    """A question, and the sockets that came with it."""

    name: str
    values: tuple[Any, ...]
    sockets: list[socket.socket]


class Replier:
    """The worker's end: `answer` returns the reply, or raises OrderError."""

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        answer: Callable[[Asked], Any],
    ) -> None:
        self._sock = sock
        self._loop = loop
        self._answer = answer
        self._frames = Frames()
        self._fds: list[int] = []
        self._replying: set[asyncio.Future[None]] = set()
        # Replies are sent whole: the head reads them while it waits.
        sock.setblocking(True)
        sock.settimeout(5.0)
        loop.add_reader(sock, self._readable)

    def _readable(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._sock, _READ, _MOST_FDS)
        except OSError:
            data, fds = b"", []
        self._fds += fds
        if not data:
            self._loop.remove_reader(self._sock)
            return
        for number, name, values in self._frames.feed(data):
            sockets = [socket.socket(fileno=one) for one in self._fds]
            self._fds = []
            self._reply(number, Asked(name, values, sockets))

    def _reply(self, number: int, asked: Asked) -> None:
        try:
            value = self._answer(asked)
        except OrderError as error:
            self._send((number, "refused", (error.status, str(error))))
        except Exception as error:
            log.exception("%s failed:", asked.name)
            self._send((number, "failed", f"{type(error).__name__}: {error}"))
        else:
            if isinstance(value, Mapping) and any(callable(one) for one in value.values()):
                # What takes long is made in a thread: queries go on.
                making = self._loop.run_in_executor(None, self._made, number, value)
                self._replying.add(making)
                making.add_done_callback(self._replying.discard)
            else:
                self._send((number, "reply", value))

    def _made(self, number: int, value: Mapping[str, Any]) -> None:
        found = {key: one() if callable(one) else one for key, one in value.items()}
        self._send((number, "reply", found))

    def _send(self, reply: tuple[int, str, Any]) -> None:
        with suppress(OSError):
            self._sock.sendall(frame(reply))

    def close(self) -> None:
        """Answer no more."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
