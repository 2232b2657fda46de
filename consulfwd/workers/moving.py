"""Names that move with health, for several processes: the head alone checks, votes, remembers, is
given orders; workers answer with what it told them last.

What belongs here: the head's end (`Telling`), and a worker's (`Following`). Another answer is told
at once; what else is known of a record with what others were checked meanwhile, so that the price
does not grow with the number of checks. What a worker makes of it is in `failover.told`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence

from consulfwd.config import Agent, Settings
from consulfwd.core.routes import Route
from consulfwd.failover.answering import routes_of
from consulfwd.failover.book import Book
from consulfwd.failover.model import Address, Change, Given
from consulfwd.failover.record import Record
from consulfwd.failover.told import TELL_EVERY, Records, Told, told

# What is gathered is told so often (seconds).
GATHER = 0.25

Message = tuple[str, float, dict[str, Told], bool]
# The pool and the addresses that were told last; None: that nothing is known.
_Parts = tuple[int | None, tuple[Address, ...]] | None


class Telling:
    """The head's end: `tell` reaches all workers, those that begin among them."""

    def __init__(
        self,
        tell: Callable[[Message], None],
        loop: asyncio.AbstractEventLoop,
        now: Callable[[], float],
    ) -> None:
        self._tell, self._loop, self._now = tell, loop, now
        self._book: Book | None = None
        self._records: dict[str, Record] = {}
        self._news: set[str] = set()
        self._told: dict[str, _Parts] = {}
        self._told_at = now()
        self._timer = loop.call_later(GATHER, self._tick)

    def use(self, book: Book) -> None:
        """Tell of this book from now on."""
        if self._book is not None:
            self._book.touched = _nothing
        self._book = book
        self._records = {one.name: one for one in book}
        self._told = {name: one for name, one in self._told.items() if name in self._records}
        book.touched = self._touched
        book.listeners.append(self._changed)
        for name in self._records:
            self._touched(name)

    def all(self) -> dict[str, Told]:
        """Return what is to be told of all records."""
        return {name: self._one(name) for name in self._records}

    def whole(self) -> Message:
        """Return the message that tells of all records there are."""
        return "records", self._now(), self.all(), True

    def close(self) -> None:
        """Tell no more."""
        self._timer.cancel()
        if self._book is not None:
            self._book.touched = _nothing
            self._book = None

    def _touched(self, name: str) -> None:
        record = self._records[name]
        self._news.add(name)
        parts = _parts(record.given)
        if name not in self._told or self._told[name] != parts:
            self._told[name] = parts
            self._send([name])

    def _changed(self, change: Change) -> None:
        # What is held or forced may concern records that nothing else was noted of.
        self._news.update([change.name] if change.name else self._records)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(GATHER, self._tick)
        if self._news or self._now() - self._told_at >= TELL_EVERY:
            self._send([name for name in self._news if name in self._records])

    def _send(self, names: Iterable[str]) -> None:
        self._told_at = self._now()
        told = {name: self._one(name) for name in names}
        self._news.difference_update(told)
        self._tell(("records", self._told_at, told, False))

    def _one(self, name: str) -> Told:
        assert self._book is not None
        return told(self._records[name], self._book.view(name), self._now())


class Following:
    """A worker's end: the routes of names that others look after (`server.Moving`)."""

    book: Book | None = None
    changes = 0

    def __init__(
        self,
        settings: Settings,
        records: Records,
        wall: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._names = tuple(settings.failover)
        self._records, self._wall, self._rng = records, wall, rng

    async def start(self, agents: Sequence[Agent]) -> None:
        """Do nothing: the head checks."""

    def take(self, settings: Settings) -> None:
        """Answer for the names of these settings."""
        self._names = tuple(settings.failover)

    async def follow(self, agents: Sequence[Agent]) -> None:
        """Do nothing: the head does."""

    async def stop(self) -> None:
        """Do nothing: what is known is the head's."""

    def routes(self) -> Iterable[Route]:
        """Yield the routes of all names."""
        for name in self._names:
            yield from routes_of(name, self._records, self._wall, self._rng)


def _parts(given: Given | None) -> _Parts:
    return None if given is None else (given.pool, given.addresses)


def _nothing(name: str) -> None:
    """Tell nobody."""
