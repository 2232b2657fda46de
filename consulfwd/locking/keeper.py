"""Runs one command and ends it in time, whatever becomes of who asked for it: a program by itself.

What belongs here: one process group, and until when it may be there. It is the command's parent, so
that nobody but the kernel is between the two; who asked is another process, which may be killed or
stand still (SIGSTOP, a debugger, Ctrl-Z) while time goes on. It knows nothing of consulfwd, and
needs nothing beside the standard library.

    keeper.py CONTROL STATUS KILL_AFTER COMMAND...

From the descriptor CONTROL it reads lines:

| | |
|---|---|
| `until SECONDS` | it may be there until then, by CLOCK_BOOTTIME: then it is ended |
| `signal NUMBER` | have the group get a signal |
| `end NUMBER` | end it: by this signal, and after KILL_AFTER seconds by SIGKILL |

At its end, when nobody is left who asks, the group is killed. To STATUS it writes `started PID` or
`failed WHY`, and at last `ended CODE WHO`: CODE as Python counts it (minus the signal), WHO being
`itself`, `asked`, `time` or `nobody`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
# The host may sleep, which the timeout of a wait does not see.
_LOOK = 1.0
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def now() -> float:
    """Return the time by a clock that goes on while the host sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Keeper:
    """The command, and what was said of it so far."""

    def __init__(self, control: int, status: int, kill_after: float) -> None:
        self._control = control
        self._status = status
        self._kill_after = kill_after
        self._until = float("inf")
        self._kill_at = float("inf")
        self._killed = False
        self._who = "itself"
        self._left = b""
        self._pid = 0

    def run(self, command: list[str]) -> None:
        """Run it until it has ended."""
        ended, ring = os.pipe()
        os.set_blocking(ring, False)
        os.set_blocking(ended, False)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(ring)
        libc = ctypes.CDLL(None)

        def begin() -> None:
            # Its end with ours: a keeper that is killed keeps nothing.
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            for number in _IGNORED:
                signal.signal(number, signal.SIG_DFL)

        try:
            process = subprocess.Popen(command, start_new_session=True, preexec_fn=begin)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._tell(f"failed {getattr(error, 'strerror', None) or error}")
            return
        self._pid = process.pid
        self._tell(f"started {process.pid}")
        while not self._over():
            self._wait(ended)
        # Whatever it left in its group goes with it. It is there still, so that its number is its.
        self._send(signal.SIGKILL)
        self._tell(f"ended {process.wait()} {self._who}")

    def _over(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._pid, flags) is not None

    def _wait(self, ended: int) -> None:
        time_now = now()
        if time_now >= self._until and self._kill_at == float("inf"):
            self._end("time", signal.SIGTERM)
        if time_now >= self._kill_at and not self._killed:
            self._killed = True
            self._send(signal.SIGKILL)
        due = self._until if self._kill_at == float("inf") else self._kill_at
        pause = _LOOK if self._killed else min(max(due - now(), 0.0), _LOOK)
        watched = [ended] if self._control < 0 else [ended, self._control]
        ready, _, _ = select.select(watched, [], [], pause)
        if ended in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(ended, 4096)
        if self._control in ready:
            self._read()

    def _read(self) -> None:
        data = os.read(self._control, 4096)
        if not data:
            self._control = -1
            if self._kill_at == float("inf"):
                self._who = "nobody"
            self._kill_at = now()
            return
        *lines, self._left = (self._left + data).split(b"\n")
        for line in lines:
            word, _, value = line.partition(b" ")
            if word == b"until":
                self._until = float(value)
            elif word == b"signal":
                self._send(int(value))
            elif word == b"end":
                self._end("asked", int(value))

    def _end(self, who: str, number: int) -> None:
        if self._kill_at == float("inf"):
            self._who = who
            self._kill_at = now() + self._kill_after
            self._send(number)
            # What stands still does not hear of it.
            self._send(signal.SIGCONT)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    def _tell(self, text: str) -> None:
        # Nobody may be left to hear it.
        with contextlib.suppress(OSError):
            os.write(self._status, text.encode() + b"\n")


def main() -> None:
    """Run what the words of the command line say."""
    control, status, kill_after, *command = sys.argv[1:]
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.set_inheritable(int(control), False)
    os.set_inheritable(int(status), False)
    Keeper(int(control), int(status), float(kill_after)).run(command)


if __name__ == "__main__":
    main()
