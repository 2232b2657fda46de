"""Whoever is told of queries: a rate, a bounded queue, and a thread that empties it.

What a thread does with notes is the business of who is told (`Work`). It may hang: then notes are
dropped and counted, and nothing else happens.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from consulfwd.core.alarms import Alarms
from consulfwd.net.noting import Noted
from consulfwd.ops.querylog.intake import Intake

log = logging.getLogger("consulfwd.querylog")

# How often (seconds) a thread looks whether there is something, how much it takes at once, and how
# long it rests then: while it works the event loop waits for its turn, and a query with it.
EVERY, AT_ONCE, REST = 0.1, 8, 0.0002
# So long (seconds) the end of the process waits for what is noted to be written.
PARTING = 0.5


class Work(Protocol):
    """What is done with notes, in one thread. `fault` says what is wrong now, "" if nothing is."""

    @property
    def fault(self) -> str: ...

    def ready(self) -> bool:
        """Return whether notes can be dealt with now; until then they wait."""

    def write(self, notes: list[Noted]) -> int:
        """Deal with notes, return how many had to be dropped. There may be none: time passes."""

    def close(self) -> None:
        """Let go of everything."""


class Sink:
    """One who is told: `rate` of the queries. `lost` counts what was dropped by its thread."""

    def __init__(
        self, name: str, rate: float, work: Work, intake: Intake | None = None
    ) -> None:
        self.rate = rate
        self.work = work
        self.intake = Intake() if intake is None else intake
        self.lost = 0
        self.given = 0
        self._name = name
        self._alarms = Alarms()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Return how many notes were not told on."""
        return self.intake.dropped + self.lost

    def start(self) -> None:
        """Begin: until then notes wait."""
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ask the thread to write what there is, and to end."""
        self._ends.set()

    def wait(self) -> None:
        """Wait for the thread to end, so long at most; what hangs is left to itself."""
        if self._thread is not None:
            self._thread.join(PARTING)

    @property
    def alive(self) -> bool:
        """Return whether its thread still runs."""
        return self._thread is not None and self._thread.is_alive()

    def turn(self) -> bool:
        """Deal with some notes; return whether more wait."""
        if not self.work.ready():
            return False
        notes = self.intake.give(AT_ONCE)
        lost = len(notes)
        try:
            lost = self.work.write(notes)
        except Exception as error:
            if self._alarms.wrong(repr(error), time.monotonic()):
                log.exception("%s: an error of ours; notes were lost", self._name)
        self.lost += lost
        self.given += len(notes) - lost
        return len(self.intake) > 0

    def _run(self) -> None:
        while not self._ends.is_set():
            if not self.turn():
                self._ends.wait(EVERY)
            elif not self.intake.filling:
                time.sleep(REST)
        # What came meanwhile, and no more.
        for _ in range(len(self.intake) // AT_ONCE + 1):
            self.turn()
        self.work.close()
