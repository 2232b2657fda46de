"""Asks upstreams that are not up, until they are, and tells the log what changes."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator

from consulfwd.core.ask import Ask
from consulfwd.core.health import DRAINED, UNDRAINED, Health, jitter
from consulfwd.core.loop_test import places
from consulfwd.core.order import note_pace
from consulfwd.core.probe import Probe
from consulfwd.core.routes import Kind, Route
from consulfwd.core.states import Event, State
from consulfwd.core.telling import WINDOW, History, Telling, kind
from consulfwd.core.timeline import Changed, Timeline
from consulfwd.core.upstreams import Upstream
from consulfwd.dns import const
from consulfwd.dns.wire import Query
from consulfwd.net.table import Run, Table

log = logging.getLogger("consulfwd.resolver")

ROOT_SERVERS = b"\0\0\x02\0\x01"
# For so long (seconds) after somebody looked whoever is up, and was not heard for so long, is asked
# how it is: one in reserve is asked nothing else, and would be shown as it was before it fell.
LOOKED_AT, AGENT_UNHEARD, RECURSOR_UNHEARD = 3.0, 0.9, 10.0


class Prober:
    """Probes by `run`; an agent is asked `question`, a recursor the root.

    It works while `running`; `on_news` is told of whoever may be another server now, `on_change`
    of each change of health.
    """

    def __init__(self, table: Table, run: Run, rng: random.Random, question: bytes) -> None:
        self.running = False
        self.on_news: Callable[[Upstream], None] = lambda upstream: None
        self.on_change: Callable[[Upstream, State], None] = lambda upstream, state: None
        self._table = table
        self._clock = table.clock
        self._run = run
        self._rng = rng
        self._asks: dict[bool, Ask] = {}
        self._probed: set[Upstream] = set()
        self._tellings: dict[Upstream, Telling] = {}
        self._looked_at = -LOOKED_AT
        self.history = History()
        self.timeline = Timeline()
        self.use(question)

    def use(self, question: bytes) -> None:
        """Ask agents this question from now on, and know the upstreams of the routes."""
        self._question = question
        self._asks.clear()
        self.history.use(self._table.routes.groups, self._clock.now())

    def look(self, now: float) -> None:
        """Log the changes of health since the last call, and look after who is not well."""
        health = self._table.health
        if health.changes:
            self._tell_changes(health, now)
        if health.wanted:
            wanted, health.wanted = health.wanted, []
            for upstream in wanted:
                self.probe(upstream)

    def _tell_changes(self, health: Health, now: float) -> None:
        if any(new is State.UP and old is not new for _, old, new, _ in health.changes):
            # Whoever comes back may limp.
            self.note_pace()
        changes, health.changes = health.changes, []
        for upstream, old, new, why in changes:
            self._tell(upstream, old, new, why, now)
            self.on_change(upstream, new)
            if new is not old and (new is State.UP or new is State.SUSPECT):
                # Another server may answer there now, or what is asked there goes in circles.
                self.on_news(upstream)
            if new is not State.UP and upstream not in self._probed and not upstream.looped:
                self._probed.add(upstream)
                self._table.loop.call_later(
                    max(upstream.probe_at - now, 0.01), self._probe_again, upstream
                )

    def note_pace(self) -> None:
        """Note who limps, and who does not any more."""
        note_pace(self._table.routes.measured, self._table.health)

    def measure(self, now: float) -> None:
        """Probe those whose pace or health is in question or looked at; called each second."""
        routes = self._table.routes
        due = {one for group in routes.measured for one in group.to_measure(now)}
        due.update(one for one in self._table.health.in_doubt() if routes.knows(one))
        if self.is_looked_at:
            due.update(self._unheard(now))
        for upstream in due:
            self.probe(upstream)
        for upstream in self._table.health.second(now):
            if routes.knows(upstream):
                self.probe(upstream, edns=True)

    def looked_at(self) -> None:
        """Take note that somebody looks at how servers are."""
        self._looked_at = self._clock.now()

    @property
    def is_looked_at(self) -> bool:
        """Return whether somebody did a moment ago."""
        return self._clock.now() - self._looked_at < LOOKED_AT

    def _unheard(self, now: float) -> Iterator[Upstream]:
        for one in self._table.routes.shown:
            well = one.state is State.UP and not one.drained and not one.looped
            longest = AGENT_UNHEARD if one.is_agent else RECURSOR_UNHEARD
            if well and now - one.last_reply >= longest:
                yield one

    def _tell(self, upstream: Upstream, old: State, new: State, why: str, now: float) -> None:
        telling = self._tellings.setdefault(upstream, Telling())
        named = kind(upstream), upstream.name
        then = self.history.succession(upstream, new)
        was = self.history.was(upstream, old, new, now) if old is not new else ""
        loops = why == Event.LOOPED.value
        if loops:
            where = places(upstream, self._table.routes)
            why = f"take it out of {where}, or have it ask another server"
        why = f"{why}; {then}" if then else why
        wall = self._clock.wall()
        self.timeline.add(Changed(wall, upstream.name, named[0], old.value, new.value, why))
        if telling.tell(now):
            if loops:
                log.error("%s %s leads back to this server and is asked no more: %s", *named, why)
            elif old is not new:
                level = logging.INFO if new in (State.UP, State.PROBING) else logging.WARNING
                log.log(level, "%s %s is %s, was %s: %s", *named, new.value, was, why)
            elif why.startswith((DRAINED, UNDRAINED)):
                log.info("%s %s is %s", *named, why)
            elif upstream.behind:
                log.warning("%s %s is ranked behind the others: %s", *named, why)
            else:
                log.info("%s %s is back in its place: %s", *named, why)
        elif telling.waits:
            self._table.loop.call_later(max(telling.ends_at - now, 0), self._tell_held, upstream)

    def _tell_held(self, upstream: Upstream) -> None:
        telling = self._tellings[upstream]
        held = telling.held(self._clock.now())
        if not self._table.routes.knows(upstream):
            del self._tellings[upstream]
        elif self.running:
            text = "%s %s is %s: it comes and goes, %d more changes in the last %d s"
            named = kind(upstream), upstream.name, upstream.state.value
            log.warning(text, *named, held, WINDOW)

    def _probe_again(self, upstream: Upstream) -> None:
        gone = not self._table.routes.knows(upstream)
        if upstream.state is State.UP or upstream.looped or not self.running or gone:
            self._probed.discard(upstream)
            return
        now = self._clock.now()
        due = self._table.health.probe_due([upstream], now)
        try:
            if due:
                plain = self._table.health.in_doubt_of_edns(upstream, now)
                # Every other time: most who are silent are not there.
                plain = plain and upstream.sent % 2 == 1
                self.probe(upstream, edns=False if plain else None)
        finally:
            pause = max(upstream.probe_at - now, 0.01)
            pause = jitter(pause, self._rng)
            self._table.loop.call_later(pause, self._probe_again, upstream)

    def probe(self, upstream: Upstream, *, edns: bool | None = None) -> None:
        """Ask an upstream a question to learn its health; `edns` says so of it (`Probe.start`)."""
        now = self._clock.now()
        probe = Probe(
            (upstream,),
            self._table.health,
            self._table.budgets[upstream.is_agent],
            now=now,
            deadline=now + self._table.deadline,
        )
        probe.ask = self._ask(upstream)
        self._run(probe, probe.start(now, edns=edns), now)

    def _ask(self, upstream: Upstream) -> Ask:
        """Return what an upstream is probed with."""
        ask = self._asks.get(upstream.is_agent)
        if ask is None:
            question = self._question if upstream.is_agent else ROOT_SERVERS
            query = Query(const.RD, question, question[:-4], question[-3], const.IN, None)
            route = Route(b"\0", Kind.RECURSE)
            ask = self._asks[upstream.is_agent] = Ask(query, route)
        return ask
