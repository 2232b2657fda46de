"""What an error in this program itself costs: the message it happened at, nothing else.

It is logged once, with where it happened; whoever waits for that message gets SERVFAIL, everybody
else their answer. What belongs here is that alone; errors that are to be expected are handled
where they occur.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from consulfwd.core.query import Lookup
from consulfwd.dns import const, replies
from consulfwd.dns.wire import HEADER_SIZE, read_query
from consulfwd.net import results
from consulfwd.net.flight import Flight
from consulfwd.net.waiter import Result, Waiter

if TYPE_CHECKING:
    from consulfwd.net.resolver import Engine

WHY = "an error in this server, its log tells more"


def note(loop: asyncio.AbstractEventLoop, what: str, error: Exception) -> None:
    """Log an error with its traceback, by whatever the event loop does with such."""
    loop.call_exception_handler({"message": what, "exception": error})


def tell(engine: Engine, waiters: list[Waiter], result: Result) -> None:
    """Give all who wait the result, and let them wait no more (the list is empty then)."""
    told = tuple(waiters)
    waiters.clear()
    each(engine, told, lambda waiter: waiter.deliver(result))


def each(engine: Engine, waiters: Iterable[Waiter], give: Callable[[Waiter], None]) -> None:
    """Give each who waits an answer; one at whom that fails gets SERVFAIL."""
    left = iter(waiters)
    while True:
        try:
            for waiter in left:
                give(waiter)
            return
        except Exception as error:
            note(engine.loop, "an answer could not be given", error)
            _fail(engine, waiter)


def end(engine: Engine, lookup: Lookup, error: Exception) -> None:
    """End a lookup that an error came between, if it has not ended."""
    note(engine.loop, "a lookup failed", error)
    if isinstance(lookup, Flight):
        try:
            more = lookup.fail(WHY) if lookup.outcome is None else []
            engine.run(lookup, more, engine.now())
        except Exception as again:
            note(engine.loop, "a lookup failed to end", again)


def withdraw(engine: Engine, waiter: Waiter, error: Exception) -> None:
    """Let a query that an error came between have its SERVFAIL, wherever it waits by now."""
    key = waiter.ask.key
    asked = engine.flights.get(key)
    if isinstance(asked, Flight) and waiter in asked.waiters:
        end(engine, asked, error)
        return
    note(engine.loop, "a query failed", error)
    if asked is waiter:
        del engine.flights[key]
        channel = engine.channels.direct(waiter.upstream)
        if channel is not None and getattr(waiter, "ident", None) is not None:
            channel.forget(waiter)
        if engine.draining is not None:
            engine.look_whether_drained()
    elif isinstance(asked, Waiter) and waiter in asked.all():
        return  # it has joined another, which will have an answer for it
    if getattr(waiter, "ident", None) == b"":
        return  # handed over to a lookup, which has ended
    for one in waiter.all() if getattr(waiter, "others", None) else [waiter]:
        _fail(engine, one)


def refusal(data: bytes) -> bytes | None:
    """Return SERVFAIL for a raw query of which nothing is known; None if it is none."""
    try:
        query = read_query(data)
    except Exception:
        if len(data) < HEADER_SIZE or data[2] & 0x80:
            return None
        return replies.refuse(data, const.SERVFAIL)
    return replies.refuse(data, const.SERVFAIL, query, (const.EDE_OTHER, WHY))


def _fail(engine: Engine, waiter: Waiter) -> None:
    try:
        waiter.deliver(results.failure(engine, waiter.ask, const.EDE_OTHER, WHY))
    except Exception as error:
        note(engine.loop, "SERVFAIL could not be given", error)
