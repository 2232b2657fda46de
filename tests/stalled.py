"""Time for which a disk made somebody wait, or the machine stood still.

Consul takes a write once its log is on a disk, and so do databases and journals: what goes through
them takes as long as the disk makes them wait. Nothing at all goes on while a machine stands still:
it is paused, or all cores are somebody else's. Tests that hold such a way to a time allow both.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
import weakref
from pathlib import Path

# A disk that keeps up takes no longer for a block; as often one is tried (seconds).
QUICK_S, EVERY_S = 0.05, 0.05


class Stalls:
    """How long the disk of temporary files makes a write wait, seen by writing, while this lives.

    Whoever writes sleeps in between; that one wakes up late counts, too, but for what it waited for
    a core. Without a `disk` that is all. Nothing is counted on a machine that goes on, and whose
    disk keeps up.
    """

    def __init__(self, *, disk: bool = True) -> None:
        self._tried = _Tried()
        given = weakref.ref(self), self._tried, disk
        self._thread = threading.Thread(target=_try, args=given, daemon=True)
        self._thread.start()

    @property
    def thread(self) -> int:
        """Who writes: waits for a core, too, but holds up nobody."""
        assert self._thread.native_id is not None
        return self._thread.native_id

    def seconds(self) -> float:
        """For how long it did so far; what it makes wait now is in it."""
        return self._tried.seconds()

    def after(self, begun: float, seconds: float) -> float:
        """When so much time had passed since `begun` in which it kept up (`time.monotonic`)."""
        ends = begun + seconds
        for begin, end in self._tried.stalls():
            if end > begun and begin < ends:
                ends += end - max(begin, begun)
        return ends


class _Tried:
    def __init__(self) -> None:
        # What earlier ones waited, and when the one begins that is next: changed at once.
        self._state: tuple[float, float | None] = 0.0, None
        self._stalls: list[tuple[float, float]] = []

    def begins(self, at: float) -> None:
        self._state = self._state[0], at

    def ends(self, coreless_s: float) -> None:
        before, now = self._state[0], time.monotonic()
        waited = self.seconds() - before - coreless_s
        if waited > 0:
            self._stalls.append((now - waited, now))
        self._state = before + max(0.0, waited), None

    def seconds(self) -> float:
        waited, began = self._state
        return waited if began is None else waited + max(0.0, time.monotonic() - began - QUICK_S)

    def stalls(self) -> list[tuple[float, float]]:
        """From when to when each was, in order, with one that goes on."""
        found, (_, began), now = list(self._stalls), self._state, time.monotonic()
        if began is not None and now - began > QUICK_S:
            found.append((began, now))
        return found


def _try(whose: weakref.ref[Stalls], tried: _Tried, disk: bool) -> None:
    ready = Path("/proc/thread-self/schedstat")

    def coreless_s() -> float:
        return int(ready.read_text().split()[1]) / 1e9

    before = coreless_s()
    tried.begins(time.monotonic())
    with tempfile.TemporaryFile(buffering=0) as file:
        while whose() is not None:
            if disk:
                file.seek(0)
                file.write(b"x")
                os.fsync(file.fileno())
            # What it waited for a core is none of the disk's.
            tried.ends(coreless_s() - before)
            before = coreless_s()
            # From when it is to wake up: later is late.
            tried.begins(time.monotonic() + EVERY_S)
            time.sleep(EVERY_S)
