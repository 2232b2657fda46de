"""What consulfwd says of itself when it gets SIGUSR1: counters since the start, and its watches.

What belongs here: asking, and reading the lines. What does not: what is made of them.
"""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import Process
from consulfwd.errors import StartError

PATIENCE_S = 3.0
_QUERIES = re.compile(r"queries (\d+): hot (\d+), cached (\d+), joined (\d+), forwarded (\d+)")
_UPSTREAM = re.compile(r"asked upstreams (\d+) times")


@dataclass(frozen=True)
class Told:
    """Counts since the start: queries, those answered from the hot tables, queries to upstreams.

    `armed` is how many watches would tell of a change now.
    """

    queries: int
    hot: int
    upstream: int
    armed: int

    def hot_share(self, before: Told) -> float:
        """Share of the queries since `before` that the hot tables answered."""
        return (self.hot - before.hot) / max(1, self.queries - before.queries)

    def asked_share(self, before: Told) -> float:
        """Queries to upstreams per query since `before`."""
        return (self.upstream - before.upstream) / max(1, self.queries - before.queries)


def told(process: Process, log: Path) -> Told:
    """Ask for a report and read it; StartError when none comes within PATIENCE_S."""
    begin = log.stat().st_size
    os.kill(process.pid, signal.SIGUSR1)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        time.sleep(0.005)
        process.check()
        size = log.stat().st_size
        with log.open("rb") as opened:
            opened.seek(begin)
            text = opened.read().decode(errors="replace")
        queries, upstream = _QUERIES.search(text), _UPSTREAM.search(text)
        # The lines of a report are written without a pause: when no more come it is whole.
        time.sleep(0.02)
        if queries and upstream and log.stat().st_size == size:
            return Told(
                queries=int(queries[1]),
                hot=int(queries[2]),
                upstream=int(upstream[1]),
                armed=len(re.findall(r": armed for ", text)),
            )
    raise StartError(f"{' '.join(process.command)} does not report on SIGUSR1:\n{process.tail()}")
