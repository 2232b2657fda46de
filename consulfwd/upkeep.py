"""What the service manager hears of a process that keeps something current, round by round.

Whoever runs the rounds calls, on the event loop:

| call | when | the manager hears |
|---|---|---|
| `begin()` | before the first round | STATUS, and from here on WATCHDOG while the loop turns |
| `round(faults, ...)` | after each | READY once there are no faults; STATUS |
| `reload()` | around reading settings again | RELOADING, READY; STATUS if they were refused |
| `stopping()` | when the end has begun | STOPPING |
| `close()` | at the very end | nothing more |
| `report()` | on SIGUSR1 | nothing: that is for the log |

Without a manager nothing is sent. It is what can be looked at of such a process
(`ops.watched.Watched`), and what the manager hears is a view of that picture. Must not know what is
kept current, nor how.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from consulfwd import __version__
from consulfwd.notify import REFUSED_RELOAD, Manager, Notifier
from consulfwd.ops.snapshot import RoundsSeen, Snapshot, Verb, ZoneSeen
from consulfwd.ops.text import logged
from consulfwd.ops.watched import OrderError
from consulfwd.ops.wrong import with_zone

log = logging.getLogger("consulfwd")

# Characters of a fault: a status is one line for people, the log has all of it.
_LONGEST = 400


class Upkeep:
    """How it goes with what is kept current, and what the service manager is told of it.

    `what` says what that is, such as "following two templates"; it may be another one after a
    reload. `clock` is the time of day in seconds. `wrong` says what is wrong now, beside what
    failed in the last round: what is followed may stop telling of changes. `zones` has what is to
    be seen of zones, where these are what is kept current.
    """

    def __init__(
        self,
        notifier: Notifier,
        what: str,
        clock: Callable[[], float] = time.time,
        *,
        verb: Verb = "render",
    ) -> None:
        self.what = what
        self.wrong: Callable[[], Sequence[str]] = list
        self.zones: Callable[[], tuple[ZoneSeen, ...]] = tuple
        self._verb = verb
        self._host = socket.gethostname()
        self._rounds = 0
        self._stopping = False
        self._clock = clock
        self._began = clock()
        self._is_ready = False
        self._faults: tuple[str, ...] = ()
        self._failing_since = 0.0
        self._wrote_at: float | None = None
        self._manager = Manager(notifier, self.status)

    @classmethod
    def take(
        cls, environ: MutableMapping[str, str], pid: int, what: str, verb: Verb = "render"
    ) -> Upkeep:
        """Return one that tells the manager the environment names, if it does.

        That is taken out: commands that are run meanwhile are not to speak for us.
        """
        return cls(Notifier.take(environ, pid), what, verb=verb)

    def status(self) -> str:
        """Return one line for people: what is kept current, since when, and what fails."""
        beside = [_short(one) for one in self.wrong()[: logged.FAULTS]]
        return logged.rounds(self._began, self._seen(), self._faults, beside)

    def _seen(self) -> RoundsSeen:
        return RoundsSeen(
            self.what,
            in_force=self._is_ready and not self._faults,
            wrote=self._wrote_at or 0.0,
            failing_since=self._failing_since if self._faults else 0.0,
        )

    def snapshot(self) -> Snapshot:
        """Return what is to be seen of it now."""
        seen, zones = self._seen(), self.zones()
        refused = [REFUSED_RELOAD] if self._manager.refused else []
        # What failed in the last round may be what a zone has against it.
        of_zones = (fault for zone in zones for fault in with_zone(zone))
        failing = dict.fromkeys((*self._faults, *map(_short, of_zones)))
        return Snapshot(
            verb=self._verb,
            version=__version__,
            pid=os.getpid(),
            host=self._host,
            started=self._began,
            taken=self._clock(),
            phase="stopping" if self._stopping else "running" if self._rounds else "starting",
            line="stopping" if self._stopping else self.status(),
            ready=seen.in_force and not self._stopping,
            faults=(*refused, *failing, *map(_short, self.wrong())),
            zones=zones,
            rounds=seen,
        )

    def report(self) -> None:
        """Log how it goes, and what is wrong."""
        for line in logged.report(self.snapshot()):
            log.info("%s", line)

    def order(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse any order: a process of this kind takes none."""
        raise OrderError(404, f"{self._verb} takes no orders")

    def begin(self) -> None:
        """Begin to tell: the loop turns, though nothing may be in force yet."""
        self._manager.begin()

    def round(self, faults: Sequence[str] = (), *, wrote: bool = False) -> None:
        """Note that a round is through: what failed in it, and whether it wrote anything.

        Without faults all is in force, or was found to be. The first line of each is told.
        """
        now = self._clock()
        self._rounds += 1
        if wrote:
            self._wrote_at = now
        if faults and not self._faults:
            self._failing_since = now
        self._faults = tuple(map(_short, faults))
        if not faults and not self._is_ready:
            self._is_ready = True
            self._manager.ready()
        else:
            self._manager.tell()

    def reload(self) -> AbstractContextManager[None]:
        """Tell of a reload while it lasts; an error in it leaves the old in force, told."""
        return self._manager.reload()

    def stopping(self) -> None:
        """Say that the end has begun; what is being done may still take its time."""
        self._stopping = True
        self._manager.stopping()

    def close(self) -> None:
        """Say nothing more."""
        self._manager.close()


def _short(fault: str) -> str:
    first = next(iter(fault.splitlines()), "failed")
    return first if len(first) <= _LONGEST else f"{first[: _LONGEST - 4]} ..."
