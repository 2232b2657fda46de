"""Names that move, of one resolver: the book in force, what runs for it, its routes, its log.

What belongs here: that another book takes over when the settings are others, and the checks with
it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from consulfwd.core.routes import Route
from consulfwd.failover.answering import routes_of
from consulfwd.failover.book import Book
from consulfwd.failover.checks.making import Making
from consulfwd.failover.model import Change
from consulfwd.failover.routed import has_route
from consulfwd.failover.running import Running

if TYPE_CHECKING:
    from consulfwd.config import Agent, Settings

log = logging.getLogger("consulfwd.failover")

Clock = Callable[[], float]
# Of these somebody may have to do something about it.
_GRAVE = {"down", "held"}


class Serving:
    """Made with settings, `start`ed, given others by `take` and `follow`, and `stop`ped.

    `clock` goes on while the host sleeps, `wall` is the time of day.
    """

    def __init__(
        self, settings: Settings, *, clock: Clock, wall: Clock, rng: random.Random
    ) -> None:
        self._clock, self._wall, self._rng = clock, wall, rng
        # How often something has changed; other settings count, too.
        self.changes = 0
        self.book = self._book(settings)
        self._making: Making | None = None
        self._running: Running | None = None

    async def start(self, agents: Sequence[Agent]) -> None:
        """Take over what is remembered, and begin to check."""
        self._making = Making(agents)
        self._running = Running(self.book, self._making, agents, rng=self._rng)
        await self._running.start()

    def take(self, settings: Settings) -> None:
        """Take other settings: what is known of addresses that stay, stays."""
        book = self._book(settings)
        book.take_over(self.book)
        self.book = book

    async def follow(self, agents: Sequence[Agent]) -> None:
        """Check by the settings taken last, and ask these agents."""
        if self._running is not None and self._making is not None:
            await self._making.use(agents)
            await self._running.use(self.book, self._making, agents)

    async def stop(self) -> None:
        """Check no more, and write down what is known."""
        running, self._running = self._running, None
        making, self._making = self._making, None
        if running is not None:
            await running.stop()
        if making is not None:
            await making.close()

    def routes(self) -> Iterable[Route]:
        """Yield the routes of all names; they are of the book in force."""
        for name in self.book.names:
            yield from routes_of(name, self.book, self._wall, self._rng)

    def _book(self, settings: Settings) -> Book:
        self.changes += 1
        return Book(
            settings.failover,
            settings.failover_checker,
            clock=self._clock,
            wall=self._wall,
            changed=self._changed,
            routed=has_route,
        )

    def _changed(self, change: Change) -> None:
        self.changes += 1
        _tell(change)


def _tell(change: Change) -> None:
    """Have the log say what changed."""
    nobody = change.given is not None and change.given.pool is None
    level = logging.WARNING if change.kind in _GRAVE or nobody else logging.INFO
    log.log(level, "failover: %s", change.said)
