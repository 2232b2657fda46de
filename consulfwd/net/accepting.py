"""Takes connections from a listening socket, and waits a moment when there are no files for them.

asyncio does so too, but logs a traceback for each it could not take, many a second. Whether a
connection may stay, and what is said on it, is its protocol's.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable

from consulfwd.net import mishaps
from consulfwd.net.clock import Clock
from consulfwd.net.loop import unwatch, watch

log = logging.getLogger("consulfwd.tcp")

# How many are accepted before those that are there have a turn, and how many may wait for that.
AT_ONCE, BACKLOG = 32, 1024
# How long (seconds) it is waited for what is missing; how often that is told.
PAUSE, TELL_EVERY = 0.5, 60.0
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_MENDS = {errno.EMFILE: " (LimitNOFILE)", errno.ENFILE: " (fs.file-max)"}


class Acceptor:
    """Has each connection to `sock` spoken on by a protocol that `make` makes.

    What cannot be accepted now waits in the system.
    """

    def __init__(
        self,
        sock: socket.socket,
        make: Callable[[], asyncio.BaseProtocol],
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
    ) -> None:
        self._sock = sock
        self._make = make
        self._loop = loop
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._told_at: float | None = None
        sock.setblocking(False)
        # A burst of them waits in the system rather than here.
        sock.listen(BACKLOG)
        watch(loop, sock, self._readable)

    def _readable(self) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                self._wait(error.errno)
                return
            task = self._loop.create_task(self._speak(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _speak(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, sock)
        except Exception as error:
            mishaps.note(self._loop, "a connection failed", error)
            sock.close()

    def _wait(self, code: int) -> None:
        """Accept no more for a moment: the socket stays readable all the time."""
        unwatch(self._loop, self._sock)
        self._again = self._loop.call_later(PAUSE, self._go_on)
        now = self._clock.now()
        if self._told_at is not None and now - self._told_at < TELL_EVERY:
            return
        self._told_at = now
        log.warning(
            "TCP connections to %s wait: %s%s; they are accepted as soon as others end",
            self._sock.getsockname()[0], os.strerror(code).lower(), _MENDS.get(code, ""),
        )  # fmt: skip

    def _go_on(self) -> None:
        self._again = None
        watch(self._loop, self._sock, self._readable)

    def close(self) -> None:
        """Accept no more."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._sock.fileno() >= 0:
            unwatch(self._loop, self._sock)
            self._sock.close()
