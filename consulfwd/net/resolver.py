"""One resolver put together: the table, what carries it, who looks after upstreams.

One engine serves every listener and the command line. It decides nothing itself: it
keeps the second's tick, and takes new routes.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from consulfwd.core.ask import Ask, prepare
from consulfwd.core.cache import Cache, Limits
from consulfwd.core.health import Health
from consulfwd.core.leaps import LEAP, Leaps
from consulfwd.core.pulse import Pulse
from consulfwd.core.rebinding import Guard
from consulfwd.core.routes import Kind, Routes
from consulfwd.core.upstreams import Upstream
from consulfwd.dns.wire import Query, skip_name
from consulfwd.net import collecting
from consulfwd.net.answers import Answers
from consulfwd.net.clock import Clock, ClockSet
from consulfwd.net.driver import Driver
from consulfwd.net.ending import end
from consulfwd.net.flight import Counters
from consulfwd.net.front import Front
from consulfwd.net.jar import Jar
from consulfwd.net.loop import unwatch, watch
from consulfwd.net.loop_tests import LoopTests
from consulfwd.net.passing import compiled
from consulfwd.net.probing import ROOT_SERVERS, Prober
from consulfwd.net.questions import Questions
from consulfwd.net.relays import Relays
from consulfwd.net.reuse import Reuse
from consulfwd.net.table import Table
from consulfwd.net.ticks import Ticks
from consulfwd.net.waiter import Waiter
from consulfwd.net.warmth import EPOCH, Warmth
from consulfwd.words import duration

log = logging.getLogger("consulfwd.resolver")


class Engine:
    """Answers asks from the cache or through the upstreams of their routes."""

    def __init__(
        self,
        routes: Routes,
        health: Health,
        limits: Limits,
        *,
        deadline: float,
        recursor_deadline: float,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        probe_question: bytes = ROOT_SERVERS,
    ) -> None:
        self.health = health
        self.loop = loop
        self.clock = Clock()
        self._leaps = Leaps(self.clock.now(), self.clock.wall())
        self._clock_set: ClockSet | None = None
        self.counters = Counters()
        self.cache = Cache(limits)
        self.warmth = Warmth(self.clock)
        self.pulse = Pulse()
        self.asks: dict[bytes, Ask] = {}
        self.table = Table(
            routes,
            health,
            Answers(self.cache, self.counters),
            self.warmth,
            self.clock,
            loop,
            deadline=deadline,
            recursor_deadline=recursor_deadline,
        )
        self.flights = self.table.flights
        self.driver = Driver(self.table, self.clock, loop)
        self.channels = self.driver.channels
        relays = Relays(self.table, self.driver, self.asks)
        self.prober = Prober(self.table, self.driver.run, rng, probe_question)
        self.loop_tests = LoopTests(self.table, self.driver.run, rng, self._loops_back)
        self._relays = relays
        questions = Questions(self.table, self.asks, self.loop_tests)
        self.jar = Jar(self.clock, self.counters)
        self.front = Front(questions, self.table, self.driver, self.warmth, rng, self.jar)
        self.ticks = Ticks(loop, self.clock, self._tick, self._rest)
        # What else is to be done each second; it returns whether that may wait while nobody asks.
        self.on_second: Callable[[float], bool] = lambda now: True
        self._asked = 0
        self.table.carrier = self.driver
        self.table.ending = partial(end, self.table)
        self.driver.passing = compiled(self.table, self.asks, relays)
        self.driver.on_relayed = relays.on_relayed
        self.driver.on_relay_due = relays.on_relay_due
        self.driver.on_relay_failed = relays.on_relay_failed
        self.driver.on_relay_stray = relays.on_relay_stray
        self.driver.on_relay_gave_way = relays.on_relay_gave_way
        self.driver.on_drained = relays.on_drained
        self.driver.on_health = self.prober.look
        self.prober.on_news = self.loop_tests.soon
        self.warmth.on_overdue = self._overdue

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to keep time, and ask every agent once, to know its health and usual time."""
        self.prober.running = self.loop_tests.running = True
        with suppress(OSError):
            # Before anything that came meanwhile is read; where there is none the tick will tell.
            self._clock_set = ClockSet()
            watch(self.loop, self._clock_set, self._set, first=True)
        self.ticks.go()
        for upstream in self.upstreams():
            if upstream.is_agent:
                self.prober.probe(upstream)
        self.loop_tests.look()

    def close(self) -> None:
        """Stop keeping time and let go of every socket."""
        self.prober.running = self.loop_tests.running = False
        self.ticks.cancel()
        if self._clock_set is not None:
            unwatch(self.loop, self._clock_set)
            self._clock_set.close()
            self._clock_set = None
        self.loop_tests.close()
        self.driver.close()

    def replace(
        self,
        routes: Routes,
        limits: Limits,
        deadline: float,
        recursor_deadline: float,
        probe_question: bytes,
    ) -> None:
        """Take new routes and limits as a whole. What is in flight ends by the old ones.

        What is kept stays as good as it was, but for names that are asked elsewhere now: those
        have other keys (see `Routes`).
        """
        table = self.table
        self.loop.call_later(table.longest + EPOCH, self._retain)
        table.routes = routes
        table.deadline, table.recursor_deadline = deadline, recursor_deadline
        self.cache.take(limits)
        self.prober.use(probe_question)
        self.loop_tests.look()
        self.asks.clear()
        # Whoever may be asked now may have the answer.
        table.answers.failures.clear()
        self.warmth.clear()

    def _retain(self) -> None:
        self.channels.retain({upstream.key for upstream in self.upstreams()})

    def upstreams(self) -> Sequence[Upstream]:
        """Return every upstream of every route, each once."""
        return self.table.routes.upstreams

    def guard_by(self, guard: Guard | None) -> None:
        """Have private addresses of outside names held back from now on, or not (None).

        What was kept by other rules is forgotten, but of others' names: that may have to last.
        """
        guarding = self.table.answers.guarding
        if guard == guarding.guard:
            return
        guarding.guard = guard
        find = self.table.routes.find
        for key in [*self.cache.entries]:
            if find(key[: skip_name(key, 0)]).kind is Kind.RECURSE:
                self.cache.drop(key)
        self.asks.clear()
        self.warmth.clear()
        # What is on its way may be of such a name, too.
        self.table.answers.leapt_at = self.clock.now()

    def reuse_by(self, reuse: Reuse | None) -> None:
        """Let answers be reused by what is watched, or no longer (None)."""
        self.table.reuse = self.table.answers.reuse = reuse

    @property
    def reuse(self) -> Reuse | None:
        """Return what answers are reused by, if by anything."""
        return self.table.reuse

    def looked_at(self) -> None:
        """Take note that somebody looks at how servers are.

        In a rest they are asked now: whoever looks each minute would be shown them as they were.
        """
        self.prober.looked_at()
        self.ticks.wake()

    def _loops_back(self, upstream: Upstream) -> None:
        """Let nobody wait for a server that leads back to this one."""
        now = self.clock.now()
        self.health.looped(upstream, now)
        self.prober.look(now)
        self._relays.take_over_from(upstream)
        self.table.abandon_looped(now)

    def _set(self) -> None:
        """The time of day was set: it may be that of another day."""
        assert self._clock_set is not None
        self._clock_set.again()
        now = self.clock.now()
        self._look_for_leap(now, self.ticks.late(now))

    def _overdue(self, now: float) -> None:
        """Catch up after a sleep, before anything that is known from before it is given."""
        self._look_for_leap(now, self.ticks.late(now))
        if self.reuse is not None:
            self.reuse.overdue(now)
        self.ticks.wake()

    def _look_for_leap(self, now: float, late: float) -> None:
        leapt = self._leaps.look(now, self.clock.wall())
        if leapt or min(late, now - self.warmth.epoch_ends) > LEAP:
            # What is read now may have come before that, or be on its way since.
            self.table.answers.leapt_at = now
        if not leapt:
            return
        log.info(
            "this host was stopped for %s, or its clock is right now: answers are that much older",
            duration(leapt),
        )
        self.cache.age(leapt)
        self.table.answers.failures.clear()
        self.warmth.clear()
        # Aliases are known there.
        self.asks.clear()
        if self.reuse is not None:
            self.reuse.freshness.age(leapt)
            self.reuse.overdue(now)

    def _collect(self, *, resting: bool = False) -> None:
        """Have what lookups left behind collected, in a moment that nobody waits for an answer."""
        table = self.table
        # Who has woken this up does.
        waiting = bool(self.flights) or self.ticks.waking
        if collecting.look(waiting=waiting, lasting=table.lasting, resting=resting):
            table.lasting = 0

    def _rest(self) -> None:
        self.warmth.rest()
        self._collect(resting=True)

    def _tick(self, late: float) -> bool:
        """Do what is done each second; return whether nobody asked, and nothing is under way."""
        now = self.clock.now()
        self._look_for_leap(now, late)
        self.warmth.next_epoch(now)
        self.channels.sweep(now)
        self.jar.look()
        if self.reuse is not None:
            self.reuse.count(self.counters.queries, now)
            self.reuse.tick(now)
        if self.warmth.epoch > 1:
            self.table.second()
            self.prober.note_pace()
            self.prober.look(now)
            self.prober.measure(now)
            self.pulse.look(self.table.routes.shown, now)
        self._collect()
        return self.on_second(now) and self._quiet()

    def _quiet(self) -> bool:
        """Return whether nobody asked or looked since the last call, nor waits for anything."""
        asked, self._asked = self._asked, self.counters.queries
        under_way = self.flights or self.table.delivery.rounds
        return asked == self._asked and not under_way and not self.prober.is_looked_at

    # -- asking -------------------------------------------------------------------------------

    def prepare_query(self, query: Query) -> Ask:
        """Return the question of a query made here."""
        return prepare(query, self.table.routes)

    def submit(self, ask: Ask, waiter: Waiter, *, traced: bool = False) -> None:
        """Answer `ask` (see `Table.submit`)."""
        self.table.submit(ask, waiter, traced=traced)
