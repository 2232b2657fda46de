"""The loop around `core.query`: asks in, results out, timers and channels in between.

One engine serves every listener and the command line. It decides nothing: routes, cache, health
and lookups are `core`'s; it keeps what they say in motion, on one event loop.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from consulfwd.core.ask import Ask, Known, prepare
from consulfwd.core.cache import Cache, Entry, Limits
from consulfwd.core.probe import Probe
from consulfwd.core.query import Attempt, Lookup, Outcome
from consulfwd.core.routes import Kind, Route, Routes
from consulfwd.core.upstreams import Budget, Health, State, Upstream
from consulfwd.dns import const, replies
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.records import alias_target, read_records, type_of
from consulfwd.dns.wire import Query, read_query
from consulfwd.errors import WireError
from consulfwd.net.upstream import OUR_SHORTAGE, Channels
from consulfwd.net.waiter import Result, Waiter

log = logging.getLogger("consulfwd.resolver")

# How long a positive answer makes a sudden denial doubtful, in seconds.
DOUBT = 300.0
SWEEP = 1.0
MAX_CHASE = 8
MAX_FLIGHTS = 10_000
# Replies kept to be recognised: of what size, how many per question, how many in all.
KNOWN_SIZE, KNOWN_REPLIES, MAX_KNOWN = 1024, 24, 8192


@dataclass
class Counters:
    """What the engine has done since it started."""

    queries: int = 0
    hot: int = 0
    cached: int = 0
    joined: int = 0
    forwarded: int = 0
    upstream: int = 0
    extra: int = 0
    second_opinions: int = 0
    stale: int = 0
    failed: int = 0
    false_replies: int = 0


class Flight(Lookup):
    """A lookup with those who wait for it; nobody does where it `refreshes` a stale answer."""

    __slots__ = ("armed", "ask", "before", "depth", "refreshes", "route", "stale", "waiters")

    ask: Ask
    route: Route
    waiters: list[Waiter]
    stale: Entry | None
    armed: float
    depth: int
    before: Flight | None
    refreshes: bool

    def join(self, waiter: Waiter) -> None:
        """Let one more client wait for the same answer."""
        self.waiters.append(waiter)


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
        probe_question: bytes = b"\0\0\x02\0\x01",
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
        self._loop = loop
        self._channels = Channels(loop, self)
        self._budget = Budget()
        self.asks: dict[bytes, Ask] = {}
        self._flights: dict[bytes, Flight | Waiter] = {}
        self._timers: list[tuple[float, int, Flight | Probe]] = []
        self._sequence = count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._probe_question = probe_question
        self._probe_asks: dict[bool, Ask] = {}
        self._probed: set[Upstream] = set()
        self._known = 0
        self.batching = False
        self._caches_to_clear: list[Callable[[], None]] = []
        self._flushes: list[Callable[[], None]] = []
        self._ticker: asyncio.TimerHandle | None = None
        self._draining: asyncio.Event | None = None

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to keep time, and ask every agent once, to know its health and usual time."""
        self._tick()
        for upstream in self.upstreams():
            if upstream.is_agent:
                self._probe(upstream)

    async def drain(self, seconds: float) -> None:
        """Wait until every query in flight has its answer, at most so long."""
        if self._flights:
            self._draining = asyncio.Event()
            try:
                await asyncio.wait_for(self._draining.wait(), seconds)
            except asyncio.TimeoutError:
                log.warning("%d queries had no answer when stopping", len(self._flights))

    def close(self) -> None:
        """Stop keeping time and let go of every socket."""
        for handle in (self._ticker, self._timer):
            if handle is not None:
                handle.cancel()
        self._ticker = self._timer = None
        self._channels.close()

    def replace(
        self, routes: Routes, limits: Limits, deadline: float, probe_question: bytes
    ) -> None:
        """Take new routes and limits as a whole. What is in flight ends by the old ones."""
        self.routes = routes
        self.deadline = deadline
        self.cache = Cache(limits)
        self._probe_question = probe_question
        self._probe_asks.clear()
        self.asks.clear()
        self._flights.clear()
        self.clear_hot()
        self._channels.retain({upstream.key for upstream in self.upstreams()})

    def upstreams(self) -> list[Upstream]:
        """Return every upstream of every route, each once."""
        found: dict[tuple[str, str, int], Upstream] = {}
        for route in self.routes:
            for step in (route, route.then):
                for group in step.groups if step is not None else ():
                    for upstream in group.members:
                        found[upstream.key] = upstream
        return list(found.values())

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
        self._channels.flush()
        for flush in self._flushes:
            flush()

    def clear_hot(self) -> None:
        """Empty every hot table."""
        for clear in self._caches_to_clear:
            clear()

    def _tick(self) -> None:
        now = self.now()
        self.epoch += 1
        self.epoch_ends = now + SWEEP
        self.clear_hot()
        self._channels.sweep(now)
        if self.epoch > 1:
            groups = {group for route in self.routes for group in route.groups}
            for upstream in {one for group in groups for one in group.to_measure(now)}:
                self._probe(upstream)
        self._ticker = self._loop.call_later(SWEEP, self._tick)

    # -- asking -------------------------------------------------------------------------------

    def prepare(self, data: bytes) -> Ask:
        """Return the question in a raw query. Raises WireError (see `read_query`)."""
        asks = self.asks
        ask = asks.get(data[2:])
        if ask is None:
            ask = prepare(read_query(data), self.routes)
            if len(asks) >= 4096:
                asks.clear()
            ask.raw = data[2:]
            asks[ask.raw] = ask
        return ask

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
        entry = self.cache.fresh(key, now)
        if entry is not None:
            self.counters.cached += 1
            waiter.deliver(Result(entry.message, "cache", entry=entry))
            return
        flight = self._flights.get(key)
        if isinstance(flight, Flight) and flight.refreshes and flight.stale is not None:
            waiter.deliver(self._stale(flight, flight.stale))
            return
        if flight is not None:
            self.counters.joined += 1
            flight.join(waiter)
            return
        groups = ask.route.groups
        if groups and not traced:
            # The usual case: the first in order is well, and nothing is decided unless it is late.
            upstream = groups[0].first()
            channel = self._channels.direct(upstream)
            if channel is not None and upstream.up:
                waiter.upstream = upstream
                waiter.sent_at = now
                waiter.others = None
                waiter.done = False
                if channel.relay(waiter, ask.tail(upstream)):
                    self._flights[key] = waiter
                    return
        if len(self._flights) >= MAX_FLIGHTS:
            waiter.deliver(self._failure(ask, const.EDE_OTHER, "too many queries in flight"))
            return
        self._launch(ask, ask.route, [waiter], now)

    def _launch(
        self,
        ask: Ask,
        route: Route,
        waiters: list[Waiter],
        now: float,
        *,
        depth: int = 0,
        before: Flight | None = None,
    ) -> None:
        plan = route.plan()
        flight = self._flight(ask, route, plan, waiters, now)
        flight.depth = depth
        stale = flight.stale
        if before is not None:
            flight.before = before
            flight.deadline = before.started_at + self.deadline
        if not depth:
            self._flights[ask.key] = flight
        self.counters.forwarded += 1
        if stale is not None and plan and all(one.state is State.DOWN for one in plan):
            # Nobody is expected to answer: the client gets what there is, the question still goes
            # out, so that the first one to come back refreshes it.
            flight.waiters = []
            flight.refreshes = True
            result = self._stale(flight, stale)
            self._run(flight, flight.start(now), now)
            for waiter in waiters:
                waiter.deliver(result)
            return
        self._run(flight, flight.start(now), now)

    def _flight(
        self, ask: Ask, route: Route, plan: Sequence[Upstream], waiters: list[Waiter], now: float
    ) -> Flight:
        stale = self.cache.stale(ask.key, now)
        flight = Flight(
            plan,
            self.health,
            self._budget,
            now=now,
            # Those asked when Consul cannot answer must have time for it.
            deadline=now + self.deadline / (2 if route.then and route.then.groups else 1),
            known=self._doubtful(stale, now),
            has_stale=stale is not None,
        )
        flight.ask = ask
        flight.route = route
        flight.stale = stale
        flight.depth = 0
        flight.before = None
        flight.refreshes = False
        flight.armed = 0.0
        flight.waiters = waiters
        return flight

    def _run(self, flight: Flight | Probe, attempts: Iterable[Attempt], now: float) -> None:
        """Send what the lookup wants sent, arm its timer, end it when it has its outcome."""
        for attempt in attempts:
            failure = self._send(flight, attempt)
            if failure is not None:
                refused = failure == "connection refused"
                ours = failure in OUR_SHORTAGE
                more = flight.on_failure(attempt, failure, now, refused=refused, ours=ours)
                self._run(flight, more, now)
        if flight.outcome is not None:
            if isinstance(flight, Flight):
                self._end(flight, flight.outcome, now)
        elif not isinstance(flight, Flight) or flight.armed != flight.wake_at:
            at = flight.wake_at
            if isinstance(flight, Flight):
                flight.armed = at
            heapq.heappush(self._timers, (at, next(self._sequence), flight))
            if at < self._timer_at:
                self._arm(at)
        if self.health.changes:
            self._tell_changes(now)

    def _send(self, flight: Flight | Probe, attempt: Attempt) -> str | None:
        self.counters.upstream += 1
        ask = flight.ask if isinstance(flight, Flight) else self._probe_ask(attempt.upstream)
        return self._channels.send(attempt, ask.tail(attempt.upstream))

    # -- relays: the usual case ---------------------------------------------------------------

    def on_relayed(self, relay: Waiter, data: bytes, now: float) -> bool:
        """Pass a reply on when there is nothing to decide about it; return whether it was so."""
        ask = relay.ask
        known = ask.known.get(data[2:]) if ask.known is not None else None
        if known is None:
            known = self._learn(relay, data, now)
            if known is None:
                return False
        key = ask.key
        cache = self.cache
        entry = cache.get(key)
        if entry is None or not known.positive:
            if relay.upstream.is_agent and self._doubtful(entry, now):
                message = known.message
                attempt = self._escalate(relay, now)
                flight = attempt.lookup
                self._after(flight, flight.on_reply(attempt, message, False, now), now)
                return False
            cache.put(key, known.message, now, known.source)
        else:
            cache.refresh(key, entry, known.message, now, known.ttl, known.lasts)
        relay.done = True
        if self._flights.get(key) is relay:
            # Not so after a reload, which forgets what was in flight before it.
            del self._flights[key]
        relay.relayed(ask, known)
        if relay.others:
            for waiter in relay.others:
                waiter.relayed(ask, known)
        if self._draining is not None and not self._flights:
            self._draining.set()
        return True

    def _learn(self, relay: Waiter, data: bytes, now: float) -> Known | None:
        """Read a reply; one that needs a decision is handed over to a lookup."""
        ask = relay.ask
        upstream = relay.upstream
        try:
            message = read_reply(data, ask.question)
        except WireError:
            self.counters.false_replies += 1
            attempt = self._escalate(relay, now)
            self.on_failure(attempt, "a false reply (another question, or garbage)", refused=False)
            return None
        if (
            message.rcode not in (const.NOERROR, const.NXDOMAIN)
            or ask.cut(upstream, message)
            or (ask.route.then is not None and not message.positive)
            or (message.aliased and not message.matched)
        ):
            attempt = self._escalate(relay, now)
            cut = ask.cut(upstream, message)
            self._after(attempt.lookup, attempt.lookup.on_reply(attempt, message, cut, now), now)
            return None
        self.cache.clamp(message)
        known = Known(message, upstream.name, *self.cache.lasts(message))
        if ask.known is None:
            # Only what is asked again is worth remembering: made-up names are not.
            ask.known = {}
        elif len(data) <= KNOWN_SIZE:
            if len(ask.known) >= KNOWN_REPLIES:
                ask.known.clear()
            ask.known[data[2:]] = known
            self._known += 1
            if self._known > MAX_KNOWN:
                self._known = 0
                self.asks.clear()
        return known

    def on_relay_due(self, relay: Waiter) -> None:
        """A relay is late: from here on a lookup decides."""
        now = self.now()
        flight = self._escalate(relay, now).lookup
        self._after(flight, flight.on_timer(now), now)

    def on_relay_failed(self, relay: Waiter, reason: str, *, refused: bool) -> None:
        """A relay's upstream is not there: from here on a lookup decides."""
        self.on_failure(self._escalate(relay, self.now()), reason, refused=refused)

    def on_drained(self, sample: Waiter, relayed: int, now: float) -> None:
        """Count relays answered in one go; they are one sign of life, one round-trip time."""
        self.health.good(sample.upstream, now, now - sample.sent_at)
        counters = self.counters
        counters.forwarded += relayed
        counters.upstream += relayed
        self._budget.earn(relayed)

    def _escalate(self, relay: Waiter, now: float) -> Attempt:
        relay.done = True
        self.counters.forwarded += 1
        self.counters.upstream += 1
        ask = relay.ask
        first = relay.upstream
        plan = (first, *(one for one in ask.route.plan() if one is not first))
        flight = self._flight(ask, ask.route, plan, relay.all(), relay.sent_at)
        attempt = flight.adopt(relay.sent_at)
        self._flights[ask.key] = flight
        channel = self._channels.direct(first)
        if channel is not None:
            channel.adopt(relay.ident, attempt)
        return attempt

    def _doubtful(self, entry: Entry | None, now: float) -> bool:
        """Return whether a denial would contradict what was answered moments ago."""
        return entry is not None and now - entry.stored_at < DOUBT and entry.message.positive

    # -- what channels report -----------------------------------------------------------------

    def on_reply(self, attempt: Attempt, data: bytes) -> bool:
        """Take a reply with the right ID; False when it does not answer what was asked."""
        flight = attempt.lookup
        probe = not isinstance(flight, Flight)
        ask = self._probe_ask(attempt.upstream) if probe else flight.ask  # type: ignore[attr-defined]
        try:
            message = read_reply(data, ask.question)
        except WireError:
            self.counters.false_replies += 1
            return False
        if attempt.result:
            return True
        now = self.now()
        cut = not attempt.stream and ask.cut(attempt.upstream, message)
        self._after(flight, flight.on_reply(attempt, message, cut, now), now)
        return True

    def on_failure(self, attempt: Attempt, reason: str, *, refused: bool) -> None:
        """Take the end of an attempt without a reply."""
        if not attempt.result:
            now = self.now()
            flight = attempt.lookup
            self._after(flight, flight.on_failure(attempt, reason, now, refused=refused), now)

    def on_stray(self, attempt: Attempt, reason: str) -> None:
        """Take note of a false reply; the real one may still come."""
        now = self.now()
        self._after(attempt.lookup, attempt.lookup.on_stray(attempt, reason, now), now)

    def _after(self, flight: Lookup, attempts: list[Attempt], now: float) -> None:
        assert isinstance(flight, (Flight, Probe))
        self._run(flight, attempts, now)

    # -- ending -------------------------------------------------------------------------------

    def _end(self, flight: Flight, outcome: Outcome, now: float) -> None:
        waiters = flight.waiters
        if flight.armed == float("inf"):
            return
        flight.armed = float("inf")
        ask = flight.ask
        if self._flights.get(ask.key) is flight:
            del self._flights[ask.key]
        if self._draining is not None and not self._flights:
            self._draining.set()
        self.counters.extra += flight.extra
        self.counters.second_opinions += flight.opinions
        message = outcome.message
        then = flight.route.then
        if then is not None and then.groups and (message is None or not message.positive):
            self._launch(ask, then, waiters, now, before=flight)
            return
        first = flight.before.outcome if flight.before is not None else None
        if first is not None and first.message is None and message and not message.positive:
            # Consul could not be asked: that others deny the name must not stand for its answer.
            outcome, message = first, None
        if message is None and flight.refreshes:
            return
        if message is None:
            if flight.stale is not None:
                result = self._stale(flight, flight.stale)
            else:
                result = self._failure(ask, outcome.ede, outcome.reason)
                result.flight = flight
        else:
            if (
                message.aliased
                and not message.matched
                and not message.rcode
                and flight.route.kind is Kind.CONSUL
                and ask.qtype != const.CNAME
                and self._chase(flight, message, now)
            ):
                return
            source = outcome.upstream.name if outcome.upstream is not None else ""
            result = self._store(flight, message, source, now)
        for waiter in waiters:
            waiter.deliver(result)

    def _store(self, flight: Flight, message: Message, source: str, now: float) -> Result:
        cache = self.cache
        cache.clamp(message)
        ttl = None
        if flight.before is not None:
            # What Consul denied a moment ago it may answer the next: do not hide that for long.
            ttl = min(cache.ttl_of(message), cache.limits.max_negative_ttl)
        if not message.truncated and message.rcode in (const.NOERROR, const.NXDOMAIN):
            cache.put(flight.ask.key, message, now, source, ttl)
        return Result(message, source, flight=flight)

    def _stale(self, flight: Flight, stale: Entry) -> Result:
        self.counters.stale += 1
        text = f"{stale.source} answered this; no upstream does now"
        source = f"stale answer of {stale.source}"
        ede = (const.EDE_STALE, text)
        return Result(stale.message, source, entry=stale, flight=flight, stale=True, ede=ede)

    def _failure(self, ask: Ask, ede: int, reason: str) -> Result:
        self.counters.failed += 1
        message = replies.empty(ask.question, const.SERVFAIL)
        return Result(message, "nobody", ede=(ede, reason))

    # -- aliases that lead out of Consul ------------------------------------------------------

    def _chase(self, flight: Flight, message: Message, now: float) -> bool:
        """Follow an alias Consul cannot follow for this type; False when there is no way to."""
        raw = replies.respond(flight.ask.query, b"\0\0", message, replies.STREAM_LIMIT)
        ask = flight.ask
        try:
            sections = read_records(raw, 12 + len(ask.query.question))
            target = alias_target(sections[0], ask.name)
        except WireError:
            return False
        if target == ask.name or flight.depth >= MAX_CHASE:
            return False
        question = target + ask.question[-4:]
        sub = prepare(ask.query._replace(question=question, name=target), self.routes)
        if sub.local is None and not sub.route.groups:
            return False
        waiter = _Chaser(self, flight, sections[0])
        entry = self.cache.fresh(sub.key, now)
        if sub.local is not None:
            waiter.deliver(Result(sub.local, "here"))
        elif entry is not None:
            waiter.deliver(Result(entry.message, "cache", entry=entry))
        else:
            self._launch(sub, sub.route, [waiter], now, depth=flight.depth + 1)
        return True

    def chased(self, flight: Flight, answers: list[bytes], result: Result) -> None:
        """Join an alias from Consul with what its target gave, and answer with both."""
        ask = flight.ask
        now = self.now()
        outcome = flight.outcome
        assert outcome is not None
        assert outcome.message is not None
        source = outcome.upstream.name if outcome.upstream is not None else ""
        if result.message.rcode not in (const.NOERROR, const.NXDOMAIN):
            final = self._failure(ask, const.EDE_NO_AUTHORITY, "the target of the alias: no answer")
        else:
            aliases = [record for record in answers if type_of(record) == const.CNAME]
            target = alias_target(answers, ask.name)
            question = target + ask.question[-4:]
            body = self.cache.body(result.entry, now) if result.entry else None
            raw = replies.respond(
                ask.query._replace(question=question), b"\0\0", result.message,
                replies.STREAM_LIMIT, body=body,
            )  # fmt: skip
            try:
                more = read_records(raw, 12 + len(question))
            except WireError as error:
                # Good when it came: a name in it borrows from a TTL field, which has aged since.
                final = self._failure(ask, const.EDE_OTHER, f"the target of the alias: {error}")
            else:
                joined = replies.join_alias(ask.question, aliases, more, result.message)
                final = self._store(flight, joined, f"{source}, its alias by {result.source}", now)
        for waiter in flight.waiters:
            waiter.deliver(final)

    # -- time ---------------------------------------------------------------------------------

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_later(max(at - self.now(), 0), self._on_time)

    def _on_time(self) -> None:
        now = self.now()
        timers = self._timers
        self._timer = None
        self._timer_at = float("inf")
        while timers and timers[0][0] <= now:
            at, _, flight = heapq.heappop(timers)
            if flight.outcome is None and at == flight.wake_at:
                if isinstance(flight, Flight):
                    flight.armed = 0.0
                self._run(flight, flight.on_timer(now), now)
        while timers and timers[0][2].outcome is not None:
            heapq.heappop(timers)
        if timers and timers[0][0] < self._timer_at:
            self._arm(timers[0][0])

    # -- health -------------------------------------------------------------------------------

    def _tell_changes(self, now: float) -> None:
        changes, self.health.changes = self.health.changes, []
        for upstream, old, new, why in changes:
            level = logging.INFO if new in (State.UP, State.PROBING) else logging.WARNING
            kind = "agent" if upstream.is_agent else "recursor"
            log.log(
                level, "%s %s is %s, was %s: %s", kind, upstream.name, new.value, old.value, why
            )
            if new is not State.UP and upstream not in self._probed:
                self._probed.add(upstream)
                self._loop.call_later(
                    max(upstream.probe_at - now, 0.01), self._probe_again, upstream
                )

    def _probe_again(self, upstream: Upstream) -> None:
        gone = upstream not in self.upstreams()
        if upstream.state is State.UP or self._ticker is None or gone:
            self._probed.discard(upstream)
            return
        now = self.now()
        due = self.health.probe_due([upstream], now)
        if due:
            self._probe(upstream)
        pause = max(upstream.probe_at - now, 0.01)
        self._loop.call_later(pause * (1 - self.rng.random() / 8), self._probe_again, upstream)

    def _probe(self, upstream: Upstream) -> None:
        now = self.now()
        probe = Probe((upstream,), self.health, self._budget, now=now, deadline=now + self.deadline)
        self._run(probe, probe.start(now), now)

    def _probe_ask(self, upstream: Upstream) -> Ask:
        ask = self._probe_asks.get(upstream.is_agent)
        if ask is None:
            question = self._probe_question if upstream.is_agent else b"\0\0\x02\0\x01"
            query = Query(const.RD, question, question[:-4], question[-3], const.IN, None)
            route = Route(b"\0", Kind.RECURSE)
            ask = self._probe_asks[upstream.is_agent] = Ask(query, route)
        return ask


class _Chaser(Waiter):
    """Waits for the target of an alias on behalf of a flight."""

    __slots__ = ("_answers", "_engine", "_flight")

    def __init__(self, engine: Engine, flight: Flight, answers: list[bytes]) -> None:
        super().__init__(flight.ask)
        self._engine = engine
        self._flight = flight
        self._answers = answers

    def deliver(self, result: Result) -> None:
        self._engine.chased(self._flight, self._answers, result)
