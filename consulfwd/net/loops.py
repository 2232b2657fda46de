"""Finds upstreams that lead back to this server: by questions that arrive at its own listeners.

Each upstream is sent one a moment after it is first known, and when it turns suspect or comes up
again. What is asked and what follows is `core.loops`' to say.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING

from consulfwd.core.ask import Ask
from consulfwd.core.loops import LoopTest, Tests, name_for
from consulfwd.core.routes import Kind, Route
from consulfwd.core.upstreams import Upstream, jitter
from consulfwd.dns import const
from consulfwd.dns.wire import Query
from consulfwd.net.flight import Flight

if TYPE_CHECKING:
    from consulfwd.net.resolver import Engine

log = logging.getLogger("consulfwd.resolver")

# When (seconds) an upstream is tested after something happened to it, and how often one is that
# leads back.
SOON, AGAIN = 0.5, 5.0
TOKEN_OCTETS = 8


class Loops:
    """Sends loop tests through the engine, and holds down whoever one comes back from."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tests = Tests()
        self._due: dict[Upstream, asyncio.TimerHandle] = {}
        self._over = False
        self._known: set[Upstream] = set()

    def look(self) -> None:
        """Test soon every upstream that is new, or leads back as far as is known."""
        known, self._known = self._known, set(self._engine.upstreams())
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
        test = self._tests.find(name, self._engine.now())
        if test is None:
            return False
        if not test.seen:
            test.seen = True
            self._engine.loop.call_soon(self._found, test.plan[0])
        return True

    def _test(self, upstream: Upstream) -> None:
        del self._due[upstream]
        engine = self._engine
        name = name_for(upstream, engine.routes, secrets.token_hex(TOKEN_OCTETS).encode())
        if name is None:
            return
        now = engine.now()
        budget = engine.budgets[upstream.is_agent]
        deadline = now + engine.deadline
        test = LoopTest((upstream,), engine.health, budget, now=now, deadline=deadline)
        question = name + b"\0\1\0\1"
        query = Query(const.RD, question, name, const.A, const.IN, None)
        test.ask = Ask(query, Route(b"\0", Kind.RECURSE))
        self._tests.add(name, test)
        try:
            engine.run(test, test.start(now), now)
        finally:
            if upstream.looped:
                self._plan(upstream, AGAIN)

    def _plan(self, upstream: Upstream, pause: float) -> None:
        engine = self._engine
        if not (self._over or engine.closed) and upstream not in self._due:
            pause = jitter(pause, engine.rng)
            self._due[upstream] = engine.loop.call_later(pause, self._test, upstream)

    def _found(self, upstream: Upstream) -> None:
        engine = self._engine
        if engine.closed or not engine.routes.knows(upstream):
            return
        now = engine.now()
        engine.health.looped(upstream, now)
        engine.prober.tell_changes(now)
        self._plan(upstream, AGAIN)
        # Those who wait for nobody but whoever leads back need not wait until their deadline.
        for relay in list(engine.flights.values()):
            if not isinstance(relay, Flight) and relay.upstream is upstream:
                engine.hand_over(relay)
        for flight in list(engine.flights.values()):
            if isinstance(flight, Flight) and all(one.looped for one in flight.plan):
                engine.run(flight, flight.abandon(), now)
