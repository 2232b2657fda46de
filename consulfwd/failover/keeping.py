"""What is known of failover records, kept on this host's disk.

What belongs here: when it is written down, and what becomes of a memory that cannot be read. Its
form is in `remembered`. That it cannot be kept is told once, and costs a round at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from consulfwd.errors import ApplyError
from consulfwd.failover import remembered
from consulfwd.failover.book import Book
from consulfwd.failover.model import Change
from consulfwd.failover.remembered import Memory
from consulfwd.failover.waiting import came
from consulfwd.zones.disk import Document, have_folder, state_folder

log = logging.getLogger("consulfwd.failover")

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
# After a change it is written down within so many seconds; and without one so often, as what is old
# does not stand for a check.
SOON, OFTEN = 1.0, 300.0


class Keeping:
    """The memory of a book, as a file."""

    def __init__(
        self,
        configured: Path | None,
        environ: Mapping[str, str],
        *,
        file: str = "failover.json",
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self._in_thread = in_thread
        self._document = Document(state_folder(environ, configured) / file, remembered.LARGEST)
        self._news = asyncio.Event()
        self._saving = asyncio.Lock()
        self._loaded = Memory(0.0, {})
        self._told = False

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._document.path

    async def load(self) -> Memory | None:
        """Return what is on disk, None if there is nothing of use."""
        try:
            data = await self._in_thread(self._document.load)
            if data is None:
                return None
            self._loaded = remembered.load(data, str(self.path))
            return self._loaded
        except ApplyError as error:
            mend = f"`rm {shlex.quote(str(self.path))}` begins anew"
            log.warning("failover: what is remembered is of no use: %s (%s)", error, mend)
            return None

    def note(self, change: Change) -> None:
        """Note that something changed."""
        self._news.set()

    async def run(self, book: Book) -> None:
        """Write it down whenever there is news, until cancelled."""
        while True:
            if await came(self._news, OFTEN):
                # What changes together is written together.
                await asyncio.sleep(SOON)
            self._news.clear()
            await self.save(book)

    async def save(self, book: Book) -> None:
        """Write it down now."""
        memory = book.memory()
        if not memory.records:
            # Nothing is known: what was known before may be of use yet, as old as it is.
            if memory.forces == self._loaded.forces:
                return
            memory = self._loaded._replace(forces=memory.forces)
        async with self._saving:
            try:
                await self._in_thread(lambda: self._write(remembered.write(memory)))
            except ApplyError as error:
                if not self._told:
                    log.warning("failover: what is known is not remembered: %s", error)
                self._told = True
            else:
                self._told = False

    def _write(self, data: bytes) -> None:
        folder = self.path.parent
        try:
            have_folder(folder)
        except OSError as error:
            what = f"cannot be made: {error.strerror or error}"
            mend = "failover_checker.state names another folder"
            raise ApplyError(str(folder), what, mend) from None
        self._document.save(data)
