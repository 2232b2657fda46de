"""How long programs were ready to go on while others were on all cores.

What is promised is promised for a host that has a core for it. A test that holds a program to a
time takes off what the machine kept it waiting: nothing on a quiet machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from tests.stalled import Stalls
from tests.stolen import stolen_s

T = TypeVar("T")

PROC = Path("/proc")
# Whoever waits for less than that is late for nothing: it is not looked at more often.
READ_EACH_S = 0.0005
# For how long threads have waited is looked at so often.
LOOK_EACH_S = 0.1


def coreless_s(pid: int | str = "self") -> float:
    """For how many seconds a process's first thread was ready to run and had no core.

    https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
    """
    return _waited_s(PROC / str(pid) / "schedstat")


class OurTime:
    """A time (seconds) that stands still while the first thread is ready to run and has no core.

    For what one thread does alone, and is to have done soon: how soon, this tells on any machine.
    In other threads, and where nobody counts how long a thread waits, it is the usual one.
    """

    def __init__(self, counted: Path = PROC / "self" / "schedstat") -> None:
        self._counted = counted
        self._last = self._waited = self._read_at = 0.0
        self._first = threading.main_thread().ident
        self.open()

    def open(self) -> None:
        """Go by the first thread of the process this is in now."""
        # It is looked at often, by an event loop several times for whatever happens: it stays open.
        self._read_at = 0.0
        try:
            self._file = os.open(self._counted, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def __call__(self) -> float:
        now = time.monotonic()
        if self._file < 0 or threading.get_ident() != self._first:
            return now
        if now >= self._read_at + READ_EACH_S:
            self._read_at = now
            self._waited = int(os.pread(self._file, 64, 0).split()[1]) / 1e9
        # What was waited since it was read, or between the two clocks: it never goes back for that.
        self._last = max(self._last, now - self._waited)
        return self._last


our_time = OurTime()
os.register_at_fork(after_in_child=our_time.open)


def go_by_our_time(loop: asyncio.AbstractEventLoop) -> None:
    """Have an event loop go by `our_time` from now on.

    Nothing is late in it then for want of a core: no time to wait is over while what is waited for
    has come, and only nobody had a core to look at it. Where there is a core, this is the usual
    time. What goes by other clocks than the loop's has no place in it.
    """
    ahead = loop.time() - our_time()
    loop.time = lambda: our_time() + ahead  # type: ignore[method-assign]


def around(seen: Sequence[tuple[float, T]], begin: float, end: float) -> tuple[T, T]:
    """What was seen last before one time, and first after another: the ends where nothing was."""
    before = [what for at, what in seen if at <= begin] or [seen[0][1]]
    after = [what for at, what in seen if at >= end] or [seen[-1][1]]
    return before[-1], after[0]


class HeldUp:
    """What became of these processes, with their children, and of this one, since it was made.

    That everything stood still is in it. `disk` is for a way that leads through what a disk must
    have first, as Consul's writes do.
    """

    def __init__(self, *pids: int, disk: bool = False) -> None:
        self._pids = pids
        self._stalls = Stalls(disk=disk)
        self._stolen = stolen_s()
        self._before = self._threads()

    def seconds(self) -> float:
        """For how long they were held up, one after the other; the host's part is in it."""
        now = self._threads()
        waited = sum(max(0.0, now[one] - self._before.get(one, 0.0)) for one in now)
        return waited + stolen_s() - self._stolen + self._stalls.seconds()

    def _threads(self) -> dict[Path, float]:
        found: dict[Path, float] = {}
        own = PROC / str(os.getpid())
        left = [own, *(PROC / str(pid) for pid in self._pids)]
        while left:
            process = left.pop()
            for task in _those_in(process / "task"):
                if task.name == str(self._stalls.thread):
                    continue
                # Whoever ends meanwhile is held up no more.
                with contextlib.suppress(OSError):
                    found[task] = _waited_s(task / "schedstat")
                    if process != own:
                        children = (task / "children").read_text().split()
                        left += [PROC / child for child in children]
        return found


class Waits:
    """How long each thread of some processes was ready and had no core, looked at while it lives.

    For a way through several of them, one after the other.
    """

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._seen: list[tuple[float, list[dict[str, float]]]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def seconds(self, begin: float, end: float) -> float:
        """For how long each process was held up between two times, at the very most, added up.

        Of its threads the one that waited longest counts (`time.monotonic`).
        """
        return sum(
            max((waited - was.get(one, 0.0) for one, waited in now.items()), default=0.0)
            for was, now in zip(*around(self._seen, begin, end), strict=True)
        )

    def _look(self) -> None:
        while True:
            over = self._over.is_set()
            self._seen.append((time.monotonic(), [_each_thread(one) for one in self._pids]))
            if over:
                return
            self._over.wait(LOOK_EACH_S)


def _each_thread(pid: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for task in _those_in(PROC / str(pid) / "task"):
        with contextlib.suppress(OSError):
            found[task.name] = _waited_s(task / "schedstat")
    return found


def _those_in(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _waited_s(file: Path) -> float:
    return int(file.read_text().split()[1]) / 1e9
