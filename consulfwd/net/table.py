"""The table of questions in flight: one entry for each, with all who wait for its answer.

Asks go in (`submit`), results come out; in between a question is on its way by a relay (a Waiter)
or a lookup (a Flight), and leaves the table in one place. What a reply decides is `core.query`'s,
how a lookup ends `ending`'s; sending and keeping time is done by whoever carries it (`Carrier`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from consulfwd.core.ask import Ask
from consulfwd.core.attempts import Attempt, Attempts, Outcome
from consulfwd.core.cache import Entry
from consulfwd.core.failures import REFRESH, Failure
from consulfwd.core.health import Health
from consulfwd.core.order import Budget
from consulfwd.core.pace import Paces
from consulfwd.core.room import Room
from consulfwd.core.routes import Kind, Route, Routes
from consulfwd.core.shield import Shield
from consulfwd.core.upstreams import Upstream, all_down
from consulfwd.dns import const
from consulfwd.dns.message import Message
from consulfwd.net import mishaps
from consulfwd.net.answers import Answers
from consulfwd.net.clock import Clock
from consulfwd.net.delivery import Delivery
from consulfwd.net.flight import Flight
from consulfwd.net.reuse import Reuse
from consulfwd.net.waiter import Result, Waiter
from consulfwd.net.warmth import Warmth

log = logging.getLogger("consulfwd.resolver")

# How long a positive answer makes a sudden denial doubtful, in seconds.
DOUBT = 300.0
# Questions in flight: to others than Consul, of which half give way to new ones, and in all.
MAX_OUTSIDE, MAX_FLIGHTS = 5_000, 20_000
# Of all, so many are for Consul's names alone.
FOR_CONSUL = 10_000
# Clients that wait for one answer, and beside those whose questions are in flight, in all.
MAX_WAITERS, MAX_WAITERS_IN_ALL = 100_000, 200_000
# While nobody answers: so many questions at once go out for the sake of the stale answers.
MAX_REFRESHING = 64
# With a stale answer at hand: what part of the deadline is waited for a fresh one. Some programs
# give up after little more than a second (RFC 8767 section 5, the client response timer).
PATIENCE = 0.5
# What lasts so long (seconds) outlives the collector's looks at what is young.
LASTING_S = 0.25
# How often (seconds) it is looked whether those of a listener that goes have their answers.
LOOK_S = 0.05
# Health.version it holds for, whom to ask, the way there, the query without its ID, and the way as
# the compiled lane has it (`passing`).
Lane = tuple[int, Upstream, Callable[[Waiter, bytes], bool], bytes, object]


# Sends attempts of a lookup, and keeps its time.
Run = Callable[[Attempts, Iterable[Attempt], float], None]


class Carrier(Protocol):
    """Who carries out what lookups want, and knows the ways to upstreams."""

    def run(self, lookup: Attempts, attempts: Iterable[Attempt], now: float) -> None:
        """Send what a lookup wants sent, keep its time, tell the table when it has ended."""

    def lane(self, ask: Ask) -> Lane | None:
        """Return how to relay a question now, if its first upstream is well and at hand."""

    def adopt(self, ident: bytes, attempt: Attempt) -> None:
        """Let an attempt have the reply to the relay that was sent with this ID."""

    def reopen(self, ident: bytes, attempt: Attempt) -> None:
        """Let an attempt wait on for the reply to a relay; what came for that was none."""

    @property
    def note_trailing(self) -> Callable[[Upstream, int, float], None]:
        """Return what takes note of octets behind a reply (`trailing.Trailing`)."""

    def disown(self, relay: Waiter) -> None:
        """Take no reply to a relay any more: it has had its answer."""

    def on_failure(
        self, attempt: Attempt, reason: str, *, refused: bool, sign: bool = True
    ) -> None:
        """Take the end of an attempt without a reply; is it a `sign` of its upstream's health?"""

    def on_stray(self, attempt: Attempt, reason: str) -> None:
        """Take note of a reply that is not the attempt's; the true one may still come."""

    def on_gave_way(self, attempt: Attempt) -> None:
        """Take the end of an attempt whose socket was needed for newer ones."""


