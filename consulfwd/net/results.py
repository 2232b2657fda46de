"""The results those who wait are told: an answer kept, a stale one, SERVFAIL with its reason.

What belongs here: making them, counting them, and what goes into the cache. When a lookup ends
with which is decided in `ending`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consulfwd.core.ask import Ask
from consulfwd.core.attempts import Attempt
from consulfwd.core.cache import STALE_TTL, Entry
from consulfwd.dns import const, replies
from consulfwd.dns.message import Message
from consulfwd.dns.wire import Query
from consulfwd.net.flight import Flight
from consulfwd.net.waiter import Result

if TYPE_CHECKING:
    from consulfwd.net.resolver import Engine


def keep(engine: Engine, flight: Flight, message: Message, source: str, now: float) -> Result:
    """Keep a message in the cache and return it as the flight's result."""
    cache = engine.cache
    cache.clamp(message)
    ttl = None
    if flight.before is not None:
        # What Consul denied a moment ago it may answer the next: do not hide that for long.
        ttl = min(cache.ttl_of(message), cache.limits.max_negative_ttl)
    if engine.failures:
        engine.failures.forget(flight.ask.key)
    good = not message.truncated and message.rcode in (const.NOERROR, const.NXDOMAIN)
    if good and len(message.body) <= replies.STREAM_LIMIT:
        entry = cache.put(flight.ask.key, message, now, source, ttl)
        if engine.reuse is not None:
            engine.reuse.fetched(flight.ask, entry, flight.started_at, now)
    return Result(message, source, flight=flight)


def keep_late(
    engine: Engine, flight: Flight, attempt: Attempt, message: Message, cut: bool, now: float
) -> None:
    """Keep an answer that came when its client had been told that there is none.

    Whoever asks again has it then. Not one that may need a second look: a denial of what was
    known, a part, an alias to be followed.
    """
    entry = engine.cache.get(flight.ask.key)
    if cut or (message.aliased and not message.matched) or flight.follows is not None:
        return
    if not message.positive and (flight.known or flight.route.then is not None):
        return
    if entry is None or entry.stored_at < attempt.sent_at:
        keep(engine, flight, message, attempt.upstream.name, now)


def stale(engine: Engine, entry: Entry, flight: Flight | None) -> Result:
    """Return an answer that is past its time, for want of anyone who gives another (RFC 8767)."""
    why = f"{entry.source} answered this; no upstream does now"
    return _stale(engine, entry, why, flight)


def partly_stale(flight: Flight, message: Message, source: str, part: Result) -> Result:
    """Return an answer of which a `part` is past its time: told as that is, and not kept as new."""
    message.body = message.body_with_ttls(0, 0, STALE_TTL)
    return Result(message, source, flight=flight, stale=True, ede=part.ede)


def too_many(engine: Engine, ask: Ask, now: float) -> Result:
    """Return what a question gets that there is no room for."""
    entry = engine.cache.stale(ask.key, now, ask.sibling)
    if entry is None:
        return failure(engine, ask, const.EDE_OTHER, "too many queries in flight")
    why = f"{entry.source} answered this; too many queries are in flight now"
    return _stale(engine, entry, why, None)


def prohibited(data: bytes, query: Query) -> bytes:
    """Return the reply to a raw query of somebody who may not ask."""
    ede = (const.EDE_PROHIBITED, "this client is not in access.allow")
    return replies.refuse(data, const.REFUSED, query, ede)


def failure(engine: Engine, ask: Ask, ede: int, reason: str) -> Result:
    """Return SERVFAIL with its reason."""
    engine.counters.failed += 1
    message = replies.empty(ask.question, const.SERVFAIL)
    return Result(message, "nobody", ede=(ede, reason))


def _stale(engine: Engine, entry: Entry, why: str, flight: Flight | None) -> Result:
    engine.counters.stale += 1
    source = f"stale answer of {entry.source}"
    ede = (const.EDE_STALE, why)
    return Result(entry.message, source, entry=entry, flight=flight, stale=True, ede=ede)
