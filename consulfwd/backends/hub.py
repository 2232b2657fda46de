"""The one thread by which all sets of a process follow Consul; what becomes of it in a fork.

What belongs here: the thread's beginning and end, who joins and leaves. What is followed there is
in `source`. Must not know: what programs do with sets. All sets that ask the same agents share
connections and seats there, however many they are: Consul allows a host 200 (`consul.seats`).

Locks are taken in one order: the hub's, then cells'. What the garbage collector finds closes itself
without any, as that may run while either is held.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import logging
import os
import selectors
import threading
import weakref

from consulfwd.backends.cell import Cell
from consulfwd.backends.source import Key, Source

log = logging.getLogger("consulfwd.backends")

THREAD = "consulfwd-backends"
# So long (seconds) whoever closes a set waits for its connections to be closed; at the exit of a
# program that closed nothing.
CLOSING, AT_EXIT = 5.0, 1.0


class _Runner:
    """The thread, its event loop, and what runs there."""

    def __init__(self) -> None:
        self.users = 0
        self._selector = selectors.DefaultSelector()
        self.loop = asyncio.SelectorEventLoop(self._selector)
        self.sources: dict[Key, Source] = {}
        self.joined: dict[Cell, Key] = {}
        self.thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
        self.thread.start()

    async def join(self, cell: Cell, key: Key) -> None:
        """Follow for a cell, by these agents from now on."""
        try:
            await self._join(cell, key)
        except Exception as error:
            log.exception("following %s failed", cell.fact)
            cell.publish(cell.state, f"an error of consulfwd's own ({error!r})")

    async def _join(self, cell: Cell, key: Key) -> None:
        old = self.joined.get(cell)
        if old == key:
            return
        if key not in self.sources:
            # Rights that are lost by another token must not make a list shorter.
            before = [] if old is None else self.sources[old].belief(cell.fact)
            self.sources[key] = Source(key, before)
        self.joined[cell] = key
        self.sources[key].add(cell)
        if old is not None:
            await self._remove(cell, old)

    async def leave(self, cell: Cell, *, last: bool) -> None:
        """Follow for it no more; with the last one the thread ends."""
        try:
            key = self.joined.pop(cell, None)
            if key is not None:
                await self._remove(cell, key)
        finally:
            if last:
                self.loop.call_soon(self.loop.stop)

    def abandon(self) -> None:
        """Let go of the connections in a child process, without a word on any of them.

        The numbers stay taken: objects that are never to be used again still have them.
        """
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        descriptors = [one.fd for one in list((self._selector.get_map() or {}).values())]
        # An epoll is shared with the parent: what the child takes out of it, that would lose.
        own = getattr(self._selector, "fileno", None)
        for number in [*descriptors, *([own()] if own is not None else [])]:
            with contextlib.suppress(OSError):
                os.dup2(null, number, inheritable=False)
        os.close(null)

    async def _remove(self, cell: Cell, key: Key) -> None:
        source = self.sources[key]
        if not source.remove(cell):
            del self.sources[key]
            await source.close()

    def _run(self) -> None:
        loop = self.loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()


class Hub:
    """Who follows for the cells of this process."""

    def __init__(self) -> None:
        self.generation = 0
        self._lock = threading.RLock()
        self._runner: _Runner | None = None
        self._cells: weakref.WeakSet[Cell] = weakref.WeakSet()
        self._held: list[Cell] = []
        # Of parents' processes: nothing of them may be finalized, as their file descriptors are
        # those of somebody else.
        self._abandoned: list[_Runner] = []

    def join(self, cell: Cell) -> None:
        """Have a cell followed, by its agents; begins the thread if there is none."""
        with self._lock:
            if self._runner is None:
                self._runner = _Runner()
            runner = self._runner
            if cell.generation != self.generation:
                cell.generation = self.generation
                self._cells.add(cell)
                runner.users += 1
            asyncio.run_coroutine_threadsafe(
                runner.join(cell, (cell.agents, cell.rate)), runner.loop
            )

    def leave(self, cell: Cell, wait: float = CLOSING) -> None:
        """Have it followed no more; returns once its connections are closed, or after so long."""
        with self._lock:
            runner = self._runner
            if runner is None or cell.generation != self.generation:
                return
            cell.generation = -1
            runner.users -= 1
            last = not runner.users
            if last:
                self._runner = None
            over = asyncio.run_coroutine_threadsafe(runner.leave(cell, last=last), runner.loop)
        if wait and threading.current_thread() is not runner.thread:
            with contextlib.suppress(concurrent.futures.TimeoutError):
                over.result(wait)
            if last:
                runner.thread.join(wait)

    def collected(self, cell: Cell) -> None:
        """Take it that a set was dropped without being closed; takes no lock."""
        runner = self._runner
        if runner is not None and not cell.closed:
            # Set without its lock: nobody else has the cell any more but who follows.
            cell.closed = True
            with contextlib.suppress(RuntimeError):
                runner.loop.call_soon_threadsafe(self.leave, cell, 0.0)

    def close(self) -> None:
        """End the thread at the exit of the program, whoever still has sets."""
        for cell in list(self._cells):
            cell.close()
            self.leave(cell, AT_EXIT)

    def before_fork(self) -> None:
        """Let nobody be in the midst of anything."""
        self._lock.acquire()
        self._held = list(self._cells)
        for cell in self._held:
            cell.lock.acquire()

    def after_in_parent(self) -> None:
        """Go on."""
        held, self._held = self._held, []
        for cell in held:
            cell.lock.release()
        self._lock.release()

    def after_in_child(self) -> None:
        """Know that there is no thread here: each set is followed anew once it is used."""
        self._held = []
        self._lock = threading.RLock()
        self.generation += 1
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.abandon()
            self._abandoned.append(runner)
        for cell in list(self._cells):
            cell.forked()


HUB = Hub()
os.register_at_fork(
    before=HUB.before_fork,
    after_in_parent=HUB.after_in_parent,
    after_in_child=HUB.after_in_child,
)
atexit.register(HUB.close)
