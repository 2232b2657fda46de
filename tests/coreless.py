"""How long programs were ready to go on while others were on all cores.

What is promised is promised for a host that has a core for it. A test that holds a program to a
time takes off what the machine kept it waiting: nothing on a quiet machine.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from tests.stalled import Stalls
from tests.stolen import stolen_s

PROC = Path("/proc")


def coreless_s(pid: int | str = "self") -> float:
    """For how many seconds a process's first thread was ready to run and had no core.

    https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
    """
    return _waited_s(PROC / str(pid) / "schedstat")


def our_time() -> float:
    """A time (seconds) that stands still while this thread is ready to run and has no core.

    For what one thread does alone, and is to have done soon: how soon, this tells on any machine.
    """
    return time.monotonic() - coreless_s()


class HeldUp:
    """What became of these processes, with their children, and of this one, since it was made.

    `disk` is for a way that leads through what a disk must have first, as Consul's writes do.
    """

    def __init__(self, *pids: int, disk: bool = False) -> None:
        self._pids = pids
        self._stalls = Stalls() if disk else None
        self._stolen = stolen_s()
        self._before = self._threads()

    def seconds(self) -> float:
        """For how long they were held up, one after the other; the host's part is in it."""
        now = self._threads()
        waited = sum(max(0.0, now[one] - self._before.get(one, 0.0)) for one in now)
        stalled = self._stalls.seconds() if self._stalls else 0.0
        return waited + stolen_s() - self._stolen + stalled

    def _threads(self) -> dict[Path, float]:
        found: dict[Path, float] = {}
        own = PROC / str(os.getpid())
        left = [own, *(PROC / str(pid) for pid in self._pids)]
        while left:
            process = left.pop()
            for task in _those_in(process / "task"):
                if self._stalls and task.name == str(self._stalls.thread):
                    continue
                # Whoever ends meanwhile is held up no more.
                with contextlib.suppress(OSError):
                    found[task] = _waited_s(task / "schedstat")
                    if process != own:
                        children = (task / "children").read_text().split()
                        left += [PROC / child for child in children]
        return found


def _those_in(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _waited_s(file: Path) -> float:
    return int(file.read_text().split()[1]) / 1e9
