"""One set as it is known now, shared by the thread that follows Consul and those that use it.

What belongs here: the lock, who waits for news, what a fork leaves of all that. Must not know: how
Consul is asked, nor when. A state is replaced whole, so that whoever reads one needs no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from consulfwd.backends.model import Change, State, Wanted, difference
from consulfwd.backends.picking import Picker
from consulfwd.config import Agent
from consulfwd.consul.facts import Fact

FORKED = "this process was forked off: Consul is not asked anew yet"


class Cell:
    """What is known of `fact` by asking `agents`, those that are `wanted` of it.

    `generation` counts forks: another one than the hub's says that nobody follows it here.
    """

    def __init__(
        self,
        fact: Fact,
        wanted: Wanted,
        agents: tuple[Agent, ...],
        rate: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.fact = fact
        self.wanted = wanted
        self.agents = agents
        self.rate = rate
        self.generation = -1
        self.state = State()
        self.why = ""
        self.closed = False
        self.version = 0
        self.clock = clock
        self.picker = Picker(rng or random.Random())
        self._waiting: set[asyncio.Future[None]] = set()
        self.lock = threading.RLock()
        self._news = threading.Condition(self.lock)

    def publish(self, state: State, why: str = "") -> None:
        """Take what is known by now; `why` says what keeps it from being known."""
        with self.lock:
            if self.closed or (state == self.state and why == self.why):
                return
            if state.backends != self.state.backends:
                self.picker.use(state.backends)
            self.state, self.why = state, why
            self._tell()

    def close(self) -> bool:
        """Let go on all who wait; return whether it was open."""
        with self.lock:
            was_open, self.closed = not self.closed, True
            self._tell()
            return was_open

    def forked(self) -> None:
        """Take it that this is the child of the process it was made in, and the only thread."""
        self.lock = threading.RLock()
        self._news = threading.Condition(self.lock)
        self._waiting = set()
        if self.state.known:
            self.state = replace(self.state, stale=FORKED)

    def since(self, seen: State | None) -> tuple[Change | None, State, int]:
        """Return what changed since that state, if anything; the state now; and its version."""
        with self.lock:
            state, version = self.state, self.version
        if not state.known or state == seen:
            return None, state, version
        before = () if seen is None else seen.backends
        return difference(before, state.backends, state.stale), state, version

    def wait(self, version: int, timeout: float | None) -> bool:
        """Wait until there is another version, or it is closed; return whether there is."""
        with self._news:
            return self._news.wait_for(lambda: self._is_news(version), timeout)

    async def wait_here(self, version: int) -> None:
        """Do the same in an event loop, of any thread."""
        with self.lock:
            if self._is_news(version):
                return
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
        try:
            await future
        finally:
            with self.lock:
                self._waiting.discard(future)

    def _is_news(self, version: int) -> bool:
        return self.closed or self.version != version

    def _tell(self) -> None:
        self.version += 1
        self._news.notify_all()
        for future in self._waiting:
            # Whose loop has ended waits no more.
            with contextlib.suppress(RuntimeError):
                future.get_loop().call_soon_threadsafe(_done, future)
        self._waiting.clear()


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
