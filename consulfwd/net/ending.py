"""How a lookup ends: with its answer, a stale one or none, or by handing the question on.

What belongs here: which of these it is. Making the results is `results`'; what upstreams are
asked, and when, is decided in `core.query`.
"""

from __future__ import annotations

from consulfwd.core.aliases import leads_on
from consulfwd.core.ask import answer_here
from consulfwd.core.attempts import Outcome
from consulfwd.core.query import GAVE_WAY
from consulfwd.core.routes import Kind
from consulfwd.dns import const
from consulfwd.dns.message import Message
from consulfwd.net.channel import OUR_SHORTAGE
from consulfwd.net.chase import chase
from consulfwd.net.flight import Flight
from consulfwd.net.table import Table

OURS = OUR_SHORTAGE | {GAVE_WAY}


def end(table: Table, flight: Flight, outcome: Outcome, now: float) -> None:
    """Tell all who wait for a flight how it ended, or ask on for them."""
    message, then = outcome.message, flight.route.then
    if then is not None and then.groups and (message is None or not message.positive):
        table.launch(flight.ask, then, flight.waiters, now, before=flight)
        return
    first = flight.before.outcome if flight.before is not None else None
    if first is not None and first.message is None and message and not message.positive:
        # Consul could not be asked: that others deny the name must not stand for its answer.
        outcome, message = first, None
    if message is None:
        _note_failure(table, flight, outcome, now)
    if message is None and flight.refreshes:
        return
    if message is None:
        if flight.stale is not None:
            result = table.answers.stale(flight.stale, flight)
        else:
            result = table.answers.failure(flight.ask, outcome.ede, outcome.reason)
            result.flight = flight
    else:
        message = _from_here(table, flight, message, now)
        onward = leads_on(flight.ask, message, table.routes)
        if onward is not None and chase(table, flight, message, onward, now):
            return
        source = outcome.upstream.name if outcome.upstream is not None else ""
        result = table.answers.keep(flight, message, source, now)
    table.delivery.tell(flight.waiters, result)


def _note_failure(table: Table, flight: Flight, outcome: Outcome, now: float) -> None:
    """Let a question that was asked in vain, by no fault of ours, not be asked again at once."""
    before = flight.before.attempts if flight.before is not None else []
    asked = [*before, *flight.attempts]
    ours = outcome.ede == const.EDE_OTHER or any(one.result in OURS for one in asked)
    if flight.plan and not ours:
        table.answers.failures.note(
            flight.ask.key,
            outcome.ede,
            outcome.reason,
            now,
            risen=table.health.risen,
            has_stale=flight.stale is not None,
            grows=flight.ask.route.kind is not Kind.CONSUL,
        )


def _from_here(table: Table, flight: Flight, message: Message, now: float) -> Message:
    """Return a message, or what is known better here."""
    then = flight.route.then
    if (
        then is not None
        and then.local
        and not message.positive
        and (then.kind is Kind.LOCALHOST or message.rcode == const.SERVFAIL)
    ):
        return answer_here(flight.ask, then, 0)
    reuse = table.reuse
    if reuse is not None and (reuse.freshness.settling or reuse.freshness.departures):
        return reuse.corrected(flight.ask, message, now)
    return message
