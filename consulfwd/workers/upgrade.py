"""The program exchanged for the one that is installed now: the same process, sockets and workers.

The head becomes the new program by execve(2); its sockets are handed over as a service manager
does it (`kept`), and workers of the old one go on answering until those of the new one do. What
would fail after that is tried before: the settings, and whether a worker of the new program begins.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress

from consulfwd.config import Loaded
from consulfwd.errors import ConsulfwdError
from consulfwd.workers.child import trial
from consulfwd.workers.head import Head

log = logging.getLogger("consulfwd")

# What the next program is told by: workers of the one before, and their lines.
OLD = "LISTEN_WORKERS"
_FIRST, _ABOVE = 3, 512
_TRIAL_S = 20.0


async def tried(load_again: Callable[[], Loaded]) -> str:
    """Return why the program that is installed now could not take over, "" if it could."""
    try:
        load_again()
    except ConsulfwdError as error:
        return str(error)
    process = await asyncio.create_subprocess_exec(
        *trial(), stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), _TRIAL_S)
    except asyncio.TimeoutError:
        process.kill()
        return f"a new worker did not begin in {_TRIAL_S:g} s"
    last = said.decode(errors="replace").strip().rpartition("\n")[2]
    return "" if process.returncode == 0 else f"a new worker cannot begin: {last}"


def become_new(head: Head, environ: MutableMapping[str, str]) -> None:
    """Become the program that is installed now. Raises OSError; then this one has to end.

    `environ` is the environment that this one was started with.
    """
    sockets, names = head.kept_over_exec()
    # All of them are out of the way before the first is put in its place.
    moved = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, _ABOVE) for one in sockets]
    # These stay open in the next program, whatever their numbers.
    lines = [(pid, fcntl.fcntl(one, fcntl.F_DUPFD, _ABOVE)) for pid, one in head.lines_over_exec()]
    told = dict(environ)
    told.update(
        LISTEN_FDS=str(len(moved)),
        LISTEN_PID=str(os.getpid()),
        LISTEN_FDNAMES=":".join(names),
    )
    told[OLD] = ",".join(f"{pid}:{line}" for pid, line in lines)
    for one in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        # Until the next one listens they would end it.
        signal.signal(one, signal.SIG_IGN)
    for at, number in enumerate(moved):
        os.dup2(number, _FIRST + at, inheritable=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], told)


class Predecessors:
    """Workers of the program before this one, which answer until they are let go."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Take word of them out of the environment."""
        self._there: dict[int, int] = {}
        for one in environ.pop(OLD, "").split(","):
            pid, _, line = one.partition(":")
            if pid.isdigit() and line.isdigit():
                self._there[int(pid)] = int(line)

    def __bool__(self) -> bool:
        return bool(self._there)

    async def let_go(self, seconds: float) -> None:
        """Have them answer what they have read, and end: what hears nobody does."""
        for line in self._there.values():
            with suppress(OSError):
                os.close(line)
        running = asyncio.get_running_loop()
        ends = running.time() + seconds
        left = set(self._there)
        while left:
            for pid in list(left):
                try:
                    gone, _ = os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    gone = pid
                if gone:
                    left.discard(pid)
                elif running.time() >= ends:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            if left:
                await asyncio.sleep(0.02)
        if self._there:
            log.info("%d workers were exchanged for new ones", len(self._there))
        self._there.clear()
