"""The loop around `core.query`: asks in, results out, timers and channels in between.

One engine serves every listener and the command line. It decides nothing: routes, cache, health
and lookups are `core`'s; it keeps what they say in motion, on one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence

from consulfwd.core.ask import Ask, prepare
from consulfwd.core.attempts import Attempt, Outcome
from consulfwd.core.cache import Cache, Entry, Limits
from consulfwd.core.order import Budget
from consulfwd.core.probe import Probe
from consulfwd.core.query import Lookup
from consulfwd.core.routes import Kind, Route, Routes
from consulfwd.core.upstreams import Health, Upstream, all_down
from consulfwd.dns import const, replies
from consulfwd.dns.message import read_reply
from consulfwd.dns.wire import Query, read_query
from consulfwd.errors import WireError
from consulfwd.net import mishaps, results
from consulfwd.net.ending import end
from consulfwd.net.flight import Counters, Flight
from consulfwd.net.loops import Loops
from consulfwd.net.probing import ROOT_SERVERS, Prober
from consulfwd.net.relays import Relays
from consulfwd.net.reuse import Reuse
from consulfwd.net.timers import Timers
from consulfwd.net.upstream import OUR_SHORTAGE, Channels
from consulfwd.net.waiter import Result, Waiter

log = logging.getLogger("consulfwd.resolver")

# How long a positive answer makes a sudden denial doubtful, in seconds.
DOUBT = 300.0
SWEEP = 1.0
# How much later (seconds) than that is too late for answers in the hot tables.
LATE = 0.5
MAX_FLIGHTS = 10_000
# Names in Consul are not to fail because everything outside is slow: they may be so many more.
MORE_FOR_CONSUL = 10_000
# While nobody answers: so many questions at once go out for the sake of the stale answers.
MAX_REFRESHING = 64
# Queries longer than this (octets; over TCP they can be 65535) are not kept for their next time.
KEPT_QUERY = 512
# Health.version it holds for, whom to ask, the way there, the query without its ID.
Lane = tuple[int, Upstream, Callable[[Waiter, bytes], bool], bytes]


class Engine:
    """Answers asks from the cache or through the upstreams of their routes."""

    def __init__(
        self,
        routes: Routes,
        health: Health,
        limits: Limits,
        *,
        deadline: float,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        probe_question: bytes = ROOT_SERVERS,
    ) -> None:
        self.routes = routes
        self.health = health
        self.cache = Cache(limits)
        self.counters = Counters()
        self.rng = rng
        self.epoch_ends = 0.0
        self.epoch = 0
        self.deadline = deadline
        self.now: Callable[[], float] = time.monotonic
        self.loop = loop
        self.channels = Channels(loop, self)
        # What recursors are slow at must not use up what agents may need, nor the other way.
        self.budgets = {True: Budget(), False: Budget()}
        self.asks: dict[bytes, Ask] = {}
        self.flights: dict[bytes, Flight | Waiter] = {}
        self._timers = Timers(loop, lambda: self.now(), self._wake)
        self.prober = Prober(self, probe_question)
        self.loops = Loops(self)
        relays = Relays(self)
        self.on_relayed = relays.on_relayed
        self.on_relay_due = relays.on_relay_due
        self.on_relay_failed = relays.on_relay_failed
        self.on_drained = relays.on_drained
        self.hand_over = relays.hand_over
        self.batching = False
        self._caches_to_clear: list[Callable[[], None]] = []
        self._flushes: list[Callable[[], None]] = []
        self._ticker: asyncio.TimerHandle | None = None
        self._refreshing = 0
        self.reuse: Reuse | None = None
        self._watched_until = self.good_until = float("inf")
        self.draining: asyncio.Event | None = None

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to keep time, and ask every agent once, to know its health and usual time."""
        self._tick()
        for upstream in self.upstreams():
            if upstream.is_agent:
                self.prober.probe(upstream)
        self.loops.look()

    @property
    def closed(self) -> bool:
        """Return whether the engine keeps no time (any more)."""
        return self._ticker is None

    async def drain(self, seconds: float) -> None:
        """Wait until every query in flight has its answer, at most so long."""
        if self.flights:
            self.draining = asyncio.Event()
            try:
                await asyncio.wait_for(self.draining.wait(), seconds)
            except asyncio.TimeoutError:
                left = len(self.flights)
                log.warning("%d queries without an answer when their listener closed", left)

    def close(self) -> None:
        """Stop keeping time and let go of every socket."""
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        self._timers.cancel()
        self.loops.close()
        self.channels.close()

    def replace(
        self, routes: Routes, limits: Limits, deadline: float, probe_question: bytes
    ) -> None:
        """Take new routes and limits as a whole. What is in flight ends by the old ones.

        What is kept stays as good as it was, but for names that are asked elsewhere now: those
        have other keys (see `Routes`).
        """
        self.loop.call_later(self.deadline + SWEEP, self._retain)
        self.routes = routes
        self.deadline = deadline
        self.cache.take(limits)
        self.prober.use(probe_question)
        self.loops.look()
        self.asks.clear()
        self.clear_hot()

    def _retain(self) -> None:
        self.channels.retain({upstream.key for upstream in self.upstreams()})

    def upstreams(self) -> Sequence[Upstream]:
        """Return every upstream of every route, each once."""
        return self.routes.upstreams

    def on_clear(self, clear: Callable[[], None]) -> None:
        """Register a hot table to be emptied each second and at every change."""
        self._caches_to_clear.append(clear)

    def on_flush(self, flush: Callable[[], None]) -> None:
        """Register what sends the replies collected during a batch."""
        self._flushes.append(flush)

    def forget(self, callback: Callable[[], None]) -> None:
        """Take back what was registered with `on_clear` or `on_flush`."""
        for registered in (self._caches_to_clear, self._flushes):
            if callback in registered:
                registered.remove(callback)

    def flush(self) -> None:
        """Send the queries and replies collected during a batch."""
        self.channels.flush()
        for flush in self._flushes:
            flush()

    def clear_hot(self) -> None:
        """Empty every hot table."""
        for clear in self._caches_to_clear:
            clear()

    def keep_good(self, watched_until: float) -> None:
        """Note until when answers in the hot tables, and those that are watched, may be used."""
        self._watched_until = watched_until
        self.good_until = min(self.epoch_ends + LATE, watched_until)

    def overdue(self) -> None:
        """Catch up: this process has slept through what was to happen on time."""
        now = self.now()
        if self.reuse is not None:
            self.reuse.overdue(now)
        if now >= self.epoch_ends + LATE:
            self.clear_hot()
            self.epoch_ends = now
            self.keep_good(self._watched_until)

    def _tick(self) -> None:
        # First, so that whatever goes wrong below goes wrong once.
        self._ticker = self.loop.call_later(SWEEP, self._tick)
        now = self.now()
        self.epoch += 1
        self.epoch_ends = now + SWEEP
        self.keep_good(self._watched_until)
        self.clear_hot()
        self.channels.sweep(now)
        if self.reuse is not None:
            self.reuse.tick(now)
        if self.epoch > 1:
            self.prober.note_pace()
            if self.health.changes:
                self.prober.tell_changes(now)
            self.prober.measure(now)

    # -- asking -------------------------------------------------------------------------------

    def prepare(self, data: bytes) -> Ask:
        """Return the question in a raw query. Raises WireError (see `read_query`)."""
        asks = self.asks
        ask = asks.get(data[2:])
        if ask is None:
            ask = prepare(read_query(data), self.routes)
            if self.loops.seen(ask.name):
                ask.local = replies.empty(ask.question, const.REFUSED)
                return ask
            ask.raw = data[2:]
            if len(data) > KEPT_QUERY:
                return ask
            if len(asks) >= 4096:
                asks.clear()
            asks[ask.raw] = ask
        return ask

    def read(self, data: bytes) -> Query:
        """Return the raw query of somebody who may not ask; nothing is kept of it.

        Raises WireError (see `read_query`). Whoever sent it, a loop test that it holds came back.
        """
        query = read_query(data)
        self.loops.seen(query.name)
        return query

    def prepare_query(self, query: Query) -> Ask:
        """Return the question of a query made here."""
        return prepare(query, self.routes)

    def submit(
        self, ask: Ask, waiter: Waiter, now: float | None = None, *, traced: bool = False
    ) -> None:
        """Answer `ask`: at once from here or the cache, else when upstreams have.

        `traced` keeps every attempt for the result, even when all goes well.
        """
        if ask.local is not None:
            waiter.deliver(Result(ask.local, "here"))
            return
        key = ask.key
        if now is None:
            now = self.now()
            if now >= self.good_until:
                self.overdue()
        entry = self.cache.entries.get(key)
        if entry is not None and entry.expires_at > now:
            self.cache.fresh(key, now)
            self.counters.cached += 1
            if entry.watched and entry.until <= now:
                self.counters.reused += 1
            waiter.deliver(Result(entry.message, "cache", entry=entry))
            return
        flights = self.flights
        flight = flights.get(key)
        if flight is not None:
            if isinstance(flight, Flight) and flight.refreshes and flight.stale is not None:
                waiter.deliver(results.stale(self, flight.stale, flight))
            else:
                self.counters.joined += 1
                flight.join(waiter)
            return
        if len(flights) >= MAX_FLIGHTS:
            consul = ask.route.kind is Kind.CONSUL
            if not consul or len(flights) >= MAX_FLIGHTS + MORE_FOR_CONSUL:
                waiter.deliver(results.too_many(self, ask, now))
                return
        if not traced:
            # The usual case: the first in order is well, and nothing is decided unless it is late.
            lane = ask.lane
            if lane is None or lane[0] != self.health.version:
                lane = self._lane(ask)
            if lane is not None:
                _, waiter.upstream, relay, tail = lane
                waiter.sent_at = now
                waiter.others = None
                # First noted, then sent: sending may show that the upstream is not there, and a
                # lookup takes the relay's place at once.
                flights[key] = waiter
                if relay(waiter, tail):
                    return
                del flights[key]
        self.launch(ask, ask.route, [waiter], now)

    def _lane(
        self, ask: Ask
    ) -> tuple[int, Upstream, Callable[[Waiter, bytes], bool], bytes] | None:
        """Return how to relay this question now, noted if it holds until health changes."""
        groups = ask.route.groups
        if not groups:
            return None
        group = groups[0]
        upstream = group.first()
        if upstream is None or not upstream.up:
            return None
        channel = self.channels.direct(upstream)
        if channel is None:
            return None
        lane = (self.health.version, upstream, channel.relay, ask.tail(upstream))
        if group.policy == "ordered":
            ask.lane = lane
        if upstream.changed_at:
            # What it says first is to be held against what is known.
            ask.kept_until = 0.0
        return lane

    def launch(
        self,
        ask: Ask,
        route: Route,
        waiters: list[Waiter],
        now: float,
        *,
        before: Flight | None = None,
    ) -> None:
        """Ask the upstreams of `route` for everyone in `waiters`.

        `before` is the flight this one comes after.
        """
        plan = route.plan()
        flight = self.flight(ask, route, plan, waiters, now)
        stale = flight.stale
        if before is not None:
            flight.before = before
            flight.deadline = before.started_at + self.deadline
        if stale is not None and plan and all_down(plan):
            # Nobody is expected to answer: the client gets what there is. Some questions still go
            # out, so that the first one to come back refreshes them; not all, lest it be overrun.
            flight.waiters = []
            result = results.stale(self, stale, flight)
            if self._refreshing < MAX_REFRESHING:
                self._refreshing += 1
                flight.refreshes = True
                self._begin(flight, now)
            mishaps.tell(self, waiters, result)
            return
        self._begin(flight, now)

    def _begin(self, flight: Flight, now: float) -> None:
        self.flights[flight.ask.key] = flight
        self.counters.forwarded += 1
        try:
            self.run(flight, flight.start(now), now)
        except Exception as error:
            mishaps.end(self, flight, error)

    def flight(
        self, ask: Ask, route: Route, plan: Sequence[Upstream], waiters: list[Waiter], now: float
    ) -> Flight:
        """Return a new flight; nothing is sent yet."""
        stale = self.cache.stale(ask.key, now, ask.sibling)
        flight = Flight(
            plan,
            self.health,
            self.budgets[route.kind is Kind.CONSUL],
            now=now,
            # Those asked when Consul cannot answer must have time for it.
            deadline=now + self.deadline / (2 if route.then and route.then.groups else 1),
            known=self.known_of(ask, stale, now),
            has_stale=stale is not None,
            reverse=route.then is not None,
        )
        flight.ask = ask
        flight.route = route
        flight.stale = stale
        flight.depth = waiters[0].depth if waiters else 0
        flight.follows = None
        flight.before = None
        flight.refreshes = False
        flight.armed = 0.0
        flight.waiters = waiters
        return flight

    def run(self, flight: Flight | Probe, attempts: Iterable[Attempt], now: float) -> None:
        """Send what the lookup wants sent, arm its timer, end it when it has its outcome."""
        for attempt in attempts:
            failure = self._send(flight, attempt)
            if failure is not None:
                refused = failure == "connection refused"
                ours = failure in OUR_SHORTAGE
                more = flight.on_failure(attempt, failure, now, refused=refused, ours=ours)
                self.run(flight, more, now)
        if flight.outcome is not None:
            if isinstance(flight, Flight):
                self._end(flight, flight.outcome, now)
        elif not isinstance(flight, Flight) or flight.armed != flight.wake_at:
            if isinstance(flight, Flight):
                flight.armed = flight.wake_at
            self._timers.add(flight)
        if self.health.changes:
            self.prober.tell_changes(now)

    def _send(self, flight: Flight | Probe, attempt: Attempt) -> str | None:
        self.counters.upstream += 1
        attempt.upstream.sent += 1
        ask = flight.ask
        stream = attempt.stream
        tail = ask.plain() if attempt.plain else ask.tail(attempt.upstream, stream=stream)
        return self.channels.send(attempt, tail)

    def known_of(self, ask: Ask, entry: Entry | None, now: float) -> int:
        """Return how many records were answered moments ago: what contradicts that is doubtful.

        Not if a watch told that nothing is left: that is a second opinion already. While a change
        settles no more can be expected than it leaves.
        """
        if entry is None or now - entry.stored_at >= DOUBT or not entry.message.positive:
            return 0
        known = entry.message.answers
        if self.reuse is None:
            return known
        if self.reuse.denies(ask, now):
            return 0
        left = self.reuse.left(ask, now) if self.reuse.freshness.settling else None
        return known if left is None else min(known, left)

    # -- what channels report -----------------------------------------------------------------

    def on_reply(self, attempt: Attempt, data: bytes) -> bool:
        """Take a reply with the right ID; False when it does not answer what was asked."""
        try:
            return self._on_reply(attempt, data)
        except Exception as error:
            mishaps.end(self, attempt.lookup, error)
            return True

    def on_broken(self, item: Attempt | Waiter, error: Exception) -> None:
        """Take an error of ours that came between an attempt or a relay and its reply."""
        if isinstance(item, Attempt):
            mishaps.end(self, item.lookup, error)
        else:
            mishaps.withdraw(self, item, error)

    def _on_reply(self, attempt: Attempt, data: bytes) -> bool:
        flight = attempt.lookup
        assert isinstance(flight, (Flight, Probe))
        ask = flight.ask
        try:
            message = read_reply(data, ask.question)
        except WireError:
            self.counters.false_replies += 1
            return False
        if attempt.result:
            return True
        now = self.now()
        cut = not attempt.stream and ask.cut(attempt.upstream, message)
        self.carry_on(flight, flight.on_reply(attempt, message, cut, now), now)
        return True

    def on_failure(
        self, attempt: Attempt, reason: str, *, refused: bool, sign: bool = True
    ) -> None:
        """Take the end of an attempt without a reply; is it a `sign` of its upstream's health?"""
        if attempt.result:
            return
        try:
            now = self.now()
            more = attempt.lookup.on_failure(
                attempt, reason, now, refused=refused and sign, ours=not sign
            )
            self.carry_on(attempt.lookup, more, now)
        except Exception as error:
            mishaps.end(self, attempt.lookup, error)

    def on_stray(self, attempt: Attempt, reason: str) -> None:
        """Take note of a false reply; the real one may still come."""
        try:
            now = self.now()
            self.carry_on(attempt.lookup, attempt.lookup.on_stray(attempt, reason, now), now)
        except Exception as error:
            mishaps.end(self, attempt.lookup, error)

    def carry_on(self, flight: Lookup, attempts: list[Attempt], now: float) -> None:
        """Do what a lookup wants done after an event."""
        assert isinstance(flight, (Flight, Probe))
        self.run(flight, attempts, now)

    # -- ending -------------------------------------------------------------------------------

    def _end(self, flight: Flight, outcome: Outcome, now: float) -> None:
        if flight.armed == float("inf"):
            return
        flight.armed = float("inf")
        if self.flights.get(flight.ask.key) is flight:
            del self.flights[flight.ask.key]
        if flight.refreshes:
            self._refreshing -= 1
        counters = self.counters
        counters.extra += flight.extra
        if flight.opinions:
            counters.second_opinions += flight.opinions
            counters.overruled += flight.overruled
            counters.opinion_seconds += flight.opinion_took(now)
        try:
            end(self, flight, outcome, now)
        except Exception as error:
            mishaps.note(self.loop, "an answer could not be made", error)
            why = results.failure(self, flight.ask, const.EDE_OTHER, mishaps.WHY)
            mishaps.tell(self, flight.waiters, why)
        if flight.follows is None:
            self.ended(flight)

    def ended(self, flight: Flight) -> None:
        """Note that nobody waits for a flight any more."""
        if self.flights.get(flight.ask.key) is flight:
            del self.flights[flight.ask.key]
        if self.draining is not None:
            self.look_whether_drained()

    def look_whether_drained(self) -> None:
        """Tell who waits for the end of all that is in flight, if it is there."""
        if self.draining is not None and not self.flights:
            self.draining.set()

    def _wake(self, flight: Lookup, now: float) -> None:
        assert isinstance(flight, (Flight, Probe))
        if isinstance(flight, Flight):
            flight.armed = 0.0
        try:
            self.run(flight, flight.on_timer(now), now)
        except Exception as error:
            mishaps.end(self, flight, error)
