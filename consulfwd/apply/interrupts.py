"""Signals that end the process, heard of only where an apply waits.

What belongs here: what Ctrl-C and SIGTERM do between the steps of files. Must not know the steps.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)


class Interrupts:
    """While the context lasts, SIGINT, SIGTERM and SIGHUP raise within `waiting` only.

    One that comes at another time is kept until the next wait, or the end of the context. SIGINT
    is KeyboardInterrupt, the others SystemExit with 128 and the signal's number, as shells count.
    Handlers of the program's own are left alone, and so is everything outside the main thread.
    """

    def __init__(self) -> None:
        self._pending: int | None = None
        self._open = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING:
                if signal.getsignal(number) in _DEFAULTS:
                    self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if error is None or isinstance(error, Exception):
            self._raise()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Let a signal raise here."""
        self._open = True
        try:
            self._raise()
            yield
        finally:
            self._open = False

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._pending = number
        if self._open:
            self._raise()

    def _raise(self) -> None:
        number, self._pending = self._pending, None
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if number is not None:
            raise SystemExit(128 + number)
