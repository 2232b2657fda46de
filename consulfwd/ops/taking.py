"""A running resolver as what can be looked at, and given orders (`watched.Watched`).

What belongs here is putting both together. Called on the event loop of the process only.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from consulfwd import __version__
from consulfwd.net.clock import Clock
from consulfwd.ops import resolver, wrong
from consulfwd.ops.snapshot import Phase, RecordSeen, ResolverSeen, Snapshot
from consulfwd.ops.text import logged
from consulfwd.ops.watched import OrderError
from consulfwd.server import Server

if TYPE_CHECKING:
    from consulfwd.ops.orders import Orders

log = logging.getLogger("consulfwd")

# The time of day drifts that far (seconds) from the clock before moments are told anew: what has
# not changed is to look the same.
DRIFT = 0.5


class WatchedServer:
    """A server, before it has started too."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._orders: Orders | None = None
        self._clock = Clock()
        self._ahead = self._clock.wall() - self._clock.now()
        self._started = self._clock.wall()
        self._host = socket.gethostname()
        # What is wrong with names that move, and after how many changes of them.
        self._moved: tuple[int, list[str]] = 0, []
        # What the process around it has against it, such as a reload that was refused.
        self.beside: Callable[[], Sequence[str]] = tuple

    def snapshot(self) -> Snapshot:
        """Return what is to be seen now."""
        server = self._server
        phase = server.phase
        if phase == "starting":
            return self._picture(phase, phase, (), ready=False)
        self._keep_time(server.engine.clock)
        server.engine.looked_at()
        seen = resolver.see(server, self._ahead, server.querylog.told())
        records, in_all = self._records()
        moved = wrong.with_records(records)
        self._moved = server.moves, moved
        return self._picture(
            phase,
            self.line(),
            (*self.beside(), *wrong.with_resolver(seen), *moved, *server.faults()),
            ready=phase == "running" and wrong.is_ready(seen),
            seen=seen,
            records=records,
            in_all=in_all,
        )

    def _keep_time(self, clock: Clock) -> None:
        ahead = clock.wall() - clock.now()
        if abs(ahead - self._ahead) > DRIFT:
            self._ahead = ahead
        self._clock = clock

    def _records(self) -> tuple[tuple[RecordSeen, ...], int]:
        book = self._server.book
        if book is None:
            return (), 0
        # Imported late: few hosts have names that move.
        from consulfwd.ops import failover

        return failover.see(book), len(book.names)

    def _wrong_with_records(self) -> list[str]:
        """Return what is wrong with names that move, found out anew after a change alone."""
        moves = self._server.moves
        if self._moved[0] != moves:
            self._moved = moves, wrong.with_records(self._records()[0])
        return self._moved[1]

    def _picture(
        self,
        phase: Phase,
        line: str,
        faults: tuple[str, ...],
        *,
        ready: bool,
        seen: ResolverSeen | None = None,
        records: tuple[RecordSeen, ...] = (),
        in_all: int = 0,
    ) -> Snapshot:
        return Snapshot(
            verb="serve",
            version=__version__,
            pid=os.getpid(),
            host=self._host,
            started=self._started,
            taken=self._clock.wall(),
            phase=phase,
            line=line,
            ready=ready,
            faults=faults,
            resolver=seen,
            admin=self._server.querylog.counters(),
            failover=records,
            failover_in_all=in_all,
        )

    def line(self) -> str:
        """Return the picture's line, at the cost of that alone."""
        server = self._server
        if server.phase != "running":
            return server.phase
        beside = (*self._wrong_with_records(), *server.faults())
        return logged.status(resolver.see_usual(server, self._ahead), beside)

    def report(self) -> None:
        """Log what it has done so far, how each upstream is, and what is wrong."""
        for line in logged.report(self.snapshot()):
            log.info("%s", line)

    def order(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out an order, return what came of it (`watched.Watched`). Raises OrderError."""
        if self._server.phase != "running":
            raise OrderError(409, f"this process is {self._server.phase}")
        if self._orders is None:
            # Not before somebody orders something: a server is to answer soon after its start.
            from consulfwd.ops.orders import Orders

            self._orders = Orders(self._server)
        return self._orders.carry_out(name, values)

    def tail(self, put: Callable[[bytes], None], sample: float) -> Callable[[], None]:
        """Have queries told from now on (`watched.Tailed`). Raises OrderError."""
        if self._server.phase != "running":
            raise OrderError(409, f"this process is {self._server.phase}")
        return self._server.querylog.tail(put, sample)
