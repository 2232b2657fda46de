"""A service's set watched by a process of its own: printed, or told to a command, until a signal.

What belongs here: signals, what the log and the service manager are told, how it ends. When the
command runs is in `due`, its life in `command`. Must not know options.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from consulfwd.backends import command
from consulfwd.backends.due import Due, Pace
from consulfwd.backends.model import Change
from consulfwd.backends.sets import Backends
from consulfwd.config import Settings
from consulfwd.hangups import HangUps
from consulfwd.notify import Manager, Notifier
from consulfwd.words import duration

log = logging.getLogger("consulfwd.watch")

PREFIX = "CONSULFWD_"


@dataclass(frozen=True)
class Wanted:
    """What is done with changes: `words` are run (without any, changes go to `show`).

    `once` ends it after the first, for which Consul may take `wait` seconds; without it, it waits
    as long as that takes. A run may take `timeout` seconds.
    """

    words: Sequence[str]
    pace: Pace
    show: Callable[[Change], None]
    timeout: float = 60.0
    once: bool = False
    wait: float = 10.0


class Watching:
    """One set, watched. `read` gives the settings, at SIGHUP again."""

    def __init__(
        self, backends: Backends, wanted: Wanted, notifier: Notifier, read: Callable[[], Settings]
    ) -> None:
        self._set = backends
        self._wanted = wanted
        self._read = read
        self._due = Due(wanted.pace)
        self._manager = Manager(notifier, self.status)
        self._ready = False
        self._wrong = ""

    async def run(self) -> int:
        """Go on until a signal, or the first change with `once`; return the exit code.

        0 after SIGTERM, 130 after SIGINT; with `once` 1 where the command failed. Raises
        ConsulError where `once` is to be answered and no agent does, and what `show` raises.
        """
        loop = asyncio.get_running_loop()
        heard: list[signal.Signals] = []
        work = asyncio.ensure_future(self._work())

        def stop(number: signal.Signals) -> None:
            heard.append(number)
            self._manager.stopping()
            work.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        loop.add_signal_handler(signal.SIGUSR1, lambda: log.info("%s", self.status()))
        hang_ups = HangUps(self._read_again)
        self._manager.begin()
        code = 0
        try:
            with suppress(asyncio.CancelledError):
                code = await work
        finally:
            hang_ups.close()
            self._manager.close()
            await self._set.close()
        if heard:
            return 0 if heard[0] == signal.SIGTERM else 128 + heard[0]
        return code

    def status(self) -> str:
        """Return one line for people: how many there are, what is wrong."""
        backends = self._set
        if not backends.known:
            return f"{backends.service}: waiting for Consul"
        wrong = [one for one in (self._wrong, backends.stale) if one]
        return "; ".join([f"{backends.service}: {len(backends.current)} healthy", *wrong])

    async def _work(self) -> int:
        if self._wanted.once:
            await self._set.ready(self._wanted.wait)
        return await (self._execute() if self._wanted.words else self._print())

    async def _print(self) -> int:
        async for change in self._set:
            self._wanted.show(change)
            self._told()
            if self._wanted.once:
                break
        return 0

    async def _execute(self) -> int:
        due, wake = self._due, asyncio.Event()
        listening = asyncio.ensure_future(self._listen(wake))
        listening.add_done_callback(lambda _: wake.set())
        try:
            while not listening.done():
                at, now = due.due_at, time.monotonic()
                if at is not None and at <= now:
                    if (change := due.begin(now)) is not None:
                        well = await self._run(change)
                        due.ended(well, time.monotonic())
                        self._told()
                        if self._wanted.once:
                            return int(not well)
                    continue
                wake.clear()
                await _either(wake, None if at is None else at - now)
            listening.result()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        return 0

    async def _listen(self, wake: asyncio.Event) -> None:
        async for change in self._set:
            self._due.seen(change.backends, time.monotonic())
            self._manager.tell()
            wake.set()

    async def _run(self, change: Change) -> bool:
        """Tell the command of a change; return whether it ended well."""
        began = time.monotonic()
        words, backends = self._wanted.words, self._set
        told = {"service": backends.service, "datacenter": backends.datacenter}
        said = json.dumps({**told, **change.as_json(), "stale": backends.stale}) + "\n"
        environ = {**os.environ, **variables(backends, change)}
        wrong = await command.run(words, said.encode(), environ, timeout=self._wanted.timeout)
        what = (
            f"{backends.service}: {len(change.backends)} healthy, {len(change.added)} added,"
            f" {len(change.removed)} removed, {len(change.updated)} updated"
        )
        if not wrong:
            log.info("%s; told in %s", what, duration(time.monotonic() - began))
            self._wrong = ""
            return True
        self._wrong = f"`{shlex.join(words)}` {wrong}"
        again = "" if self._wanted.once else f"; next try in {duration(self._due.pause)}"
        log.error("%s; %s%s", what, self._wrong, again)
        return False

    def _told(self) -> None:
        """Note that somebody was told, or was to be."""
        if not self._ready and not self._wrong:
            self._ready = True
            self._manager.ready()
        else:
            self._manager.tell()

    def _read_again(self) -> None:
        with self._manager.reload():
            self._set.use(self._read())


def variables(backends: Backends, change: Change) -> Mapping[str, str]:
    """Return what a command finds in its environment: nothing there grows with the set."""
    return {
        f"{PREFIX}SERVICE": backends.service,
        f"{PREFIX}HEALTHY": str(len(change.backends)),
        f"{PREFIX}ADDED": str(len(change.added)),
        f"{PREFIX}REMOVED": str(len(change.removed)),
        f"{PREFIX}UPDATED": str(len(change.updated)),
    }


async def _either(wake: asyncio.Event, timeout: float | None) -> None:
    """Wait until it is set, for `timeout` seconds at most."""
    waiting = asyncio.ensure_future(wake.wait())
    try:
        await asyncio.wait({waiting}, timeout=timeout)
    finally:
        waiting.cancel()
