"""A server as a child process: start, freeze, thaw, kill, and never left behind.

What belongs here: what holds for any server the development tools and the tests run. It must
not know which server it is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from consulfwd.errors import StartError

POLL_S = 0.025
# How long is waited for what is to come about, where it is told no better: it costs nothing until
# that fails. A disk that stalls holds up each write of a server for seconds.
PATIENCE_S = 60.0
TAIL_LINES = 15

# Kills what is left when our side of the pipe closes, however this process ends. Unlike
# PR_SET_PDEATHSIG it does not depend on the thread that started a child staying alive.
_GUARD = """
left=
while read -r sign pid; do
    case $sign in
        +) left="$left $pid" ;;
        -) new=; for p in $left; do [ "$p" = "$pid" ] || new="$new $p"; done; left=$new ;;
    esac
done
[ -z "$left" ] || kill -9 $left
"""


class Guard:
    """A small process that kills the children it was told of when this process is gone."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, start_new_session=True
        )

    def watch(self, pid: int) -> None:
        self._tell(f"+ {pid}\n")

    def forget(self, pid: int) -> None:
        self._tell(f"- {pid}\n")

    def close(self) -> None:
        """End the guard; children it still knows are killed by it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()


class Child:
    """The process of `command`, called `name` in messages; its output is appended to `log`."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path, guard: Guard) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._guard = guard
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    @property
    def pid(self) -> int:
        """The process id; RuntimeError when it is not running."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """True while the process lives, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def frozen(self) -> bool:
        """True between `freeze` and `thaw`."""
        return self._frozen

    @property
    def answering(self) -> bool:
        """True when it runs and is not frozen, so that it is worth asking."""
        return self.running and not self._frozen

    def start(self) -> None:
        """Start the process; `wait_until` tells when it serves."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        self._reap()
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in our terminal is for us to handle.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard.watch(self._process.pid)

    def freeze(self) -> None:
        """SIGSTOP: the sockets stay open and nothing answers; returns when all threads stand."""
        pid = self.pid
        if not self._frozen:
            os.kill(pid, signal.SIGSTOP)
            os.waitid(os.P_PID, pid, os.WSTOPPED)
            self._frozen = True

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        os.kill(self.pid, signal.SIGCONT)
        self._frozen = False

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone. Does nothing when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def terminate(self, timeout_s: float = PATIENCE_S) -> None:
        """SIGTERM, the orderly end; waits for it. subprocess.TimeoutExpired when it does not."""
        process = self._running()
        if self._frozen:
            self.thaw()
        process.terminate()
        process.wait(timeout_s)
        self._reap()

    def wait_until(
        self, condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S
    ) -> None:
        """Return when `condition` holds.

        Raises StartError with the end of the log when the process ends or the time is up.
        """
        end = time.monotonic() + timeout_s
        while not self._holds(condition):
            if not self.running:
                code = None if self._process is None else self._process.returncode
                raise StartError(f"{self.name} ended (code {code})\n{self.tail()}")
            if time.monotonic() > end:
                raise StartError(
                    f"{self.name} was not {what} within {timeout_s:g} s\n{self.tail()}"
                )
            time.sleep(POLL_S)

    def tail(self) -> str:
        """The last lines of the log, under the log's path."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n  ".join([f"the end of {self.log}:", *lines[-TAIL_LINES:]])

    def _holds(self, condition: Callable[[], object]) -> bool:
        return bool(condition())

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._guard.forget(self._process.pid)
            self._process = None
        self._frozen = False
