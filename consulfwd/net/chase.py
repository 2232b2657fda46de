"""Aliases that lead out of Consul: followed through our own routes, for the type asked.

Consul chases them with A only, and not at all without recursors of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consulfwd.core.ask import prepare
from consulfwd.core.routes import Kind
from consulfwd.dns import const, replies
from consulfwd.dns.message import Message
from consulfwd.dns.names import to_text
from consulfwd.dns.records import alias_target, read_records, type_of
from consulfwd.errors import WireError
from consulfwd.net import results
from consulfwd.net.flight import Flight
from consulfwd.net.waiter import Result, Waiter

if TYPE_CHECKING:
    from consulfwd.net.resolver import Engine

MAX_CHASE = 8


def leads_on(flight: Flight, message: Message) -> bool:
    """Return whether a reply ends in an alias without the records asked for."""
    return (
        message.aliased
        and not message.matched
        and not message.rcode
        and flight.route.kind is Kind.CONSUL
        and flight.ask.qtype != const.CNAME
    )


def chase(engine: Engine, flight: Flight, message: Message, now: float) -> bool:
    """Follow the alias and answer the flight's waiters with both; False when there is no way."""
    ask = flight.ask
    raw = replies.respond(ask.query, b"\0\0", message, replies.STREAM_LIMIT)
    try:
        sections = read_records(raw, 12 + len(ask.query.question))
        target = alias_target(sections[0], ask.name)
    except WireError:
        return False
    if target == ask.name or flight.depth >= MAX_CHASE:
        return False
    question = target + ask.question[-4:]
    sub = prepare(ask.query._replace(question=question, name=target), engine.routes)
    if sub.local is None and not sub.route.groups:
        return False
    waiter = _Chaser(engine, flight, sections[0], target)
    entry = engine.cache.fresh(sub.key, now)
    if sub.local is not None:
        waiter.deliver(Result(sub.local, "here"))
    elif entry is not None:
        waiter.deliver(Result(entry.message, "cache", entry=entry))
    else:
        engine.launch(
            sub, sub.route, [waiter], now, depth=flight.depth + 1, deadline=flight.deadline
        )
    return True


class _Chaser(Waiter):
    """Waits for the target of an alias on behalf of a flight."""

    __slots__ = ("_answers", "_engine", "_flight", "_target")

    def __init__(self, engine: Engine, flight: Flight, answers: list[bytes], target: bytes) -> None:
        super().__init__(flight.ask)
        self._engine = engine
        self._flight = flight
        self._answers = answers
        self._target = target

    def deliver(self, result: Result) -> None:
        """Join the alias with what its target gave, and answer with both."""
        final = self._joined(result)
        for waiter in self._flight.waiters:
            waiter.deliver(final)

    def _joined(self, result: Result) -> Result:
        engine, flight, ask = self._engine, self._flight, self.ask
        if result.message.rcode not in (const.NOERROR, const.NXDOMAIN):
            code, why = result.ede or (const.EDE_NO_AUTHORITY, "no answer")
            why = f"the alias leads to {to_text(self._target)}: {why}"
            return results.failure(engine, ask, code, why)
        now = engine.now()
        question = self._target + ask.question[-4:]
        query = ask.query._replace(question=question)
        body = None
        if result.entry is not None:
            cache = engine.cache
            body = cache.stale_body(result.entry) if result.stale else cache.body(result.entry, now)
        raw = replies.respond(query, b"\0\0", result.message, replies.STREAM_LIMIT, body=body)
        try:
            more = read_records(raw, 12 + len(question))
        except WireError as error:
            # Good when it came: a name in it borrows from a TTL field, which has aged since.
            why = f"the target of the alias: {error}"
            return results.failure(engine, ask, const.EDE_OTHER, why)
        aliases = [record for record in self._answers if type_of(record) == const.CNAME]
        joined = replies.join_alias(ask.question, aliases, more, result.message)
        outcome = flight.outcome
        assert outcome is not None
        source = outcome.upstream.name if outcome.upstream is not None else ""
        source = f"{source}, its alias by {result.source}"
        if result.stale:
            return results.partly_stale(engine, flight, joined, source, result)
        return results.keep(engine, flight, joined, source, now)
