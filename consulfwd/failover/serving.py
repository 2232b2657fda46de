"""Names that move, of one resolver: the book in force, its routes, and what the log says of it.

What belongs here: that another book takes over when the settings are others.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from consulfwd.core.routes import Route
from consulfwd.failover.answering import routes_of
from consulfwd.failover.book import Book
from consulfwd.failover.model import Change

if TYPE_CHECKING:
    from consulfwd.config import Settings

log = logging.getLogger("consulfwd.failover")

Clock = Callable[[], float]
# Of these somebody may have to do something about it.
_GRAVE = {"down", "held"}


class Serving:
    """`clock` goes on while the host sleeps, `wall` is the time of day."""

    def __init__(
        self, settings: Settings, *, clock: Clock, wall: Clock, rng: random.Random
    ) -> None:
        self._clock, self._wall, self._rng = clock, wall, rng
        self.book = self._book(settings)

    def use(self, settings: Settings) -> None:
        """Take other settings: what is known of addresses that stay, stays."""
        book = self._book(settings)
        book.take_over(self.book)
        self.book = book

    def routes(self) -> Iterable[Route]:
        """Yield the routes of all names; they are of the book in force."""
        for name in self.book.names:
            yield from routes_of(name, self.book, self._wall, self._rng)

    def _book(self, settings: Settings) -> Book:
        return Book(
            settings.failover,
            settings.failover_checker,
            clock=self._clock,
            wall=self._wall,
            changed=_tell,
        )


def _tell(change: Change) -> None:
    """Have the log say what changed."""
    nobody = change.given is not None and change.given.pool is None
    level = logging.WARNING if change.kind in _GRAVE or nobody else logging.INFO
    log.log(level, "failover: %s", change.said)
