"""The usual case: a query passed to the first upstream in order, its reply passed back.

No lookup is made for it. When the reply is late, false, cut, an error, or denies what was known
a moment ago, the query is handed over to one, as if it had been there from the start.
"""

from __future__ import annotations

from consulfwd.core.aliases import leads_on
from consulfwd.core.ask import Ask
from consulfwd.core.attempts import Attempt
from consulfwd.core.instances import Instances, instances
from consulfwd.core.known import Known
from consulfwd.core.upstreams import Upstream
from consulfwd.core.verdict import ANSWERS, lame, left_out
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.wire import HEADER_SIZE
from consulfwd.errors import WireError
from consulfwd.net.channel import FALSE_REPLY
from consulfwd.net.flight import Flight
from consulfwd.net.table import Carrier, Table
from consulfwd.net.waiter import Waiter

# Replies kept to be recognised: of what size, how many per question, how many in all, and how many
# octets they may take. Those known in any order may be of any size, with so many per question.
KNOWN_SIZE, KNOWN_REPLIES, MAX_KNOWN, MAX_OCTETS = 1024, 24, 8192, 16 << 20
KNOWN_ALIKE = 4
# How long (seconds) a kept TTL 0 answer is good enough as what to fall back to.
KEEP_AGAIN = 0.1


