"""A check in a thread of its own, and nobody who waits for it longer than it may take.

What belongs here: threads and the end of the process. That a check ends in time does not hang on
what it does: it may be in a look-up of the system's that cannot be broken off, in somebody's
library, or read an endless reply. Whoever asked is told in time by the thread that waits, and the
process ends without waiting for any other.
"""

from __future__ import annotations

import os
import queue
import select
import sys
import threading
from collections.abc import Callable
from typing import NoReturn, TypeVar

from consulfwd.checks.deadline import Deadline

T = TypeVar("T")

# So long (seconds) one is waited for who does not read: there is room for all of it in a pipe.
UNREAD = 0.1


class Late(Exception):
    """A check has not ended in time."""


def run(check: Callable[[], T], deadline: Deadline) -> T:
    """Return what a check returns, or raise what it raises; Late when its time is up."""
    done: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def carry() -> None:
        try:
            done.put((check(), None))
        except BaseException as error:
            done.put((None, error))

    # A daemon: the end of the process does not wait for it.
    threading.Thread(target=carry, daemon=True, name="check").start()
    try:
        result, error = done.get(timeout=deadline.left)
    except queue.Empty:
        raise Late from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def leave(text: str, code: int, unwritten: int) -> NoReturn:
    """Write a text and end with a code, at once; with `unwritten` where it is not taken whole."""
    try:
        if sys.stdout is None:
            # Its number may be that of a connection by now.
            raise OSError
        sys.stdout.flush()
        place = sys.stdout.fileno()
        ready = select.poll()
        ready.register(place, select.POLLOUT)
        data = text.encode("utf-8", "backslashreplace")
        while data:
            if not ready.poll(UNREAD * 1000):
                raise OSError
            # So much is taken of what is ready without waiting: pipe(7).
            data = data[os.write(place, data[: select.PIPE_BUF]) :]
    except (OSError, ValueError):
        code = unwritten
    os._exit(code)
