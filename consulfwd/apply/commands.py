"""Checkers and reload commands: run, bounded in time and output.

What belongs here: one command's life, and in which unit of systemd's that is. What it is for, and
what follows from its failure, is in `steps`; must not know that.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

# Servers' own tools are often where only root's PATH leads.
MORE_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
SHELL = "/bin/sh"
# In which control groups we are: systemd names them for its units.
GROUPS = Path("/proc/self/cgroup")
# Of longer output (octets) the first and the last so much is kept.
KEPT = 8_192
# From asking a command to end until it is made to (seconds).
GRACE = 1.0
# Between two looks (seconds) at a command whose output is still held open.
_LOOK = 0.05

Waiting = Callable[[], AbstractContextManager[None]]


class Ran(NamedTuple):
    """One command that was run: its words, what went wrong ("" if nothing), what it printed.

    `code` is what it ended with, minus the signal if one ended it; None if it did not end by
    itself, or was never begun.
    """

    command: tuple[str, ...]
    wrong: str
    output: str
    code: int | None = None

    def __str__(self) -> str:
        return f"`{shown(self.command)}` {self.wrong or 'succeeded'}"


def shell(text: str) -> tuple[str, ...]:
    """Return the command that has /bin/sh run `text`: only for what a user wrote as such."""
    return (SHELL, "-c", text)


def shown(command: Sequence[str]) -> str:
    """Return a command as a user would type it."""
    if len(command) == 3 and tuple(command[:2]) == (SHELL, "-c"):
        return command[2]
    return shlex.join(command)


def find(program: str) -> str | None:
    """Return where a program is: in PATH or where servers' tools are; None if not installed."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *MORE_PATHS])
    found = shutil.which(program, path=path)
    return None if found is None else str(Path(found).absolute())


def own_unit() -> str:
    """Return the unit of the system's that we run in, "" if there is none."""
    if "INVOCATION_ID" not in os.environ:
        return ""
    try:
        lines = GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    # Of the one hierarchy there is, or else of systemd's own; a user's units are another systemd's.
    for line in lines:
        _, kind, path = line.split(":", 2)
        units = [one for one in path.split("/") if one.endswith(".service")]
        if kind in ("", "name=systemd") and units and "/user.slice/" not in path:
            return units[-1]
    return ""


def run(
    command: Sequence[str],
    *,
    timeout_s: float,
    folder: Path | None = None,
    waiting: Waiting = nullcontext,
) -> Ran:
    """Run a command in `folder`, without a shell or input, and return what became of it.

    After `timeout_s` it is ended, with all that it started in its process group. What it leaves
    running in the background when it ends by itself is left alone. Every wait is within
    `waiting()`; if an exception comes out of it, the command is ended too.
    """
    words = tuple(command)
    program = find(words[0])
    if program is None:
        return Ran(words, "failed: it is not installed", "")
    try:
        process = subprocess.Popen(
            words,
            executable=program,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Ran(words, f"cannot be run: {error.strerror or error}", "")
    kept = _Kept()
    try:
        with waiting():
            ended = _follow(process, kept, timeout_s)
    except BaseException:
        _end(process, kept)
        raise
    if not ended:
        _end(process, kept)
        return Ran(words, f"did not end within {timeout_s:g} s", kept.text())
    _close(process)
    return Ran(words, _wrong(process.returncode), kept.text(), process.returncode)


def _wrong(code: int) -> str:
    if code >= 0:
        return f"failed with exit code {code}" if code else ""
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


class _Kept:
    """The start and the end of what a command printed."""

    def __init__(self) -> None:
        self._start = b""
        self._end = b""
        self._left_out = False

    def add(self, data: bytes) -> None:
        room = KEPT - len(self._start)
        self._start += data[:room]
        self._end += data[room:]
        if len(self._end) > KEPT:
            self._end = self._end[-KEPT:]
            self._left_out = True

    def text(self) -> str:
        between = b"\n[...]\n" if self._left_out else b""
        text = (self._start + between + self._end).decode(errors="replace")
        # It may end up on a terminal.
        plain = "".join(one if one.isprintable() or one in "\n\t" else "?" for one in text)
        return plain.strip("\n")


def _follow(process: subprocess.Popen[bytes], kept: _Kept, timeout_s: float) -> bool:
    """Read what it prints until it ends or the time is up; return whether it has ended."""
    deadline = time.monotonic() + timeout_s
    if _read(process, kept, deadline, lambda: process.poll() is not None):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    return process.poll() is not None


def _read(
    process: subprocess.Popen[bytes], kept: _Kept, deadline: float, enough: Callable[[], bool]
) -> bool:
    """Read until nobody holds the output open, or it is `enough`; False if the time was up."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            # Asked first: what was printed before the end is read after it.
            last = enough()
            left = deadline - time.monotonic()
            if selector.select(0 if last else max(0.0, min(left, _LOOK))):
                data = os.read(descriptor, 65_536)
                kept.add(data)
                last = last or not data
            if last:
                return True
            if left <= 0:
                return False


def _end(process: subprocess.Popen[bytes], kept: _Kept) -> None:
    """End the whole process group: asked first, then made to."""
    # It is not waited for before the last signal, so that its number cannot be another's.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)
            _read(process, kept, time.monotonic() + GRACE, lambda: False)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    process.stdout.close()
