"""Aliases that lead to what others are to be asked for: followed by our own routes, in any type.

Consul chases those out of its domain with A only, and not at all without recursors of its own;
recursors cannot know Consul's names, and may know another face of a conditional zone.
"""

from __future__ import annotations

import asyncio

from consulfwd.core.aliases import Onward
from consulfwd.core.ask import Ask, Led, prepare
from consulfwd.core.cache import LARGE
from consulfwd.core.routes import Kind
from consulfwd.core.verdict import ANSWERS
from consulfwd.dns import const, replies
from consulfwd.dns.message import Message
from consulfwd.dns.names import to_text
from consulfwd.dns.records import read_records
from consulfwd.errors import WireError
from consulfwd.net.answers import partly_stale
from consulfwd.net.flight import Flight
from consulfwd.net.table import Table
from consulfwd.net.waiter import Result, Waiter

MAX_CHASE = 8


def chase(table: Table, flight: Flight, message: Message, onward: Onward, now: float) -> bool:
    """Ask on, and answer the flight's waiters with both; False when there is no way."""
    ask = flight.ask
    target = onward.target
    if flight.depth >= MAX_CHASE:
        return False
    question = target + ask.question[-4:]
    query = ask.query._replace(question=question, name=target)
    if query.edns is not None and ask.route.kind is not Kind.CONSUL:
        # Where a client is does not tell this question from the same of others.
        query = query._replace(edns=query.edns._replace(options=b""))
    sub = prepare(query, table.routes)
    if (sub.local is None and not sub.route.groups) or _waits_for(table, sub.key, flight):
        return False
    known_age = flight.started_at >= table.answers.leapt_at
    if flight.attempts and known_age and ask.route.kind is not Kind.CONSUL:
        _keep(table, flight, message, onward, now)
    # Whoever asks the same meanwhile waits for this one.
    table.flights.setdefault(ask.key, flight)
    waiter = _Chaser(table, flight, onward.records, sub)
    flight.target = sub
    table.submit(sub, waiter, now, traced=waiter.traced)
    if not waiter.over:
        flight.follows = sub.key
        waiter.end_by(flight.deadline - now)
    return True


def _keep(table: Table, flight: Flight, message: Message, onward: Onward, now: float) -> None:
    """Let the alias be known for its time: what it leads to may have to be asked for each time."""
    ask, outcome = flight.ask, flight.outcome
    if outcome is None or outcome.upstream is None:
        return
    alias = replies.join_alias(ask.question, onward.records, ([], [], []), message)
    limits = table.cache.limits
    ttl = min(alias.ttl or 0, limits.max_ttl) if limits.size else 0
    if ttl and not alias.truncated and len(alias.body) <= LARGE:
        ask.led = Led(alias, outcome.upstream, now, now + ttl)
        ask.lane = None


def _waits_for(table: Table, key: bytes, flight: Flight) -> bool:
    """Return whether what is asked under `key` waits for this flight: aliases in a circle."""
    for _ in range(MAX_CHASE):
        other = table.flights.get(key)
        if other is flight or key == flight.ask.key:
            return True
        if not isinstance(other, Flight) or other.follows is None:
            return False
        key = other.follows
    return True


class _Chaser(Waiter):
    """Waits for the target of an alias on behalf of a flight."""

    __slots__ = ("_answers", "_flight", "_late", "_table", "depth", "over", "traced")

    def __init__(self, table: Table, flight: Flight, answers: list[bytes], target: Ask) -> None:
        super().__init__(target)
        self._table = table
        self._flight = flight
        self._answers = answers
        self._late: asyncio.TimerHandle | None = None
        self.depth = flight.depth + 1
        self.traced = any(one.traced for one in flight.waiters)
        self.over = False

    def end_by(self, seconds: float) -> None:
        """Wait no longer than so: who asked for the target first may have more time."""
        self._late = self._table.loop.call_later(max(seconds, 0.0), self._end)

    def _end(self) -> None:
        table = self._table
        entry = table.cache.stale(self.ask.key, table.clock.now(), self.ask.sibling)
        if entry is not None:
            result = table.answers.stale(entry, self._flight)
        else:
            why = "no answer within the deadline"
            result = table.answers.failure(self.ask, const.EDE_NETWORK, why)
        table.delivery.tell([self], result)

    def deliver(self, result: Result) -> None:
        """Join the alias with what its target gave, and answer with both."""
        if self.over:
            return
        if self._late is not None:
            self._late.cancel()
        final = self._joined(result)
        # Not before: if that goes wrong, it is told so.
        self.over = True
        self._table.ended(self._flight)
        self._table.delivery.tell(self._flight.waiters, final)

    def _joined(self, result: Result) -> Result:
        table, flight, ask = self._table, self._flight, self._flight.ask
        target = self.ask.name
        if isinstance(result.flight, Flight):
            flight.onward = result.flight
        if result.message.rcode not in ANSWERS:
            if flight.stale is not None:
                return table.answers.stale(flight.stale, flight)
            code, why = result.ede or (const.EDE_NO_AUTHORITY, "no answer")
            why = f"the alias leads to {to_text(target)}: {why}"
            failed = table.answers.failure(ask, code, why)
            failed.flight = flight
            return failed
        now = table.clock.now()
        question = target + ask.question[-4:]
        query = ask.query._replace(question=question)
        body = None
        if result.entry is not None:
            cache = table.cache
            body = cache.stale_body(result.entry) if result.stale else cache.body(result.entry, now)
        raw = replies.respond(query, b"\0\0", result.message, replies.STREAM_LIMIT, body=body)
        try:
            more = read_records(raw, 12 + len(question))
        except WireError as error:
            # Good when it came: a name in it borrows from a TTL field, which has aged since.
            why = f"the target of the alias: {error}"
            return table.answers.failure(ask, const.EDE_OTHER, why)
        joined = replies.join_alias(ask.question, self._answers, more, result.message)
        outcome = flight.outcome
        assert outcome is not None
        source = outcome.upstream.name if outcome.upstream is not None else ""
        source = f"{source}, its alias by {result.source}"
        if result.stale:
            held = table.answers.held(flight, joined, source, now)
            return held or partly_stale(flight, joined, source, result)
        return table.answers.keep(flight, joined, source, now)
