"""One worker as the head has it: its process, its line and its desk.

What belongs here: how one begins, is asked, ends. When, and what follows, is the head's.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from consulfwd.config import Endpoint
from consulfwd.net.binding import Pair
from consulfwd.ops.snapshot import ResolverSeen
from consulfwd.workers.desk import Asker
from consulfwd.workers.line import Line, Message

MAIN = Path(__file__).with_name("__main__.py")


def trial() -> list[str]:
    """Return the command that succeeds if a worker of the installed program could begin."""
    return [sys.executable, str(MAIN), "--try"]


class Child:
    """A worker's process. `heard` gets its messages, `ended` is called once when it is gone.

    It is `here` once it can be asked, which takes most of the time that it takes to begin.
    """

    def __init__(
        self,
        number: int,
        heard: Callable[[Child, Message], None],
        ended: Callable[[Child], None],
    ) -> None:
        self.number = number
        self.began = time.monotonic()
        self.since = time.time()
        self.beat_at = self.began
        self.leaving = self.here = False
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[str] = loop.create_future()
        self.counters: Mapping[str, float] = {}
        # How many queries were over their clients' limits, of which address the last one.
        self.over = 0
        self.last_over = b""
        self.seen: ResolverSeen | None = None
        self.admin: Mapping[str, float] = {}
        ours, theirs = socket.socketpair()
        asking, replying = socket.socketpair()
        with theirs, replying:
            for sock in (theirs, replying):
                sock.set_inheritable(True)
            numbers = [str(one.fileno()) for one in (theirs, replying)]
            self._process = subprocess.Popen(
                [sys.executable, str(MAIN), *numbers],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), replying.fileno()),
                # Not stopped with the head by a terminal.
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._asker = Asker(asking)
        self.line = Line(
            ours, loop, lambda message: heard(self, message), lambda: ended(self)
        )

    def hand(self, endpoint: Endpoint, pair: Pair) -> None:
        """Give it the sockets of an address. Raises Silent."""
        self.ask("hold", endpoint, sockets=pair, within=5.0)

    def ask(
        self, name: str, *values: Any, sockets: Iterable[socket.socket] = (), within: float = 1.0
    ) -> Any:
        """Return what it replies (see `worker`). Raises Silent and OrderError."""
        number = self._asker.put(name, *values, sockets=list(sockets))
        return self._asker.reply(number, time.monotonic() + within)

    def put(self, name: str, *values: Any) -> Callable[[float], Any]:
        """Ask, and return what waits for the reply until a time. Raises Silent."""
        number = self._asker.put(name, *values)
        return lambda ends: self._asker.reply(number, ends)

    def leave(self) -> None:
        """Have it answer what it has read, and end."""
        self.leaving = True
        self.line.send(("end",))
        self.line.flush()

    @property
    def answers(self) -> bool:
        """Return whether it has begun, and is not to end."""
        return self.ready.done() and not self.ready.result() and not self.leaving

    @property
    def running(self) -> bool:
        """Return whether the process is there; one that ended is taken note of."""
        return self._process.poll() is None

    def how_it_ended(self) -> str:
        """Return that for people; the process is ended if it is still there."""
        with suppress(subprocess.TimeoutExpired):
            # The line was closed a moment before.
            self._process.wait(0.2)
        if self._process.poll() is None:
            self.kill()
        code = self._process.wait()
        if code >= 0:
            return f"exit code {code}"
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """Let go of its line and desk."""
        self.line.close()
        self._asker.close()
