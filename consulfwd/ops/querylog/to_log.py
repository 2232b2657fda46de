"""Lines about queries in the log, among all others.

What reads the log may hang: a line of this kind is written only where there is room, so that it is
not these that fill a pipe and keep the event loop waiting at its own next line.
"""

from __future__ import annotations

import array
import fcntl
import logging
import os
import select
import stat
import sys
import termios

from consulfwd.net.noting import Noted
from consulfwd.ops.querylog.lines import asked, became, fields

query_log = logging.getLogger("consulfwd.query")


class ToLog:
    """Notes as lines of the logger `consulfwd.query`; their fields are the record's `fields`."""

    fault = ""

    def ready(self) -> bool:
        """Return whether there is room for a line; until there is, notes wait."""
        return not query_log.isEnabledFor(logging.INFO) or _Room.of_stderr().some()

    def write(self, notes: list[Noted]) -> int:
        """Log notes; return how many there was no room for."""
        if not notes or not query_log.isEnabledFor(logging.INFO):
            return 0
        room = _Room.of_stderr()
        for number, noted in enumerate(notes):
            if not room.some():
                return len(notes) - number
            seen = fields(noted)
            query_log.info(
                "%s from %s over %s: %s",
                asked(seen), seen["client"], seen["transport"], became(seen),
                extra={"fields": seen},
            )  # fmt: skip
        return 0

    def close(self) -> None:
        """Nothing is held."""


class _Room:
    """Whether a line can be written to a file descriptor, of None always, without waiting."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._pipe = 0
        self._poll = select.poll()
        if fd is not None:
            self._poll.register(fd, select.POLLOUT)
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                self._pipe = fcntl.fcntl(fd, getattr(fcntl, "F_GETPIPE_SZ", 1032))

    @classmethod
    def of_stderr(cls) -> _Room:
        try:
            return cls(sys.stderr.fileno())
        except (AttributeError, OSError, ValueError):
            return cls(None)  # there is none, or it is held in memory

    def some(self) -> bool:
        """Return whether there is room; half of a pipe is for all other lines."""
        if self._fd is None:
            return True
        if not self._poll.poll(0):
            return False
        if not self._pipe:
            return True
        waiting = array.array("i", [0])
        fcntl.ioctl(self._fd, termios.FIONREAD, waiting)
        return waiting[0] < self._pipe // 2