class Relays:
    """What becomes of relayed queries (see `channel.Owner`).

    `asks` are the questions made ready, on which replies are kept to be recognised.
    """

    def __init__(self, table: Table, carrier: Carrier, asks: dict[bytes, Ask]) -> None:
        self._table = table
        self._carrier = carrier
        self._asks = asks
        self._known = self._octets = 0

    def on_relayed(self, relay: Waiter, data: bytes, now: float) -> bool:
        """Pass a reply on when there is nothing to decide about it; return whether it was so."""
        ask = relay.ask
        for known in ask.alike:
            if known.is_in(data):
                break
        else:
            found = ask.known.get(data[2:]) if ask.known is not None else None
            if found is None:
                found = _among(ask.instances, data) or self._learn(relay, data, now)
                if found is None:
                    return False
            known = found
        reuse = self._table.reuse
        if reuse is not None and reuse.freshness.settling and reuse.settles(ask, now):
            self._decide(relay, known.as_came(data), False, now)
            return False
        if (now >= ask.kept_until or not known.positive) and not (
            self.keep(relay, known, data, now)
        ):
            return False
        self.pass_back(relay, known, data)
        return True

    def pass_back(self, relay: Waiter, known: Known, data: bytes) -> None:
        """Give those who wait a reply; the question is in flight no longer."""
        ask = relay.ask
        key = ask.key
        table = self._table
        flights = table.flights
        asked = flights.pop(key, None)
        if asked is not relay and asked is not None:
            # After a reload, which forgets what was in flight before it, the key is another's.
            flights[key] = asked
        if relay.others is None:
            relay.relayed(ask, known, data)
        else:
            table.delivery.give(relay.all(), lambda waiter: waiter.relayed(ask, known, data))
        if table.draining is not None:
            table.look_whether_drained()

    def keep(self, relay: Waiter, known: Known, data: bytes, now: float) -> bool:
        """Put a reply into the cache; a doubtful one is handed over to a lookup: False."""
        table = self._table
        ask = relay.ask
        if now >= table.warmth.good_until:
            table.warmth.overdue()
        if relay.sent_at < table.answers.leapt_at:
            # How old it is nobody knows: it is given, and not kept.
            self._decide(relay, known.as_came(data), False, now)
            return False
        reuse = table.reuse
        departures = reuse is not None and reuse.freshness.departures
        if reuse is not None and departures and reuse.corrects(ask, known.message, now):
            self._decide(relay, known.as_came(data), False, now)
            return False
        cache = table.cache
        entry = cache.entries.get(ask.key)
        message = known.message
        upstream = relay.upstream
        if entry is not None and known.positive and not (
            left_out(message, entry.message.answers, upstream, now)
        ):
            cache.refresh(
                ask.key, entry, known.kept, now, upstream.name, known.ttl, known.lasts
            )
        elif upstream.is_agent and table.known_of(ask, entry, now):
            self._decide(relay, known.as_came(data), False, now)
            return False
        else:
            entry = cache.put(ask.key, known.kept, now, upstream.name)
        if reuse is not None and upstream.is_agent:
            reuse.fetched(ask, entry, relay.sent_at, now)
        # What may not be reused is kept for bad times only: there it need not be the very last.
        # Where somebody left just now, each reply is looked at.
        again = known.positive and not known.ttl
        if reuse is not None and departures and again:
            again = reuse.departed(ask, now) is None
        ask.kept_until = now + KEEP_AGAIN if again else 0.0
        return True

    def _learn(self, relay: Waiter, data: bytes, now: float) -> Known | None:
        """Read a reply; one that needs a decision is handed over to a lookup."""
        ask = relay.ask
        upstream = relay.upstream
        try:
            message = read_reply(data, ask.question)
        except WireError:
            self._table.counters.false_replies += 1
            ident = relay.ident
            attempt = self._escalate(relay, now)
            self._carrier.reopen(ident, attempt)
            self._carrier.on_stray(attempt, FALSE_REPLY)
            return None
        if message.behind:
            self._carrier.note_trailing(upstream, message.behind, now)
        if (
            message.rcode not in ANSWERS
            or (not message.answers and not upstream.is_agent and lame(message))
            or ask.cut(upstream, message)
            or (ask.route.then is not None and not message.positive)
            or (message.aliased and leads_on(ask, message, self._table.routes) is not None)
            or self._table.answers.guarding.finds(ask, message)
        ):
            self._decide(relay, message, ask.cut(upstream, message), now)
            return None
        if message.edns is not None and not upstream.knows_edns:
            self._table.health.knows_edns(upstream)
        if ask.datacenter:
            self._table.paces.of(ask.datacenter).measured(now - relay.sent_at)
        self._table.cache.clamp(message)
        begin = HEADER_SIZE + len(ask.question)
        lasts = self._table.cache.lasts(message)
        known = Known(message, upstream.name, *lasts, data, begin)
        if ask.known is None:
            # Only what is asked again is worth remembering: made-up names are not.
            ask.known = {}
        else:
            known = instances(known, data, ask.question) or known
            self._remember(ask, known, data)
        return known

    def _remember(self, ask: Ask, known: Known, data: bytes) -> None:
        """Keep a reply to be recognised, within what all of them may take."""
        if known.size:
            ask.alike = (known, *ask.alike[: KNOWN_ALIKE - 1])
        elif isinstance(known, Instances):
            ask.instances = (known, *ask.instances[: KNOWN_ALIKE - 1])
        elif ask.known is None or known.length > KNOWN_SIZE:
            return
        else:
            if len(ask.known) >= KNOWN_REPLIES:
                ask.known.clear()
            ask.known[data[2:]] = known
        # What has left since is counted, too: that there are fewer does no harm.
        self._known += 1
        self._octets += known.octets
        if self._known > MAX_KNOWN or self._octets > MAX_OCTETS:
            self._known = self._octets = 0
            self._asks.clear()

    def _decide(self, relay: Waiter, message: Message, cut: bool, now: float) -> None:
        """Hand a reply over to a lookup."""
        attempt = self._escalate(relay, now)
        flight = attempt.lookup
        self._carrier.run(flight, flight.on_reply(attempt, message, cut, now), now)

    def on_relay_due(self, relay: Waiter) -> None:
        """A relay is late: from here on a lookup decides."""
        now = self._table.clock.now()
        flight = self._escalate(relay, now).lookup
        self._carrier.run(flight, flight.on_timer(now), now)

    def take_over_from(self, upstream: Upstream) -> None:
        """Let lookups decide from here on about everything that was relayed to a server."""
        now = self._table.clock.now()
        for relay in list(self._table.flights.values()):
            if isinstance(relay, Flight) or relay.upstream is not upstream:
                continue
            # What became of one before it may have taken this one over, too.
            if self._table.flights.get(relay.ask.key) is relay:
                self._carrier.run(self._escalate(relay, now).lookup, [], now)

    def on_relay_failed(self, relay: Waiter, reason: str, *, refused: bool) -> None:
        """A relay's upstream is not there: from here on a lookup decides."""
        attempt = self._escalate(relay, self._table.clock.now())
        self._carrier.on_failure(attempt, reason, refused=refused)

    def on_relay_stray(self, relay: Waiter, reason: str) -> None:
        """Somebody else's reply came in place of a relay's: from here on a lookup decides."""
        attempt = self._escalate(relay, self._table.clock.now())
        self._carrier.on_stray(attempt, reason)

    def on_relay_gave_way(self, relay: Waiter) -> None:
        """A relay had to give way to newer queries: its lookup ends at once."""
        attempt = self._escalate(relay, self._table.clock.now())
        self._carrier.on_gave_way(attempt)

    def on_drained(self, sample: Waiter, relayed: int, now: float) -> None:
        """Count relays answered in one go; they are one sign of life, one round-trip time."""
        near = not sample.ask.datacenter
        self._table.health.good(sample.upstream, now, now - sample.sent_at, measure=near)
        counters = self._table.counters
        counters.forwarded += relayed
        counters.upstream += relayed
        sample.upstream.sent += relayed
        self._table.budgets[sample.upstream.is_agent].earn(relayed)

    def _escalate(self, relay: Waiter, now: float) -> Attempt:
        self._table.counters.forwarded += 1
        self._table.counters.upstream += 1
        ask = relay.ask
        first = relay.upstream
        first.sent += 1
        plan = (first, *(one for one in ask.route.plan() if one is not first))
        flight = self._table.flight(ask, ask.route, plan, relay.all(), relay.sent_at)
        attempt: Attempt = flight.adopt(relay.sent_at)
        self._table.enter(flight, now)
        self._carrier.adopt(relay.ident, attempt)
        # From here on it is the lookup's to answer.
        relay.ident = b""
        return attempt


def _among(known: tuple[Instances, ...], data: bytes) -> Known | None:
    for one in known:
        if one.is_in(data):
            return one
    return None
