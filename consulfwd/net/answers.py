"""The results those who wait are told: an answer kept, a stale one, SERVFAIL with its reason.

What belongs here: making them, counting them, and what goes into the cache. When a lookup ends
with which is decided in `ending`.
"""

from __future__ import annotations

from typing import Protocol

from consulfwd.core.ask import Ask
from consulfwd.core.attempts import Attempt
from consulfwd.core.cache import STALE_TTL, Cache, Entry
from consulfwd.core.failures import Failures
from consulfwd.core.routes import Kind
from consulfwd.core.verdict import ANSWERS, lame, left_out
from consulfwd.dns import const, replies
from consulfwd.dns.message import Message
from consulfwd.dns.wire import Query
from consulfwd.net.flight import Counters, Flight
from consulfwd.net.guarding import Guarding
from consulfwd.net.waiter import Result

UNKNOWN_NAMES = "too many questions about unknown names are in flight (limits.unknown)"


class Fetched(Protocol):
    """Who is told of answers that were asked for, because they may be reused (`reuse`)."""

    def fetched(self, ask: Ask, entry: Entry, sent_at: float, now: float) -> None:
        """Take note of an answer that was asked for at `sent_at`."""


class Answers:
    """Makes results out of what upstreams say, the cache and remembered failures hold."""

    def __init__(self, cache: Cache, counters: Counters) -> None:
        self.cache = cache
        self.counters = counters
        self.failures = Failures()
        self.reuse: Fetched | None = None
        self.guarding = Guarding(counters)
        # When it was seen last that time had passed unnoticed: how old a reply is that was asked
        # for before, nobody knows.
        self.leapt_at = 0.0

    def keep(self, flight: Flight, message: Message, source: str, now: float) -> Result:
        """Keep a message in the cache and return it as the flight's result."""
        held = self.held(flight, message, source, now)
        if held is not None:
            return held
        cache = self.cache
        cache.clamp(message)
        ttl = None
        if flight.before is not None:
            # What Consul denied a moment ago it may answer the next: do not hide that for long.
            ttl = min(cache.ttl_of(message), cache.limits.max_negative_ttl)
        asked = flight.outcome.upstream if flight.outcome is not None else None
        if (
            flight.ask.query.do and message.edns is None and flight.target is None
            and asked is not None and not asked.is_agent
        ):  # fmt: skip
            # Asked without EDNS: there may be signatures that nobody was told of.
            ttl = 0
        good = not message.truncated and message.rcode in ANSWERS
        known_age = flight.started_at >= self.leapt_at
        if good and self.failures:
            self.failures.forget(flight.ask.key)
        # A denial that may not be kept is of no use, but where Consul tells of changes.
        of_use = message.positive or flight.route.kind is Kind.CONSUL or cache.ttl_of(message)
        if good and known_age and of_use and len(message.body) <= replies.STREAM_LIMIT:
            entry = cache.put(flight.ask.key, message.second_hand(), now, source, ttl)
            if self.reuse is not None:
                self.reuse.fetched(flight.ask, entry, flight.started_at, now)
        return Result(message, source, flight=flight)

    def held(self, flight: Flight, message: Message, source: str, now: float) -> Result | None:
        """Return what is given of an answer that may not be given as it is, None of any other."""
        result = self.guarding.held(flight.ask, message, source, now)
        if result is not None:
            result.flight = flight
        return result

    def keep_late(
        self, flight: Flight, attempt: Attempt, message: Message, cut: bool, now: float
    ) -> None:
        """Keep an answer that came when its client had been told that there is none.

        Whoever asks again has it then. Not one that may need a second look: a denial of what was
        known, or of others than Consul where that could not be asked; an error, a part of the
        message, or of the list of an agent that may not know all of it yet.
        """
        entry = self.cache.get(flight.ask.key)
        if message.rcode not in ANSWERS:
            return
        if cut or flight.follows is not None or (not attempt.upstream.is_agent and lame(message)):
            return
        second = flight.route.then is not None or flight.before is not None
        if not message.positive and (flight.known or second):
            return
        if left_out(message, flight.known, attempt.upstream, now):
            return
        denied = entry is not None and message.positive and not entry.message.positive
        if entry is None or denied or entry.stored_at < attempt.sent_at:
            self.keep(flight, message, attempt.upstream.name, now)

    def stale(self, entry: Entry, flight: Flight | None) -> Result:
        """Return an answer that is past its time, for want of another (RFC 8767)."""
        why = f"{entry.source} answered this; no upstream does now"
        return self._stale(entry, why, flight)

    def too_many(self, ask: Ask, now: float) -> Result:
        """Return what a question gets that there is no room for."""
        entry = self.cache.stale(ask.key, now, ask.sibling)
        if entry is None:
            return self.failure(ask, const.EDE_OTHER, "too many queries in flight")
        why = f"{entry.source} answered this; too many queries are in flight now"
        return self._stale(entry, why, None)

    def shielded(self, ask: Ask, now: float) -> Result:
        """Return what a question about an unknown name gets while too many of them are asked."""
        self.counters.shielded += 1
        entry = self.cache.stale(ask.key, now, ask.sibling)
        if entry is not None:
            return self._stale(entry, f"{entry.source} answered this; {UNKNOWN_NAMES}", None)
        return self.failure(ask, const.EDE_OTHER, UNKNOWN_NAMES)

    def failure(self, ask: Ask, ede: int, reason: str) -> Result:
        """Return SERVFAIL with its reason."""
        self.counters.failed += 1
        message = replies.empty(ask.question, const.SERVFAIL)
        return Result(message, "nobody", ede=(ede, reason))

    def _stale(self, entry: Entry, why: str, flight: Flight | None) -> Result:
        self.counters.stale += 1
        source = f"stale answer of {entry.source}"
        ede = (const.EDE_STALE, why)
        return Result(entry.message, source, entry=entry, flight=flight, stale=True, ede=ede)


def partly_stale(flight: Flight, message: Message, source: str, part: Result) -> Result:
    """Return an answer of which a `part` is past its time: told as that is, and not kept as new."""
    message.body = message.body_with_ttls(0, 0, STALE_TTL)
    return Result(message, source, flight=flight, stale=True, ede=part.ede)


def prohibited(data: bytes, query: Query) -> bytes:
    """Return the reply to a raw query of somebody who may not ask."""
    ede = (const.EDE_PROHIBITED, "this client is not in access.allow")
    return replies.refuse(data, const.REFUSED, query, ede)
