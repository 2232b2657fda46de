"""Finds upstreams that lead back to this server: by questions that arrive at its own listeners.

Each upstream is sent one a moment after it is first known, and when it turns suspect or comes up
again. What is asked and what follows is `core.loop_test`' to say.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable

from consulfwd.core.ask import Ask
from consulfwd.core.health import jitter
from consulfwd.core.loop_test import LoopTest, Tests, name_for
from consulfwd.core.routes import Kind, Route
from consulfwd.core.upstreams import Upstream
from consulfwd.dns import const
from consulfwd.dns.wire import Query
from consulfwd.net.table import Run, Table

# When (seconds) an upstream is tested after something happened to it, and how often one is that
# leads back.
SOON, AGAIN = 0.5, 5.0
TOKEN_OCTETS = 8


class LoopTests:
    """Sends loop tests by `run` while `running`; `on_found` is told who leads back."""

    def __init__(
        self, table: Table, run: Run, rng: random.Random, on_found: Callable[[Upstream], None]
    ) -> None:
        self.running = False
        self._table = table
        self._clock = table.clock
        self._run = run
        self._rng = rng
        self._on_found = on_found
        self._tests = Tests()
        self._due: dict[Upstream, asyncio.TimerHandle] = {}
        self._over = False
        self._known: set[Upstream] = set()

    def look(self) -> None:
        """Test soon every upstream that is new, or leads back as far as is known."""
        known, self._known = self._known, set(self._table.routes.upstreams)
        for upstream in self._known:
            if upstream.looped and upstream in self._due:
                self._due.pop(upstream).cancel()
            if upstream.looped or upstream not in known:
                self.soon(upstream)

    def soon(self, upstream: Upstream) -> None:
        """Test an upstream a moment later, unless it is about to be tested anyway."""
        self._plan(upstream, SOON)

    def close(self) -> None:
        """Test nobody any more."""
        self._over = True
        for handle in self._due.values():
            handle.cancel()
        self._due.clear()

    def seen(self, name: bytes) -> bool:
        """Return whether a question that arrived here is a test of ours."""
        test = self._tests.find(name, self._clock.now())
        if test is None:
            return False
        if not test.seen:
            test.seen = True
            self._table.loop.call_soon(self._found, test.plan[0])
        return True

    def _test(self, upstream: Upstream) -> None:
        del self._due[upstream]
        table = self._table
        name = name_for(upstream, table.routes, secrets.token_hex(TOKEN_OCTETS).encode())
        if name is None:
            return
        now = self._clock.now()
        budget = table.budgets[upstream.is_agent]
        deadline = now + table.deadline
        test = LoopTest((upstream,), table.health, budget, now=now, deadline=deadline)
        question = name + b"\0\1\0\1"
        query = Query(const.RD, question, name, const.A, const.IN, None)
        test.ask = Ask(query, Route(b"\0", Kind.RECURSE))
        self._tests.add(name, test)
        try:
            self._run(test, test.start(now), now)
        finally:
            if upstream.looped:
                self._plan(upstream, AGAIN)

    def _plan(self, upstream: Upstream, pause: float) -> None:
        if not (self._over or not self.running) and upstream not in self._due:
            pause = jitter(pause, self._rng)
            self._due[upstream] = self._table.loop.call_later(pause, self._test, upstream)

    def _found(self, upstream: Upstream) -> None:
        if self.running and self._table.routes.knows(upstream):
            self._on_found(upstream)
            self._plan(upstream, AGAIN)