class Table:
    """Questions in flight by their keys; `ending` is told of each lookup that has its outcome."""

    def __init__(
        self,
        routes: Routes,
        health: Health,
        answers: Answers,
        warmth: Warmth,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        *,
        deadline: float,
        recursor_deadline: float,
    ) -> None:
        self.routes = routes
        self.health = health
        self.answers = answers
        self.cache = answers.cache
        self.counters = answers.counters
        self.clock = clock
        self.loop = loop
        self.deadline = deadline
        self.recursor_deadline = recursor_deadline
        self.delivery = Delivery(loop, answers)
        self.delivery.on_done = self.look_whether_drained
        # What recursors are slow at must not use up what agents may need, nor the other way.
        self.budgets = {True: Budget(), False: Budget()}
        self.paces = Paces()
        self.flights: dict[bytes, Flight | Waiter] = {}
        self.reuse: Reuse | None = None
        self.draining: asyncio.Event | None = None
        self.carrier: Carrier
        self.ending: Callable[[Flight, Outcome, float], None]
        self.warmth = warmth
        self.outside: Room[Flight] = Room(MAX_OUTSIDE)
        self.shield = Shield()
        # How many lookups have ended that had lasted, since the collector looked for such.
        self.lasting = 0
        # So many may have joined others before it is counted again how many wait.
        self._joins_until = MAX_WAITERS_IN_ALL
        self._refreshing = 0

    @property
    def longest(self) -> float:
        """Return for how many seconds a query may wait for its reply."""
        return max(self.deadline, self.recursor_deadline)

    def submit(
        self, ask: Ask, waiter: Waiter, now: float | None = None, *, traced: bool = False
    ) -> None:
        """Answer `ask`: at once from here or the cache, else when upstreams have.

        `traced` keeps every attempt for the result, even when all goes well.
        """
        if ask.local is not None:
            self._answer_here(ask, ask.local, waiter)
            return
        key = ask.key
        if now is None:
            now = self.clock.now()
            if now >= self.warmth.good_until:
                self.warmth.overdue()
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
                waiter.deliver(self.answers.stale(flight.stale, flight))
            elif flight.waiting() < MAX_WAITERS and self.counters.joined < self._joins_until:
                self.counters.joined += 1
                flight.join(waiter)
            else:
                waiter.deliver(self.answers.too_many(ask, now))
            return
        failures = self.answers.failures
        if failures and not traced:
            failure = failures.holds(key, now, self.health.risen)
            if failure is not None and self._failed_lately(ask, waiter, failure, now):
                return
        if not self._has_room(ask.route, now):
            waiter.deliver(self.answers.too_many(ask, now))
            return
        if len(flights) >= self.shield.begins and not self._spares(ask, waiter, now):
            waiter.deliver(self.answers.shielded(ask, now))
            return
        if not traced:
            # The usual case: the first in order is well, and nothing is decided unless it is late.
            lane = ask.lane
            if lane is None or lane[0] != self.health.version:
                lane = self.carrier.lane(ask)
            if lane is not None:
                _, waiter.upstream, relay, tail, _ = lane
                waiter.sent_at = now
                waiter.others = None
                # First noted, then sent: sending may show that the upstream is not there, and a
                # lookup takes the relay's place at once.
                flights[key] = waiter
                if relay(waiter, tail):
                    return
                del flights[key]
        self.launch(ask, ask.route, [waiter], now)

    def _answer_here(self, ask: Ask, message: Message, waiter: Waiter) -> None:
        ede = None
        if ask.moves is not None:
            message, ede = ask.moves.answer(ask.question)
            if ede is not None:
                self.counters.failed += 1
        waiter.deliver(Result(message, "here", ede=ede))

    def _failed_lately(self, ask: Ask, waiter: Waiter, failure: Failure, now: float) -> bool:
        """Tell what is known without asking; behind a stale answer it is asked now and then.

        False when the stale answer is gone for whose sake it counted for so long.
        """
        stale = self.cache.stale(ask.key, now, ask.sibling)
        if stale is None:
            if now >= failure.alone_until:
                return False
            waiter.deliver(self.answers.failure(ask, failure.ede, failure.reason))
            return True
        self.cache.used(ask.key)
        waiter.deliver(self.answers.stale(stale, None))
        if now >= failure.retry_at:
            flight = self.flight(ask, ask.route, ask.route.plan(), [], now)
            if self._refresh(flight, now):
                failure.retry_at = now + REFRESH
        return True

    def at_hand(self, ask: Ask) -> bool:
        """Return whether a question would be answered at once, from the cache."""
        return self.cache.fresh(ask.key, self.clock.now()) is not None

    def knows(self, ask: Ask) -> bool:
        """Return whether there was an answer lately, or addresses of the other family."""
        entries = self.cache.entries
        entry = entries.get(ask.key)
        if entry is not None and entry.message.positive:
            return True
        sibling = ask.sibling
        beside = None if sibling is None else entries.get(sibling)
        return beside is not None and beside.message.positive

    def _has_room(self, route: Route, now: float) -> bool:
        """Return whether one more question may go out by a route, when others give way."""
        if route.kind is Kind.CONSUL:
            return len(self.flights) < MAX_FLIGHTS
        if len(self.flights) >= MAX_FLIGHTS - FOR_CONSUL:
            return False
        return not self.outside.full or self._make_room(now)

    def _spares(self, ask: Ask, waiter: Waiter, now: float) -> bool:
        """Return whether servers are spared enough for one more question: those needed go out."""
        if waiter.listener is None or self.knows(ask):
            return True
        # Where others than Consul are asked, who is slow gives way to who is quick (`core.room`).
        alone = ask.route.kind is not Kind.CONSUL
        zone, whose = ask.route.zone, waiter.whose()
        return self.shield.admits(zone, ask.key, whose, self.flights, now, alone=alone)

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
        led = ask.led
        if led is not None and before is None:
            if now < led.until:
                alias = led.message.aged(int(now - led.since))
                flight.outcome = Outcome(alias, led.upstream)
                self.end(flight, flight.outcome, now)
                return
            ask.led = None
        stale = flight.stale
        if before is not None:
            flight.before = before
            flight.deadline = before.started_at + self._patience(stale)
            if not self._has_room(route, now):
                self.delivery.tell(waiters, self.answers.too_many(ask, now))
                return
            if before.refreshes and stale is not None:
                self._refresh(flight, now)
                return
        if stale is not None and plan and all_down(plan):
            # Nobody is expected to answer: the client gets what there is. Some questions still go
            # out, so that the first one to come back refreshes them; not all, lest it be overrun.
            flight.waiters = []
            result = self.answers.stale(stale, flight)
            self.cache.used(ask.key)
            self._refresh(flight, now)
            self.delivery.tell(waiters, result)
            return
        self._begin(flight, now)

    def _refresh(self, flight: Flight, now: float) -> bool:
        """Ask for the sake of a stale answer alone, with nobody waiting, unless too many do."""
        if self._refreshing >= MAX_REFRESHING:
            return False
        self._refreshing += 1
        flight.refreshes = True
        self._begin(flight, now)
        return True

    def _begin(self, flight: Flight, now: float) -> None:
        self.enter(flight, now)
        self.counters.forwarded += 1
        try:
            self.carrier.run(flight, flight.start(now), now)
        except Exception as error:
            self.break_off(flight, error)

    def enter(self, flight: Flight, now: float) -> None:
        """Put a flight into the table."""
        self.flights[flight.ask.key] = flight
        if flight.route.kind is not Kind.CONSUL:
            self.outside.take(flight, now)

    def _make_room(self, now: float) -> bool:
        """End a flight that gives way to a new one; return whether there was one."""
        flight = self.outside.gives_way(now)
        if flight is None:
            return False
        self.outside.give_back(flight)
        for attempt in flight.open_attempts():
            self.carrier.run(flight, flight.give_way(attempt, now), now)
        return True

    def flight(
        self, ask: Ask, route: Route, plan: Sequence[Upstream], waiters: list[Waiter], now: float
    ) -> Flight:
        """Return a new flight; nothing is sent yet."""
        stale = self.cache.stale(ask.key, now, ask.sibling)
        deadline = self.patience(plan, route, stale)
        flight = Flight(
            plan,
            self.health,
            self.budgets[route.kind is Kind.CONSUL],
            now=now,
            deadline=now + deadline,
            known=self.known_of(ask, stale, now),
            has_stale=stale is not None,
            reverse=route.then is not None,
            about=ask.key,
            pace=self.paces.of(ask.datacenter) if ask.datacenter else None,
        )
        if self.health.drained:
            flight.hold_back()
        flight.ask = ask
        flight.route = route
        flight.must_recurse = route.kind is not Kind.SERVER
        flight.stale = stale
        flight.depth = waiters[0].depth if waiters else 0
        flight.follows = flight.target = flight.onward = None
        flight.refreshes = False
        flight.armed = 0.0
        flight.waiters = waiters
        return flight

    def patience(self, plan: Sequence[Upstream], route: Route, stale: Entry | None) -> float:
        """Return for how many seconds these are waited for by a route."""
        if route.then and route.then.groups:
            # Those asked when Consul cannot answer must have time for it.
            return self._patience(stale) / 2
        if stale is None and route.kind is not Kind.CONSUL and any(one.up for one in plan):
            return self.recursor_deadline
        return self._patience(stale)

    def _patience(self, stale: Entry | None) -> float:
        """Return for how many seconds upstreams are waited for."""
        return self.deadline if stale is None else PATIENCE * self.deadline

    def known_of(self, ask: Ask, entry: Entry | None, now: float) -> int:
        """Return how many records were answered moments ago: what contradicts that is doubtful.

        Not if a watch told that nothing is left: that is a second opinion already. While a change
        settles no more can be expected than it leaves.
        """
        if entry is None or now - entry.stored_at >= DOUBT or not entry.message.positive:
            return 0
        # What an alias leads to came from others: of the agent's own there may be no more.
        known = 1 if entry.message.aliased else entry.message.answers
        if self.reuse is None:
            return known
        if self.reuse.denies(ask, now):
            return 0
        left = self.reuse.left(ask, now) if self.reuse.freshness.settling else None
        return known if left is None else min(known, left)

    # -- ending -------------------------------------------------------------------------------

    def end(self, flight: Flight, outcome: Outcome, now: float) -> None:
        """Take the outcome of a lookup: nobody new waits for it."""
        if flight.armed == float("inf"):
            return
        flight.armed = float("inf")
        if self.flights.get(flight.ask.key) is flight:
            del self.flights[flight.ask.key]
        self.outside.give_back(flight)
        if now - flight.started_at > LASTING_S:
            self.lasting += 1
        if flight.refreshes:
            self._refreshing -= 1
        counters = self.counters
        counters.extra += flight.extra
        if flight.opinions:
            counters.second_opinions += flight.opinions
            counters.overruled += flight.overruled
            counters.opinion_seconds += flight.opinion_took(now)
        try:
            self.ending(flight, outcome, now)
        except Exception as error:
            mishaps.note(self.loop, "an answer could not be made", error)
            why = self.answers.failure(flight.ask, const.EDE_OTHER, mishaps.WHY)
            self.delivery.tell(flight.waiters, why)
        if flight.follows is None:
            self.ended(flight)

    def ended(self, flight: Flight) -> None:
        """Note that nobody waits for a flight any more."""
        if self.flights.get(flight.ask.key) is flight:
            del self.flights[flight.ask.key]
        if self.draining is not None:
            self.look_whether_drained()

    def second(self) -> None:
        """Note that a second has passed."""
        for budget in self.budgets.values():
            budget.second()
        waiting = sum(flight.waiting() for flight in self.flights.values())
        self._joins_until = self.counters.joined + max(MAX_WAITERS_IN_ALL - waiting, 0)
        if len(self.shield):
            self.shield.second(self.flights, self.clock.now())

    async def drain_of(self, listeners: Collection[object], seconds: float) -> None:
        """Wait until nobody who asked at these listeners waits, at most so long."""
        ends = self.clock.now() + seconds
        while self.clock.now() < ends and (
            self.delivery.rounds
            or any(
                waiter.listener in listeners
                for one in self.flights.values()
                for waiter in one.all()
            )
        ):
            await asyncio.sleep(LOOK_S)

    async def drain(self, seconds: float) -> None:
        """Wait until every query in flight has its answer, at most so long."""
        if self.flights or self.delivery.rounds:
            self.draining = asyncio.Event()
            try:
                await asyncio.wait_for(self.draining.wait(), seconds)
            except asyncio.TimeoutError:
                left = len(self.flights)
                log.warning("%d queries without an answer when their listener closed", left)

    def look_whether_drained(self) -> None:
        """Tell who waits for the end of all that is in flight, if it is there."""
        if self.draining is not None and not self.flights and not self.delivery.rounds:
            self.draining.set()

    def abandon_looped(self, now: float) -> None:
        """End those who wait for nobody but servers that lead back to this one."""
        for flight in list(self.flights.values()):
            if isinstance(flight, Flight) and all(one.looped for one in flight.everyone()):
                self.carrier.run(flight, flight.abandon(), now)

    def break_off(self, lookup: Attempts, error: Exception) -> None:
        """End a lookup that an error of ours came between, if it has not ended."""
        mishaps.note(self.loop, "a lookup failed", error)
        if isinstance(lookup, Flight):
            try:
                more = lookup.fail(mishaps.WHY) if lookup.outcome is None else []
                self.carrier.run(lookup, more, self.clock.now())
            except Exception as again:
                mishaps.note(self.loop, "a lookup failed to end", again)

    def withdraw(self, waiter: Waiter, error: Exception) -> None:
        """Let a query that an error of ours came between have its SERVFAIL, wherever it waits."""
        key = waiter.ask.key
        asked = self.flights.get(key)
        if isinstance(asked, Flight) and waiter in asked.waiters:
            self.break_off(asked, error)
            return
        mishaps.note(self.loop, "a query failed", error)
        if asked is waiter:
            del self.flights[key]
            self.carrier.disown(waiter)
            self.look_whether_drained()
        elif isinstance(asked, Waiter) and waiter in asked.all():
            return  # it has joined another, which will have an answer for it
        if getattr(waiter, "ident", None) == b"":
            return  # handed over to a lookup, which has ended
        for one in waiter.all() if getattr(waiter, "others", None) else [waiter]:
            self.delivery.fail(one)
