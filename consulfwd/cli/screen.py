"""A terminal that shows one text and what becomes of it, and is given back as it was.

Each frame is one write over the last one, so that nothing flickers. What is drawn must have nothing
in it that a terminal would obey but colours.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import TextIO

# The other screen, no cursor, no line that goes on in the next; and all that back (xterm's codes).
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
# Shown at once by terminals that know this, ignored by others.
_BEGIN, _END = "\x1b[?2026h\x1b[H", "\x1b[J\x1b[?2026l"
_REST_OF_LINE = "\x1b[K"


def is_screen(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether a stream is a terminal that can be drawn on."""
    return stream.isatty() and environ.get("TERM", "dumb") not in ("dumb", "")


class Screen:
    """A terminal while it is drawn on; a context manager. Stopped and ended it is left first."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._before: dict[int, object] = {}

    def __enter__(self) -> Screen:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP):
            self._before[number] = signal.signal(number, self._interrupted)
        self._stream.flush()
        self._write(_ENTER)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def show(self, lines: Sequence[str], last: str) -> None:
        """Draw lines, with one at the foot; what there is no room for is told to be left out."""
        room = max(shutil.get_terminal_size().lines - 1, 2)
        shown = list(lines[:room])
        if len(lines) > room:
            left = len(lines) - room + 1
            shown[-1:] = [f"... {left} lines more: in a higher window, or without --watch"]
        text = "".join(f"{line}{_REST_OF_LINE}\r\n" for line in shown)
        self._write(f"{_BEGIN}{text}{last}{_REST_OF_LINE}{_END}")

    def _write(self, text: str) -> None:
        # Not by the stream: a signal may come while that is in the midst of it.
        left = text.encode(self._stream.encoding, "backslashreplace")
        while left:
            left = left[os.write(self._stream.fileno(), left) :]

    def _leave(self) -> None:
        # A terminal that is gone needs nothing back.
        with contextlib.suppress(OSError):
            self._write(_LEAVE)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        """Give the terminal back, do what the signal does; go on after a stop."""
        self._leave()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        # Only a stop comes back.
        signal.signal(number, self._interrupted)
        self._write(_ENTER)


def stdout() -> Screen | None:
    """Return standard output as a screen, if it is one."""
    return Screen(sys.stdout) if is_screen(sys.stdout, os.environ) else None
