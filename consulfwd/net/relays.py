"""The usual case: a query passed to the first upstream in order, its reply passed back.

No lookup is made for it. When the reply is late, false, cut, an error, or denies what was known
a moment ago, the query is handed over to one, as if it had been there from the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consulfwd.core.ask import Known
from consulfwd.core.attempts import Attempt
from consulfwd.core.query import lost_most
from consulfwd.dns import const
from consulfwd.dns.message import Message, read_reply
from consulfwd.errors import WireError
from consulfwd.net.waiter import Waiter

if TYPE_CHECKING:
    from consulfwd.net.resolver import Engine

# Replies kept to be recognised: of what size, how many per question, how many in all.
KNOWN_SIZE, KNOWN_REPLIES, MAX_KNOWN = 1024, 24, 8192
# How long (seconds) a kept TTL 0 answer is good enough as what to fall back to.
KEEP_AGAIN = 0.1
FALSE_REPLY = "a false reply (another question, or garbage)"


class Relays:
    """What becomes of relayed queries (see `net.upstream.Owner`)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known = 0

    def on_relayed(self, relay: Waiter, data: bytes, now: float) -> bool:
        """Pass a reply on when there is nothing to decide about it; return whether it was so."""
        ask = relay.ask
        known = ask.known.get(data[2:]) if ask.known is not None else None
        if known is None:
            known = self._learn(relay, data, now)
            if known is None:
                return False
        reuse = self._engine.reuse
        if reuse is not None and reuse.freshness.settling and reuse.settles(ask, now):
            self._decide(relay, known.message, False, now)
            return False
        if (now >= ask.kept_until or not known.positive) and not self._keep(relay, known, now):
            return False
        key = ask.key
        engine = self._engine
        flights = engine.flights
        asked = flights.pop(key, None)
        if asked is not relay and asked is not None:
            # After a reload, which forgets what was in flight before it, the key is another's.
            flights[key] = asked
        if relay.others is None:
            relay.relayed(ask, known)
        else:
            engine.in_turns(relay.all(), lambda waiter: waiter.relayed(ask, known))
        if engine.draining is not None:
            engine.look_whether_drained()
        return True

    def _keep(self, relay: Waiter, known: Known, now: float) -> bool:
        """Put a reply into the cache; a doubtful one is handed over to a lookup: False."""
        engine = self._engine
        ask = relay.ask
        cache = engine.cache
        entry = cache.entries.get(ask.key)
        message = known.message
        upstream = relay.upstream
        if entry is not None and known.positive and (
            not lost_most(message, entry.message.answers)
            or not (upstream.is_agent and upstream.unsettled(now))
        ):
            cache.refresh(
                ask.key, entry, message, now, upstream.name, known.ttl, known.lasts
            )
        elif upstream.is_agent and engine.known_of(ask, entry, now):
            self._decide(relay, message, False, now)
            return False
        else:
            entry = cache.put(ask.key, message, now, upstream.name)
        if engine.reuse is not None and upstream.is_agent:
            engine.reuse.fetched(ask, entry, relay.sent_at, now)
        # What may not be reused is kept for bad times only: there it need not be the very last.
        ask.kept_until = now + KEEP_AGAIN if known.positive and not known.ttl else 0.0
        return True

    def _learn(self, relay: Waiter, data: bytes, now: float) -> Known | None:
        """Read a reply; one that needs a decision is handed over to a lookup."""
        ask = relay.ask
        upstream = relay.upstream
        try:
            message = read_reply(data, ask.question)
        except WireError:
            self._engine.counters.false_replies += 1
            attempt = self._escalate(relay, now)
            self._engine.on_failure(
                attempt, "a false reply (another question, or garbage)", refused=False
            )
            return None
        if (
            message.rcode not in (const.NOERROR, const.NXDOMAIN)
            or ask.cut(upstream, message)
            or (ask.route.then is not None and not message.positive)
            or (message.aliased and not message.matched)
        ):
            self._decide(relay, message, ask.cut(upstream, message), now)
            return None
        if ask.datacenter:
            self._engine.paces.of(ask.datacenter).measured(now - relay.sent_at)
        self._engine.cache.clamp(message)
        known = Known(message, upstream.name, *self._engine.cache.lasts(message))
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
                self._engine.asks.clear()
        return known

    def _decide(self, relay: Waiter, message: Message, cut: bool, now: float) -> None:
        """Hand a reply over to a lookup."""
        attempt = self._escalate(relay, now)
        flight = attempt.lookup
        self._engine.carry_on(flight, flight.on_reply(attempt, message, cut, now), now)

    def on_relay_due(self, relay: Waiter) -> None:
        """A relay is late: from here on a lookup decides."""
        now = self._engine.now()
        flight = self._escalate(relay, now).lookup
        self._engine.carry_on(flight, flight.on_timer(now), now)

    def hand_over(self, relay: Waiter) -> None:
        """Let a lookup decide from here on, by the routes and the cache there are now."""
        now = self._engine.now()
        self._engine.carry_on(self._escalate(relay, now).lookup, [], now)

    def on_relay_failed(self, relay: Waiter, reason: str, *, refused: bool) -> None:
        """A relay's upstream is not there: from here on a lookup decides."""
        self._engine.on_failure(self._escalate(relay, self._engine.now()), reason, refused=refused)

    def on_drained(self, sample: Waiter, relayed: int, now: float) -> None:
        """Count relays answered in one go; they are one sign of life, one round-trip time."""
        self._engine.health.good(sample.upstream, now, now - sample.sent_at)
        counters = self._engine.counters
        counters.forwarded += relayed
        counters.upstream += relayed
        sample.upstream.sent += relayed
        self._engine.budgets[sample.upstream.is_agent].earn(relayed)

    def _escalate(self, relay: Waiter, now: float) -> Attempt:
        self._engine.counters.forwarded += 1
        self._engine.counters.upstream += 1
        ask = relay.ask
        first = relay.upstream
        first.sent += 1
        plan = (first, *(one for one in ask.route.plan() if one is not first))
        flight = self._engine.flight(ask, ask.route, plan, relay.all(), relay.sent_at)
        attempt: Attempt = flight.adopt(relay.sent_at)
        self._engine.enter(flight, now)
        channel = self._engine.channels.direct(first)
        if channel is not None:
            channel.adopt(relay.ident, attempt)
        # From here on it is the lookup's to answer.
        relay.ident = b""
        return attempt
