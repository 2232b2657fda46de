"""Where names are that move with health: found out by a publisher itself.

What belongs here: the records of all zones of a process, checked here or followed, and who is told
that one moved. What is decided of an address is in `consulfwd.failover`; what becomes of it in a
zone, in `zones.moving`.

Where several `checkers` agree, those are asked, and this process has no word among them: another
one of this host may be one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from consulfwd.config import Agent
from consulfwd.config.failover import CheckerSettings, FailoverSettings
from consulfwd.config.zones import ZoneSettings
from consulfwd.consul.session import boot_time
from consulfwd.failover.book import Book
from consulfwd.failover.checks.making import Making
from consulfwd.failover.keeping import InThread
from consulfwd.failover.model import Change
from consulfwd.failover.routed import has_route
from consulfwd.failover.running import MakeCheck, Running
from consulfwd.zones.moving import Placed
from consulfwd.zones.publish.tools import in_thread, wait
from consulfwd.zones.zone import Zone

log = logging.getLogger("consulfwd.publish")

# A first round takes as long as its longest check, and so much more (seconds).
MORE = 3.0
# Of that a push is never kept waiting longer (seconds).
LONGEST = 15.0


class Moves:
    """The records, from `start` until `close`. What is remembered of them is in `folder`.

    With `looking` nothing is written there.
    """

    def __init__(
        self,
        records: Mapping[str, FailoverSettings],
        checker: CheckerSettings,
        agents: Sequence[Agent],
        folder: Path,
        *,
        looking: bool = False,
        make_check: MakeCheck | None = None,
        clock: Callable[[], float] = boot_time,
        wall: Callable[[], float] = time.time,
        routed: Callable[[], bool] = has_route,
        in_thread: InThread = in_thread,
    ) -> None:
        self._agents = agents
        self._making = Making(agents)
        self._events: list[asyncio.Event] = []
        self._known = asyncio.Event()
        self._looking, self._in_thread = looking, in_thread
        checker = checker.replace(state=folder)
        if checker.checkers:
            checker = checker.replace(checks=False)
        self._book = Book(
            records,
            checker,
            clock=clock,
            wall=wall,
            changed=self._changed,
            routed=routed,
        )
        self._patience = min(
            MORE + max((one.check_timeout for one in records.values()), default=0.0),
            LONGEST,
        )
        self._make_check = make_check or self._making
        self._running: Running | None = None

    async def start(self) -> None:
        """Take over what is remembered, and begin to check, or to follow those who do."""
        self._running = Running(
            self._book,
            self._make_check,
            self._agents,
            rng=random.Random(os.urandom(16)),
            in_thread=self._in_thread,
            writes=not self._looking,
        )
        await self._running.start()
        self._note()

    async def close(self) -> None:
        """End it, and write down what is known."""
        running, self._running = self._running, None
        if running is not None:
            await running.stop()
        await self._making.close()

    async def known(self) -> bool:
        """Wait until it is known of all where they are, for as long as a round takes."""
        await wait(self._known, self._patience)
        return self._known.is_set()

    def follow(self, event: asyncio.Event) -> None:
        """Have an event set whenever one moved."""
        self._events.append(event)

    def tell(self, zone: Zone) -> bool:
        """Tell a zone where its names are; return whether there is something to push."""
        return bool(zone.moving) and zone.moved(self._placed(zone.settings))

    def _placed(self, zone: ZoneSettings) -> dict[str, Placed | None]:
        return {one: self._of(one) for one in zone.failover if one in self._book}

    def _of(self, name: str) -> Placed | None:
        given = self._book.given(name)
        if given is None:
            return None
        addresses = frozenset(one.ip.packed for one in given.addresses)
        return Placed(addresses, ttl_of(self._book.settings(name)), given.why)

    def _changed(self, change: Change) -> None:
        level = logging.WARNING if change.kind in ("down", "held") else logging.INFO
        log.log(level, "failover: %s", change.said)
        if change.kind == "answer":
            self._note()
            for event in self._events:
                event.set()

    def _note(self) -> None:
        if all(self._book.given(one) is not None for one in self._book.names):
            self._known.set()


def ttl_of(record: FailoverSettings) -> int:
    """Return the TTL that a record has in a zone (seconds).

    Servers give it out as it is, however old the last check is: `ttl`, and no more than it takes
    to find out that an address is down, but `ttl_min` at least.
    """
    return max(record.ttl_min, min(record.ttl, int(record.interval * record.fall)))
