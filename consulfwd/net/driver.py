"""Carries out what lookups want, and hands them what comes back: it decides nothing.

Queries go out by the channels, replies and failures come in from them, timers wake; each is passed
to its lookup, and what that wants sent is sent. What a reply decides is `core.query`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from consulfwd.core.aliases import leads_on
from consulfwd.core.ask import Ask
from consulfwd.core.attempts import Attempt, Attempts
from consulfwd.core.probe import Probe
from consulfwd.core.upstreams import NO_INTERFACE
from consulfwd.dns.message import read_reply
from consulfwd.errors import WireError
from consulfwd.net.channel import OTHER_ID, OUR_SHORTAGE
from consulfwd.net.channels import Channels
from consulfwd.net.clock import Clock
from consulfwd.net.fastlane import fast
from consulfwd.net.flight import Flight
from consulfwd.net.table import Lane, Table
from consulfwd.net.timers import Timers
from consulfwd.net.trailing import Trailing
from consulfwd.net.waiter import Waiter

# Why a query cannot be sent that leaves no doubt.
NOBODY_THERE = {"connection refused", NO_INTERFACE}


class RelayFailed(Protocol):
    """Takes over a relay whose upstream is not there."""

    def __call__(self, relay: Waiter, reason: str, *, refused: bool) -> None:
        """Take it over."""


class Driver:
    """The owner of the channels (`channel.Owner`), and the table's carrier (`table.Carrier`).

    `on_health` is called when an upstream's health has changed, or is to be looked into; what
    becomes of relays is told to whom the other `on_` attributes are set to. `passing` is the
    compiled lane, where there is one.
    """

    on_relayed: Callable[[Waiter, bytes, float], bool]
    on_relay_due: Callable[[Waiter], None]
    on_relay_failed: RelayFailed
    on_relay_stray: Callable[[Waiter, str], None]
    on_relay_gave_way: Callable[[Waiter], None]
    on_drained: Callable[[Waiter, int, float], None]
    on_health: Callable[[float], None]

    def __init__(self, table: Table, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self.clock = clock
        self.batching = False
        self.passing: object | None = None
        self.channels = Channels(loop, self)
        self._table = table
        self._health = table.health
        self._counters = table.counters
        self._timers = Timers(loop, lambda: clock.now(), self._wake)
        self._flushes: list[Callable[[], None]] = []
        self.note_trailing = Trailing(table.counters).note

    def passer(self, listener: object) -> object | None:
        """Return what passes on a listener's queries without Python, if anything."""
        if fast is None or self.passing is None:
            return None
        made: object = fast.Passer(self.passing, listener)
        return made

    def close(self) -> None:
        """Keep no time, and let go of every socket."""
        self._timers.cancel()
        self.channels.close()

    def on_flush(self, flush: Callable[[], None]) -> None:
        """Register what sends the replies collected during a batch."""
        self._flushes.append(flush)

    def forget(self, flush: Callable[[], None]) -> None:
        """Take back what was registered with `on_flush`."""
        if flush in self._flushes:
            self._flushes.remove(flush)

    def flush(self) -> None:
        """Send the queries and replies collected during a batch."""
        self.channels.flush()
        for flush in self._flushes:
            flush()

    # -- what lookups want --------------------------------------------------------------------

    def run(self, lookup: Attempts, attempts: Iterable[Attempt], now: float) -> None:
        """Send what the lookup wants sent, arm its timer, end it when it has its outcome."""
        assert isinstance(lookup, (Flight, Probe))
        for attempt in attempts:
            failure = self._send(lookup, attempt)
            if failure is not None:
                refused = failure in NOBODY_THERE
                ours = failure in OUR_SHORTAGE
                more = lookup.on_failure(attempt, failure, now, refused=refused, ours=ours)
                self.run(lookup, more, now)
        if lookup.outcome is not None:
            if isinstance(lookup, Flight):
                self._table.end(lookup, lookup.outcome, now)
        elif not isinstance(lookup, Flight) or lookup.armed != lookup.wake_at:
            if isinstance(lookup, Flight):
                lookup.armed = lookup.wake_at
            self._timers.add(lookup)
        if self._health.changes or self._health.wanted:
            self.on_health(now)

    def _send(self, lookup: Flight | Probe, attempt: Attempt) -> str | None:
        self._counters.upstream += 1
        attempt.upstream.sent += 1
        ask = lookup.ask
        stream = attempt.stream
        tail = ask.plain() if attempt.plain else ask.tail(attempt.upstream, stream=stream)
        return self.channels.send(attempt, tail)

    def lane(self, ask: Ask) -> Lane | None:
        """Return how to relay this question now, noted if it holds until health changes."""
        groups = ask.route.groups
        if not groups or ask.led is not None:
            return None
        group = groups[0]
        upstream = group.first()
        if upstream is None or not upstream.up or upstream.drained:
            return None
        if not upstream.is_agent and any(one.lame for one in group.members):
            # What it denies that one may know.
            return None
        channel = self.channels.direct(upstream)
        if channel is None:
            return None
        tail = ask.plain() if upstream.plain else ask.tail(upstream)
        lane = (self._health.version, upstream, channel.relay, tail, channel.way)
        if group.policy == "ordered":
            ask.lane = lane
        if upstream.changed_at:
            # What it says first is to be held against what is known.
            ask.kept_until = 0.0
        return lane

    def adopt(self, ident: bytes, attempt: Attempt) -> None:
        """Let an attempt have the reply to the relay that was sent with this ID."""
        channel = self.channels.direct(attempt.upstream)
        if channel is not None:
            channel.adopt(ident, attempt)

    def reopen(self, ident: bytes, attempt: Attempt) -> None:
        """Let an attempt wait on for the reply to a relay; what came for that was none."""
        channel = self.channels.direct(attempt.upstream)
        if channel is not None:
            channel.reopen(ident, attempt)

    def disown(self, relay: Waiter) -> None:
        """Take no reply to a relay any more: it has had its answer."""
        channel = self.channels.direct(relay.upstream)
        if channel is not None and getattr(relay, "ident", None) is not None:
            channel.forget(relay)

    # -- what channels report -----------------------------------------------------------------

    def on_reply(self, attempt: Attempt, data: bytes) -> bool:
        """Take a reply with the right ID; False when it does not answer what was asked."""
        try:
            return self._on_reply(attempt, data)
        except Exception as error:
            self._table.break_off(attempt.lookup, error)
            return True

    def on_broken(self, item: Attempt | Waiter, error: Exception) -> None:
        """Take an error of ours that came between an attempt or a relay and its reply."""
        if isinstance(item, Attempt):
            self._table.break_off(item.lookup, error)
        else:
            self._table.withdraw(item, error)

    def _on_reply(self, attempt: Attempt, data: bytes) -> bool:
        flight = attempt.lookup
        assert isinstance(flight, (Flight, Probe))
        ask = flight.ask
        try:
            message = read_reply(data, ask.question)
        except WireError:
            self._counters.false_replies += 1
            return False
        now = self.clock.now()
        if now >= self._table.warmth.good_until:
            self._table.warmth.overdue()
        if message.behind:
            self.note_trailing(attempt.upstream, message.behind, now)
        if attempt.result:
            return True
        cut = not attempt.stream and ask.cut(attempt.upstream, message)
        late = isinstance(flight, Flight) and flight.outdone_by(attempt, message)
        self.run(flight, flight.on_reply(attempt, message, cut, now), now)
        if late and isinstance(flight, Flight) and not leads_on(ask, message, self._table.routes):
            self._table.answers.keep_late(flight, attempt, message, cut, now)
        return True

    def on_failure(
        self, attempt: Attempt, reason: str, *, refused: bool, sign: bool = True
    ) -> None:
        """Take the end of an attempt without a reply; is it a `sign` of its upstream's health?"""
        if attempt.result:
            return
        try:
            now = self.clock.now()
            more = attempt.lookup.on_failure(
                attempt, reason, now, refused=refused and sign, ours=not sign
            )
            self.run(attempt.lookup, more, now)
        except Exception as error:
            self._table.break_off(attempt.lookup, error)

    def on_stray(self, attempt: Attempt, reason: str) -> None:
        """Take note of a reply that is not the attempt's; the true one may still come."""
        if reason == OTHER_ID:
            self._counters.stray_replies += 1
        waited = not attempt.result
        try:
            now = self.clock.now()
            self.run(attempt.lookup, attempt.lookup.on_stray(attempt, reason, now), now)
        except Exception as error:
            self._table.break_off(attempt.lookup, error)
        if waited and attempt.result:
            self._counters.evaded += 1

    def on_unasked(self, count: int) -> None:
        """Count replies with IDs nobody waits for: late ones, or somebody else's."""
        self._counters.stray_replies += count

    def on_gave_way(self, attempt: Attempt) -> None:
        """Take the end of an attempt whose socket was needed for newer ones."""
        if attempt.result:
            return
        try:
            now = self.clock.now()
            self.run(attempt.lookup, attempt.lookup.give_way(attempt, now), now)
        except Exception as error:
            self._table.break_off(attempt.lookup, error)

    def _wake(self, flight: Attempts, now: float) -> None:
        if isinstance(flight, Flight):
            flight.armed = 0.0
        try:
            self.run(flight, flight.on_timer(now), now)
        except Exception as error:
            self._table.break_off(flight, error)
