"""A command as who holds the lock has it: begun, told until when it may be there, ended.

What belongs here: the talk with the process that keeps it (`keeper`). Must not know: locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from consulfwd.errors import StartError
from consulfwd.locking import keeper

# So long (seconds) after a command had to be gone it is ended from here: its keeper stands still.
SLACK = 1.0


class Ended(NamedTuple):
    """How a command ended: its code, minus the signal if one ended it.

    `by` is who had it end: `itself`, `asked` (us), `time` (that it may be there is not sure any
    more), `nobody`.
    """

    code: int
    by: str


class Command:
    """One run of a command, in a session of its own."""

    def __init__(self, words: Sequence[str], kill_after: float) -> None:
        self.words = tuple(words)
        self._kill_after = kill_after
        self._process: subprocess.Popen[bytes] | None = None
        self._control = self._status = -1
        self._pid = 0
        self._left = b""
        # Until its keeper says something else: it was killed, and the command with it.
        self._failed = "its keeper has ended"
        self._result = Ended(-signal.SIGKILL, "nobody")
        self._started: asyncio.Future[str] | None = None
        self._ended: asyncio.Future[Ended] | None = None

    async def start(self, environ: Mapping[str, str], until: float) -> int:
        """Start it, for so long (by `session.boot_time`); return its number.

        Raises StartError where that cannot be done.
        """
        loop = asyncio.get_running_loop()
        self._started, self._ended = loop.create_future(), loop.create_future()
        control, self._control = os.pipe()
        self._status, status = os.pipe()
        program = [sys.executable, "-I", "-S", str(Path(keeper.__file__))]
        numbers = [str(control), str(status), str(self._kill_after)]
        try:
            self._process = subprocess.Popen(
                [*program, *numbers, *self.words],
                env=dict(environ),
                pass_fds=(control, status),
                start_new_session=True,
            )
        except OSError as error:
            self._close()
            raise StartError(f"nothing can be run: {error.strerror or error}") from None
        finally:
            os.close(control)
            os.close(status)
        for descriptor in (self._control, self._status):
            os.set_blocking(descriptor, False)
        self.until(until)
        loop.add_reader(self._status, self._read)
        if failed := await asyncio.shield(self._started):
            raise StartError(f"{self.words[0]} cannot be run: {failed}")
        return self._pid

    def until(self, moment: float) -> None:
        """Let it be there until then, and no longer."""
        self._tell(f"until {moment!r}")

    def pass_on(self, number: int) -> None:
        """Pass a signal on, to all of its process group."""
        self._tell(f"signal {int(number)}")

    async def wait(self) -> Ended:
        """Return how it ended, once it has."""
        assert self._ended is not None
        return await asyncio.shield(self._ended)

    async def end(self, number: int = signal.SIGTERM) -> Ended:
        """End it: by this signal, and after a while by SIGKILL; return how it ended."""
        assert self._started is not None
        assert self._ended is not None
        await asyncio.shield(self._started)
        self._tell(f"end {int(number)}")
        done, _ = await asyncio.wait({self._ended}, timeout=self._kill_after + SLACK)
        if not done:
            # It is its keeper's child, who has not looked after it: the number is its still.
            keeper_s = self._process.pid if self._process is not None else 0
            for group in filter(None, (self._pid, keeper_s)):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
        return await asyncio.shield(self._ended)

    def _tell(self, line: str) -> None:
        # Where nobody hears it, there is nobody to end; or who stands still goes by its clock.
        with contextlib.suppress(OSError):
            if self._control >= 0:
                os.write(self._control, line.encode() + b"\n")

    def _read(self) -> None:
        assert self._started is not None
        try:
            data = os.read(self._status, 4096)
        except BlockingIOError:
            return
        *lines, self._left = (self._left + data).split(b"\n")
        for line in lines:
            word, _, rest = line.decode(errors="replace").partition(" ")
            if word == "started":
                self._pid = int(rest)
                self._started.set_result("")
            elif word == "failed":
                self._failed = rest
            elif word == "ended":
                code, _, by = rest.partition(" ")
                self._result = Ended(int(code), by)
        if not data:
            self._over()

    def _over(self) -> None:
        """The keeper has ended, and with it all that it kept."""
        assert self._started is not None
        assert self._ended is not None
        assert self._process is not None
        asyncio.get_running_loop().remove_reader(self._status)
        self._close()
        self._process.wait()
        if self._result.by == "nobody" and self._pid:
            # The kernel has killed the command, but not what that has started.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
        if not self._started.done():
            self._started.set_result(self._failed)
        self._ended.set_result(self._result)

    def _close(self) -> None:
        for descriptor in (self._control, self._status):
            if descriptor >= 0:
                os.close(descriptor)
        self._control = self._status = -1
