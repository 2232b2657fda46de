"""What several checkers tell each other, through Consul's KV store.

What belongs here: the keys, and who reads and writes them when. What is in them is in `reports`,
what it comes to in `verdict`.

| key | what | who writes it |
|---|---|---|
| PREFIX/checkers/NAME | what that checker says, with each change and every so often | that one |
| PREFIX/forced | what people forced | whoever is told so, where it is as it was known |

Any server may answer, and may be behind: how old a word is, each host sees by its own clock since
the key changed last. A key that is seen for the first time is as old as it says itself, and one
from the future as good as none until it changes.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import NamedTuple

from consulfwd.consul import kv
from consulfwd.consul.kv import Connection, Entry
from consulfwd.core.alarms import Alarms
from consulfwd.errors import ApplyError, ConsulError
from consulfwd.failover import forces, reports
from consulfwd.failover.book import Book
from consulfwd.failover.keeping import InThread
from consulfwd.failover.model import Change, Force
from consulfwd.failover.reports import Words
from consulfwd.failover.verdict import Report
from consulfwd.failover.waiting import came

log = logging.getLogger("consulfwd.failover")

CHECKERS, FORCED = "checkers/", "forced"
# What changes within so many seconds is written, or read, together: by those who check, and by
# those who only follow them, who may be thousands.
TOGETHER, FOLLOWING = 0.1, 1.0
# After a fault it is tried again after so many seconds at first, and at most.
AGAIN, LONGEST = 0.5, 10.0
# Octets of all words, in base64.
LIMIT = (reports.MOST_CHECKERS + 1) * reports.LARGEST * 3 // 2
# Words longer than so many octets take milliseconds to read, and are read beside the event loop.
LONG = 4_096
# A server may be behind for so many seconds; an older state that lasts is a new one.
BEHIND = 60.0


class _Seen(NamedTuple):
    # Where the key was, and what the writer's clock said.
    at_index: int
    at: float


class Votes:
    """Reads what all say, and writes what this one says: `me`, "" if it only follows."""

    def __init__(
        self,
        connection: Connection,
        me: str,
        process: str,
        *,
        rng: random.Random,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self._connection = connection
        self._in_thread = in_thread
        self._me, self._process = me, process
        self._rng = rng
        self._news = asyncio.Event()
        self._alarms = Alarms()
        self._seen: dict[str, _Seen] = {}
        self._written: Report | None = None
        self._due = 0.0
        # What is forced for all, as it was seen last.
        self._shared: tuple[Force, ...] = ()
        self._index = 0
        self._begun = False
        self._behind_since: float | None = None

    def note(self, change: Change | None = None) -> None:
        """Note that there may be something to say."""
        self._news.set()

    async def run(self, book: Book) -> None:
        """Read and write until cancelled."""
        if not self._begun:
            # What is remembered was shared before; whether it still is, is read.
            self._shared, self._begun = book.forces, True
        tasks = [asyncio.ensure_future(self._read(book)), asyncio.ensure_future(self._write(book))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _read(self, book: Book) -> None:
        index, pause = 0, AGAIN
        checker = book.checker
        prefix = f"{checker.prefix}/"
        while True:
            try:
                below = await kv.read_below(
                    self._connection,
                    prefix,
                    index=index,
                    wait=min(checker.max_age / 4, 10.0) if index else 0.0,
                    limit=LIMIT,
                    stale=True,
                )
            except ConsulError as error:
                self._tell("read", f"what checkers say cannot be read: {error}")
                index = 0
                await asyncio.sleep(pause * self._rng.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST)
                continue
            if self._alarms.well("read"):
                log.info("failover: what checkers say can be read again")
            index, pause = below.at, AGAIN
            await self._heard(book, below.entries)
            self._take_forced(book, below.entries.get(FORCED), below.at)
            await asyncio.sleep(TOGETHER if self._me else FOLLOWING * self._rng.uniform(0.5, 1.0))

    async def _heard(self, book: Book, entries: Mapping[str, Entry]) -> None:
        for name in book.checker.checkers:
            entry, before = entries.get(f"{CHECKERS}{name}"), self._seen.get(name)
            if entry is None or (before is not None and before.at_index == entry.modify_index):
                continue
            document = f"{book.checker.prefix}/{CHECKERS}{name}"
            try:
                words = await self._words(entry.value, document)
            except ApplyError as error:
                self._tell(document, f"what a checker says cannot be read: {error}")
                continue
            self._alarms.well(document)
            # An older word is that of a server that is behind; indexes begin anew with a cluster.
            newer = before is None or entry.modify_index > before.at_index or words.at > before.at
            if not newer:
                continue
            self._seen[name] = _Seen(entry.modify_index, words.at)
            if name == self._me and words.process != self._process and before is not None:
                # What a process before this one wrote is seen once, at first.
                self._tell("twice", f"another process says it is the checker {name}")
            book.heard(name, words.report, 0.0 if before else self._age(words, book))

    async def _words(self, text: bytes, document: str) -> Words:
        if len(text) <= LONG:
            return reports.load(text, document)
        words: Words = await self._in_thread(lambda: reports.load(text, document))
        return words

    def _age(self, words: Words, book: Book) -> float:
        age = book.wall() - words.at
        ahead = -age > book.checker.max_age / 4
        return book.checker.max_age if ahead else max(age, 0.0)

    async def _write(self, book: Book) -> None:
        pause = AGAIN
        while True:
            try:
                await self._write_report(book)
                await self._write_forced(book)
            except ConsulError as error:
                self._tell("write", f"this checker cannot tell the others: {error}")
                self._written = None
                await asyncio.sleep(pause * self._rng.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST)
                continue
            if self._alarms.well("write"):
                log.info("failover: the others can be told again")
            pause = AGAIN
            if await came(self._news, max(self._due - _now(), 0.001)):
                await asyncio.sleep(TOGETHER)
            self._news.clear()

    async def _write_report(self, book: Book) -> None:
        if not self._me:
            self._due = _now() + book.checker.every
            return
        report = book.report()
        # It is said again in time, as it counts for a time only.
        if report == self._written and _now() < self._due:
            return
        words = Words(self._process, book.wall(), report)
        key = f"{book.checker.prefix}/{CHECKERS}{self._me}"
        await kv.write(self._connection, key, reports.write(words))
        self._written = report
        self._due = _now() + book.checker.every * self._rng.uniform(0.8, 1.0)

    async def _write_forced(self, book: Book) -> None:
        """Have what was forced, or taken back, here be so for all."""
        key = f"{book.checker.prefix}/{FORCED}"
        for _ in range(3):
            came, gone = self._news_of(book)
            if not came and not gone:
                return
            entry = (await kv.read(self._connection, key)).entry
            known = self._loaded(entry, key)
            found = forces.in_force(known, book.wall())
            found = tuple(one for one in found if one not in gone)
            for one in came[: forces.MOST - len(found)]:
                found = forces.added(found, one)
            index = 0 if entry is None else entry.modify_index
            if await kv.write(self._connection, key, reports.write_forced(found), cas=index):
                self._shared = found
                entry = (await kv.read(self._connection, key)).entry
                self._index = index if entry is None else entry.modify_index
                return

    def _news_of(self, book: Book) -> tuple[list[Force], list[Force]]:
        here = book.forces
        over = forces.in_force(self._shared, book.wall())
        came = [one for one in here if one not in self._shared and reports.is_shareable((one,))]
        return came, [one for one in over if one not in here]

    def _take_forced(self, book: Book, entry: Entry | None, at: int) -> None:
        index = at if entry is None else entry.modify_index
        if index < self._index and not self._is_behind_for_long():
            return
        self._behind_since = None
        if entry is not None and index == self._index:
            return
        self._index = index
        came, gone = self._news_of(book)
        found = self._loaded(entry, f"{book.checker.prefix}/{FORCED}")
        self._shared = found
        wanted = tuple(one for one in forces.in_force(found, book.wall()) if one not in gone)
        wanted = (*wanted, *(one for one in came if one not in wanted))
        if wanted != book.forces:
            book.ordered(wanted)

    def _is_behind_for_long(self) -> bool:
        now = _now()
        if self._behind_since is None:
            self._behind_since = now
        return now - self._behind_since >= BEHIND

    def _loaded(self, entry: Entry | None, key: str) -> tuple[Force, ...]:
        if entry is None:
            return ()
        try:
            return reports.load_forced(entry.value, key)
        except ApplyError as error:
            self._tell(key, f"what is forced cannot be read: {error}")
            return self._shared

    def _tell(self, thing: str, said: str) -> None:
        if self._alarms.wrong(thing, _now()):
            log.warning("failover: %s", said)


def _now() -> float:
    return asyncio.get_running_loop().time()
