"""A command run to check an address: without a shell, within its time, ended with its group.

What belongs here: its life, and what its exit code is worth. Unlike a command of `apply` it runs
beside a resolver on one event loop, every few seconds: nothing here waits in a thread, and nothing
it left behind is let run on, but for what has made a session of its own (`setsid`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping

from consulfwd.config.failover_checks import CommandCheck
from consulfwd.failover.checks.looking import Progress, Unasked, Wrong
from consulfwd.failover.model import Address

# Octets of its output that are kept; of these the first line that says something is told.
KEPT = 4_096
# Whoever prints more than so many octets goes on until its time is over, which costs a core.
MOST = 16 << 20
# Of the environment it gets what says where things are, and no secrets, sockets or credentials.
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Between two looks (seconds) whether it has ended, where the kernel (before 5.3) does not tell.
_LOOK = 0.02


class CommandLook:
    """Runs a command; `name` is the record's."""

    def __init__(self, settings: CommandCheck, name: str) -> None:
        self._settings = settings
        self._name = name

    async def look(self, address: Address, progress: Progress) -> str:
        """Return what it said, or that it had nothing to say."""
        progress.at("waiting for the command to end")
        ip = str(address.ip)
        put_in = {"{address}": ip, "{name}": self._name}
        words = [_filled(one, put_in) for one in self._settings.argv]
        passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
        own = {"CONSULFWD_ADDRESS": ip, "CONSULFWD_NAME": self._name}
        own["CONSULFWD_POOL"] = str(address.pool)
        code, output = await _run(words, {"PATH": _PATH, **passed, **own})
        said = next((line.strip() for line in output.splitlines() if line.strip()), "")
        if code < 0:
            raise Unasked(f"the command was ended by {_signal(-code)}")
        if code in self._settings.ok:
            return said or f"exit code {code}"
        told = f"exit code {code}" + (f": {said}" if said else "")
        if code in self._settings.fail:
            raise Wrong(told)
        raise Unasked(told)


def _filled(word: str, put_in: Mapping[str, str]) -> str:
    for what, value in put_in.items():
        word = word.replace(what, value)
    return word


async def _run(words: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Return the exit code (minus the signal that ended it) and the start of the output.

    Raises Unasked where it cannot be run.
    """
    loop = asyncio.get_running_loop()
    try:
        process = subprocess.Popen(
            words,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise Unasked(f"the command cannot be run: {why}") from None
    assert process.stdout is not None
    output = process.stdout.fileno()
    os.set_blocking(output, False)
    kept = bytearray()
    printed = 0

    def readable() -> None:
        nonlocal printed
        try:
            data = os.read(output, 65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        # What is more is read and thrown away, so that it does not wait for us.
        kept.extend(data[: KEPT - len(kept)])
        printed += len(data)
        if not data or printed > MOST:
            loop.remove_reader(output)
        if printed > MOST:
            _kill(process.pid)

    loop.add_reader(output, readable)
    try:
        await _ended(process.pid)
        # What it printed last may not have been read yet.
        readable()
    finally:
        loop.remove_reader(output)
        # It is not waited for before, so that the group's number is nobody else's.
        _kill(process.pid)
        code = await _reaped(process)
        process.stdout.close()
    if printed > MOST:
        raise Unasked(f"the command prints without end: more than {MOST >> 20} MB")
    return code, kept.decode(errors="replace")


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


async def _reaped(process: subprocess.Popen[bytes]) -> int:
    """Return what a process ended with that has ended, or was just killed."""
    # At once, but for one that the kernel cannot end yet: that is left to be, as is its number.
    for _ in range(50):
        if (code := process.poll()) is not None:
            return code
        await asyncio.sleep(0.01)
    raise Unasked("the command cannot be ended: it waits in the kernel")


async def _ended(pid: int) -> None:
    """Wait until a process has ended, without taking note of it."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, AttributeError):
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            await asyncio.sleep(_LOOK)
        return
    ended = loop.create_future()
    loop.add_reader(descriptor, _settle, ended)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
