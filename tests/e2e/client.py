"""An application on a host: looks names up as any program does, and writes to the database.

Runs in a machine: `python -m tests.e2e.client SETTINGS`, a JSON object with the fields of
`Settings`; SIGTERM ends it. It writes a line of JSON for each thing it did, see `Done`. Times are
of the monotonic clock, which all machines share. It knows only names, and resolv.conf is the
business of the C library.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pymysql

PORT = 3306
TURN_S, LATE_S = 0.2, 0.1


@dataclass(frozen=True)
class Settings:
    """What it does: each `every` seconds it looks `outside` up, and `name`, and writes a row.

    The first row has the number after `rows`.
    """

    way: str
    name: str
    outside: str
    user: str
    database: str
    password_file: str
    rows: int = 0
    every: float = 0.1
    patience: float = 3.0


@dataclass(frozen=True)
class Done:
    """One thing done: `what` is "name", "outside" (looked up) or "row" (written).

    It began `at` and took so many seconds. `error` is "" if it succeeded; `answer` the addresses
    found, in their order; `row` the number of the row, and `node` the address it was written at.

    Or "late": the client was to wake up `at` that time, and no core was free for so many seconds.
    """

    what: str
    at: float
    took: float
    error: str = ""
    answer: tuple[str, ...] = ()
    row: int = 0
    node: str = ""


class Client:
    """Three threads: a slow look-up must not hide how the others fare."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ending = threading.Event()
        self._output = threading.Lock()
        self._row = settings.rows
        line = Path(settings.password_file).read_text()
        self._password = line.strip()

    def run(self) -> None:
        """Work until SIGTERM."""
        # Waited for below, in all threads: a handler that sets an event hangs for ever when it
        # runs while its own thread looks at that event, which holds the event's lock.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        settings = self._settings
        work = [
            lambda: self._look_up("name", settings.name),
            lambda: self._look_up("outside", settings.outside),
            self._write,
        ]
        threads = [threading.Thread(target=self._repeat, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        due = time.monotonic() + TURN_S
        while not _told_to_end(due - time.monotonic()):
            late = time.monotonic() - due
            if late > LATE_S:
                self._tell(Done("late", due, late))
            due = time.monotonic() + TURN_S
        self._ending.set()
        for thread in threads:
            thread.join()

    def _repeat(self, work: Callable[[], Done]) -> None:
        due = time.monotonic()
        while not self._ending.is_set():
            self._tell(work())
            due = max(due + self._settings.every, time.monotonic())
            self._ending.wait(due - time.monotonic())

    def _tell(self, done: Done) -> None:
        with self._output:
            print(json.dumps(asdict(done)), flush=True)

    def _look_up(self, what: str, name: str) -> Done:
        begin = time.monotonic()
        answer, error = look_up(name)
        return Done(what, begin, time.monotonic() - begin, error, answer)

    def _write(self) -> Done:
        """Write the next row, or the same again that failed, at the first node that takes it."""
        begin = time.monotonic()
        answer, error = look_up(self._settings.name)
        row = self._row + 1
        for node in answer:
            try:
                self._insert(node, row)
            except (pymysql.MySQLError, OSError) as fault:
                error = f"{node}: {fault}"
            else:
                self._row = row
                return Done("row", begin, time.monotonic() - begin, "", answer, row, node)
        return Done("row", begin, time.monotonic() - begin, error, answer, row)

    def _insert(self, node: str, row: int) -> None:
        patience = self._settings.patience
        connection = pymysql.connect(
            host=node,
            port=PORT,
            user=self._settings.user,
            password=self._password,
            database=self._settings.database,
            connect_timeout=patience,
            read_timeout=patience,
            write_timeout=patience,
            autocommit=True,
            # The servers have none, and to be prepared for it takes half a core.
            ssl_disabled=True,
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            # The one that was in doubt may have been written.
            cursor.execute(
                "INSERT IGNORE INTO row_written (way, number) VALUES (%s, %s)",
                (self._settings.way, row),
            )


def _told_to_end(within: float) -> bool:
    """Whether SIGTERM, which is blocked, has come; waits so many seconds for it."""
    return signal.sigtimedwait({signal.SIGTERM}, max(within, 0.0)) is not None


def look_up(name: str) -> tuple[tuple[str, ...], str]:
    """The addresses of a name as the C library finds them, and what went wrong ("" if nothing)."""
    try:
        found = socket.getaddrinfo(name, PORT, type=socket.SOCK_STREAM)
    except OSError as error:
        return (), str(error)
    return tuple(dict.fromkeys(str(one[4][0]) for one in found)), ""


if __name__ == "__main__":
    # Where each thread is, for who waits in vain for its end.
    faulthandler.register(signal.SIGUSR1)
    Client(Settings(**json.loads(sys.argv[1]))).run()
