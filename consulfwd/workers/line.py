"""A line between the head and a worker: messages both ways, in order, none of which blocks.

What is not read piles up to `MOST`; then messages that may be lost are, and the line breaks at
one that may not: its worker is replaced, rather than believed to know what it was not told.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from consulfwd.workers.frames import Frames, frame

log = logging.getLogger("consulfwd.workers")

MOST = 8 << 20
_READ = 1 << 18

Message = tuple[Any, ...]


class Line:
    """One end. `heard` gets each message, `ended` is called once when the other end is gone."""

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        heard: Callable[[Message], None],
        ended: Callable[[], None],
    ) -> None:
        self._sock = sock
        self._loop = loop
        self._heard = heard
        self._ended = ended
        self._frames = Frames()
        self._waiting: list[bytes] = []
        self._size = 0
        self._flushing = self._writing = False
        self.closed = False
        sock.setblocking(False)
        loop.add_reader(sock, self._readable)

    @property
    def number(self) -> int:
        """Return the number of its socket."""
        return self._sock.fileno()

    def send(self, message: Message, *, may_be_lost: bool = False) -> None:
        """Send a message, with others of this turn of the loop."""
        if self.closed:
            return
        if self._size > MOST:
            if not may_be_lost:
                self._end()
            return
        data = frame(message)
        self._waiting.append(data)
        self._size += len(data)
        if not self._flushing and not self._writing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what waits, as far as there is room."""
        self._flushing = False
        if self.closed or not self._waiting:
            return
        data = b"".join(self._waiting)
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end()
            return
        left = data[sent:]
        self._waiting = [left] if left else []
        self._size = len(left)
        if left and not self._writing:
            self._writing = True
            self._loop.add_writer(self._sock, self.flush)
        elif not left and self._writing:
            self._writing = False
            self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        for message in self._frames.feed(data):
            try:
                self._heard(message)
            except Exception:
                log.exception("a message between processes failed:")

    def _end(self) -> None:
        if not self.closed:
            self.close()
            self._ended()

    def close(self) -> None:
        """Hear and say nothing more; what waits is sent if there is room."""
        if self.closed:
            return
        with suppress(OSError):
            self._sock.send(b"".join(self._waiting))
        self.closed = True
        self._loop.remove_reader(self._sock)
        if self._writing:
            self._loop.remove_writer(self._sock)
        self._sock.close()
