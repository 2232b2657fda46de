"""The way to a collector of dnstap: a unix socket, frame streams spoken by two.

A collector may be missing, come later, hang, die, read slowly or speak nonsense: then it is left,
and tried again after a pause that grows. What does not go through meanwhile waits in a bounded
queue, which is not held here, and is dropped and counted when that is full.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from consulfwd.core.alarms import Alarms
from consulfwd.net.noting import Noted
from consulfwd.ops.querylog import frames
from consulfwd.ops.querylog.dnstap import CONTENT_TYPE, Encoder
from consulfwd.ops.querylog.frames import Control, FrameError

log = logging.getLogger("consulfwd.dnstap")

# How long (seconds) a collector may take for its part of the greeting, to read what it is sent, and
# to say at the end that it has everything.
GREETING, READING, PARTING = 2.0, 5.0, 0.3
# The pauses (seconds) between tries: the first, and the longest.
FIRST, LONGEST = 0.5, 30.0


class Collector:
    """Sends notes to the collector at a socket.

    A connection is made when there is something to tell, and then kept. `connected` says whether
    there is one.
    """

    def __init__(
        self, path: Path, encoder: Encoder, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.fault = ""
        self._path = path
        self._encoder = encoder
        self._now = now
        self._sock: socket.socket | None = None
        self._alarms = Alarms()
        self._again_at = 0.0
        self._pause = FIRST
        self._since = 0.0
        self._heard_of = False

    @property
    def connected(self) -> bool:
        """Return whether somebody takes what is sent."""
        return self._sock is not None

    def ready(self) -> bool:
        """Return whether notes can be sent; connect, if it is time for that."""
        if self._sock is not None and self._gone(self._sock):
            self._fail("it closed the connection")
        if self._sock is None and self._now() >= self._again_at:
            try:
                self._sock = self._greeted()
            except (OSError, FrameError) as error:
                self._fail(_words(error))
            else:
                self._since = self._now()
                self.fault = ""
                if self._alarms.well("collector"):
                    log.info("dnstap: the collector at %s takes what it is sent again", self._path)
                elif not self._heard_of:
                    log.info("dnstap: sent to the collector at %s", self._path)
                self._heard_of = True
        return self._sock is not None

    def write(self, notes: list[Noted]) -> int:
        """Send notes; return how many are lost."""
        if not notes or self._sock is None:
            return len(notes)
        messages = self._encoder.messages
        sent = b"".join(frames.data(one) for noted in notes for one in messages(noted))
        try:
            self._sock.sendall(sent)
        except OSError as error:
            # What is half sent cannot be gone on with: where a frame begins nobody knows.
            self._fail(_words(error, "it does not read what it is sent"))
            return len(notes)
        return 0

    def close(self) -> None:
        """Say that this was all, and let go."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        with suppress(OSError, FrameError), sock:
            sock.settimeout(PARTING)
            sock.sendall(frames.control(frames.STOP))
            _control(sock)

    def _greeted(self) -> socket.socket:
        """Return a connection on which everything is said but data. Raises OSError, FrameError."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(GREETING)
            sock.connect(str(self._path))
            sock.sendall(frames.control(frames.READY, CONTENT_TYPE))
            said = _control(sock)
            if said.kind != frames.ACCEPT or (
                said.content_types and CONTENT_TYPE not in said.content_types
            ):
                raise FrameError("it does not accept dnstap")
            sock.sendall(frames.control(frames.START, CONTENT_TYPE))
            sock.settimeout(READING)
        except BaseException:
            sock.close()
            raise
        return sock

    def _gone(self, sock: socket.socket) -> bool:
        """Return whether the other side has closed, or says what it has no reason to."""
        looked = select.poll()
        looked.register(sock, select.POLLIN)
        return bool(looked.poll(0))

    def _fail(self, why: str) -> None:
        now = self._now()
        if self._sock is not None:
            self._sock.close()
            self._sock = None
            if now - self._since > self._pause:
                # Not for one that greets, and is gone at once each time.
                self._pause = FIRST
        self._again_at = now + self._pause
        self._pause = min(2 * self._pause, LONGEST)
        self.fault = f"dnstap: the collector at {self._path}: {why}"
        if self._alarms.wrong("collector", now, why):
            log.warning("%s; it is tried again", self.fault)


def _control(sock: socket.socket) -> Control:
    """Return the next control frame. Raises OSError, FrameError."""
    octets = b""
    while (read := frames.read_control(octets)) is None:
        # Never beyond the frame: nothing else is sent this way.
        more = sock.recv(frames.MAX_CONTROL + 8 - len(octets))
        if not more:
            raise FrameError("it closed the connection")
        octets += more
    return read[0]


def _words(error: Exception, hangs: str = "it does not answer") -> str:
    if isinstance(error, TimeoutError | BlockingIOError):
        return hangs
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
