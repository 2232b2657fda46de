"""Lines about queries in a file of their own.

What goes wrong with it (no room, no right, no folder) is told, and told again while it lasts; what
cannot be written meanwhile is dropped, and goes on when it can. A file that is renamed or removed,
as log rotation does, is followed by a new one of its name.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from consulfwd.core.alarms import Alarms
from consulfwd.net.noting import Noted
from consulfwd.ops.querylog.lines import as_json, as_text, fields

log = logging.getLogger("consulfwd.querylog")

MODE = 0o640
# How often (seconds) it is looked whether the file is still the one of its name.
LOOK_EVERY = 1.0
# When (seconds) it is tried again to write where that failed; until then notes wait.
AGAIN = 0.5
# No link is followed at the end of the path, nothing is waited for, no terminal is taken over.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class ToFile:
    """Adds a line for each note to the file at `path`, as text or `json`."""

    def __init__(
        self, path: Path, *, json: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.fault = ""
        self._path = path
        self._line = _json_line if json else _text_line
        self._now = now
        self._fd = -1
        self._look_at = self._again_at = 0.0
        self._anew = False
        self._alarms = Alarms()
        self._dropped = 0

    def reopen(self) -> None:
        """Open the file anew before the next line. May be called from any thread."""
        self._anew = True

    def ready(self) -> bool:
        """Return whether lines can be written, or it is time to try."""
        return not self.fault or self._anew or self._now() >= self._again_at

    def write(self, notes: list[Noted]) -> int:
        """Add lines; return how many could not be."""
        now = self._now()
        if self._anew or (self._fd >= 0 and now >= self._look_at and self._moved(now)):
            self._anew = False
            self.close()
        if not notes:
            return 0
        lines = [self._line(fields(one)).encode() for one in notes]
        try:
            if self._fd < 0:
                self._fd = _opened(self._path)
                self._look_at = now + LOOK_EVERY
            lost, why = self._add(lines)
        except OSError as error:
            lost, why = len(lines), error.strerror or str(error)
        self._dropped += lost
        self._tell(why, now)
        return lost

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _add(self, lines: list[bytes]) -> tuple[int, str]:
        """Write whole lines; return how many could not be, and why."""
        block = b"".join(lines)
        before = os.fstat(self._fd).st_size
        why = ""
        written = 0
        try:
            written = os.write(self._fd, block)
            if written == len(block):
                return 0, ""
            os.write(self._fd, block[written:])  # says why there was no room for all
            return 0, ""
        except OSError as error:
            why = error.strerror or str(error)
        whole = block.rfind(b"\n", 0, written) + 1
        if written > whole:
            # A part of a line would become one with what is written next.
            with suppress(OSError):
                if os.fstat(self._fd).st_size == before + written:
                    os.ftruncate(self._fd, before + whole)
        return len(lines) - block.count(b"\n", 0, whole), why

    def _moved(self, now: float) -> bool:
        """Return whether the file has another name by now, or none."""
        self._look_at = now + LOOK_EVERY
        try:
            there, held = self._path.lstat(), os.fstat(self._fd)
        except OSError:
            return True
        return not os.path.samestat(there, held)

    def _tell(self, why: str, now: float) -> None:
        if why:
            self._again_at = now + AGAIN
            self.fault = f"query log: {self._path}: {why}"
            if self._alarms.wrong("file", now, why):
                log.warning("%s; lines are dropped (%d so far)", self.fault, self._dropped)
        elif self.fault:
            self.fault = ""
            if self._alarms.well("file"):
                log.info("query log: %s goes on (%d lines dropped)", self._path, self._dropped)
            self._dropped = 0


def _opened(path: Path) -> int:
    """Return the file, open for adding; made if it is not there. Raises OSError."""
    for _ in range(3):
        try:
            fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, MODE)
        except FileExistsError:
            with suppress(FileNotFoundError):
                return _checked(os.open(path, _FLAGS))
        else:
            # Whatever the umask: group and others are the folder's business, this is ours.
            os.fchmod(fd, MODE)
            return fd
    raise OSError(0, "somebody makes and removes it all the time")


def _checked(fd: int) -> int:
    """Return the descriptor if it is a file that is its own. Raises OSError."""
    found = os.fstat(fd)
    plain = stat.S_ISREG(found.st_mode)
    if plain and found.st_nlink > 1:
        why = "has another name as well (a hard link)"
    elif not plain and not stat.S_ISCHR(found.st_mode):
        why = "is no file"
    else:
        return fd
    os.close(fd)
    raise OSError(0, why)


def _text_line(seen: dict[str, Any]) -> str:
    return f"{seen['time']} {as_text(seen)}\n"


def _json_line(seen: dict[str, Any]) -> str:
    return f"{as_json(seen)}\n"
