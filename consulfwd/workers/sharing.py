"""What watches tell, for several processes: one place decides (`Shared`), all others are told.

What belongs here: the head's end, and the workers' (`Mirror`). A worker keeps an answer by its TTL
alone until the head has judged it; it reuses nothing that the head's proofs do not hold good, and
sees by its own clock, which is the host's, when these have become too old: a head that hangs or is
gone makes answers short-lived, never old. Messages come in order: what was granted before a change
is dropped by it.

| from a worker | `fetched`: an answer came |
|---|---|
| to it | `granted`, `watch`, `drop`, `proved`, `lost`, `agents` |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from consulfwd.core.ask import Ask
from consulfwd.core.cache import Entry
from consulfwd.core.carriers import WatchLimits
from consulfwd.core.departures import Departed
from consulfwd.core.freshness import PROVE_FOR, Freshness
from consulfwd.core.interest import Interest
from consulfwd.core.proofs import LIFE
from consulfwd.core.settling import Settling
from consulfwd.core.subjects import Subject
from consulfwd.core.watches import Watch
from consulfwd.net.resolver import Engine
from consulfwd.net.reuse import Fetched, Reuse

Tell = Callable[[tuple[Any, ...]], None]


class WatchState(NamedTuple):
    """What a worker knows of a watch."""

    subject: Subject
    carrier: str
    armed: bool
    size: int
    healthy: int
    changes: int


class _Told(Freshness):
    """One that tells of what becomes of each watch."""

    def __init__(self, rules: WatchLimits, tell: Tell) -> None:
        super().__init__(rules)
        self._tell = tell

    def state(self, subject: Subject) -> WatchState | None:
        """Return what workers are to know of a watch, None where there is none."""
        one = self.watches.get(subject)
        if one is None:
            return None
        return WatchState(subject, one.carrier, one.armed, one.size, one.healthy, one.changes)

    def seen(self, subject: Subject, now: float) -> tuple[Any, ...]:
        """Return what workers are to know of a watch, of what settles, and of who has left."""
        change, departed = self.settling.get(subject), self.departed(subject, now)
        return "watch", subject, self.state(subject), change, departed

    def armed(self, subject: Subject, carrier: str, now: float, **seen: Any) -> list[bytes]:
        dropped = super().armed(subject, carrier, now, **seen)
        self._tell(self.seen(subject, now))
        return dropped

    def doubted(self, subject: Subject, carrier: str, now: float) -> list[bytes]:
        dropped = super().doubted(subject, carrier, now)
        self._tell(self.seen(subject, now))
        return dropped

    def failed(self, subject: Subject, carrier: str, now: float) -> list[bytes]:
        dropped = super().failed(subject, carrier, now)
        self._tell(self.seen(subject, now))
        return dropped

    def age(self, seconds: float) -> None:
        super().age(seconds)
        for name, at in self.proofs.items():
            self._tell(("proved", name, at))

    def _end(self, watch: Watch) -> list[bytes]:
        dropped = super()._end(watch)
        self._tell(("watch", watch.subject, None, self.settling.get(watch.subject), None))
        return dropped


class Shared(Reuse):
    """The head's end: `tell` reaches every worker."""

    freshness: _Told

    def __init__(
        self, tell: Tell, rules: WatchLimits, engine: Engine, domains: list[bytes]
    ) -> None:
        cache, clock, warmth, loop = engine.cache, engine.clock, engine.warmth, engine.loop
        super().__init__(cache, clock, warmth, loop, rules, domains, _Told(rules, tell))
        self._tell = tell
        self._there: Mapping[str, bool] = {}

    def count(self, queries: int, now: float) -> None:
        """Do nothing: nobody asks the head, and whoever has workers is asked much."""

    def fetched_elsewhere(self, fetched: Fetched, reply: Tell) -> None:
        """Judge an answer that came to a worker, which `reply` reaches."""
        seconds = self.judge(fetched)
        state = self.freshness.state(fetched.subject)
        reply(("granted", fetched.key, fetched.now, seconds, state))

    def known(self) -> list[tuple[Any, ...]]:
        """Return what a worker is told that begins now."""
        proofs = self.freshness.proofs.items()
        told: list[tuple[Any, ...]] = [("agents", dict(self._there))]
        told += [("proved", name, at) for name, at in proofs]
        told += [
            self.freshness.seen(one, self._clock.now())
            for one in {*self.freshness.settling, *self.freshness.departures.all}
        ]
        return told

    def drop(self, keys: Iterable[bytes], *, changed: bool) -> None:
        keys = list(keys)
        if keys:
            self._tell(("drop", keys, changed))

    def use(self, agents: Mapping[str, bool]) -> None:
        self._there = agents
        self._tell(("agents", dict(agents)))
        super().use(agents)

    def proved(self, carrier: str, at: float) -> None:
        super().proved(carrier, at)
        if carrier in self.freshness.proofs:
            self._tell(("proved", carrier, self.freshness.proofs[carrier]))

    def lost(self, carrier: str) -> None:
        self._tell(("lost", carrier))
        super().lost(carrier)


class _Mirrored(Freshness):
    """What a worker knows of the head's watches; nothing is decided by it."""

    def take(self, state: WatchState, now: float) -> Watch:
        """Know a watch as it is told."""
        one = self.watches.get(state.subject)
        if one is None:
            one = Watch(state.subject, state.carrier, (), Interest(now), now, negative=False)
            self.watches[state.subject] = one
        one.carrier, one.armed = state.carrier, state.armed
        one.size, one.healthy, one.changes = state.size, state.healthy, state.changes
        return one

    def leave(self, subject: Subject) -> list[bytes]:
        """Know a watch no more; return what hung on it."""
        one = self.watches.pop(subject, None)
        return [] if one is None else one.drop()

    def settle(
        self, subject: Subject, change: Settling | None, departed: Departed | None
    ) -> None:
        """Know what settles, and who has left."""
        if change is None:
            self.settling.pop(subject, None)
        else:
            self.settling[subject] = change
        if departed is None:
            self.departures.forget(subject)
        else:
            self.departures.all[subject] = departed

    def departed(self, subject: Subject, now: float) -> Departed | None:
        # By whose proofs it is so the head has told.
        return self.departures.of(subject, now)

    def lost(self, carrier: str, now: float) -> list[bytes]:
        for subject, one in self.departures.all.items():
            if one.by == carrier:
                # What becomes of its watches is still to be told.
                self.departures.all[subject] = one._replace(by="", known_until=now + LIFE)
        return super().lost(carrier, now)

    def failed(self, subject: Subject, carrier: str, now: float) -> list[bytes]:
        return self.leave(subject)

    def idle(self, now: float) -> list[bytes]:
        for subject in list(self.settling):
            self.settles(subject, now)
        self.departures.tidy(now)
        self.commands.clear()
        self.carriers.proofs.begin.clear()
        return []

    def _end(self, watch: Watch) -> list[bytes]:
        return self.leave(watch.subject)


class Mirror(Reuse):
    """A worker's end: `tell` reaches the head."""

    freshness: _Mirrored

    def __init__(
        self, tell: Tell, rules: WatchLimits, engine: Engine, domains: list[bytes]
    ) -> None:
        cache, clock, warmth, loop = engine.cache, engine.clock, engine.warmth, engine.loop
        super().__init__(cache, clock, warmth, loop, rules, domains, _Mirrored(rules))
        self._tell = tell

    def fetched(self, ask: Ask, entry: Entry, sent_at: float, now: float) -> None:
        fetched = self._as_fetched(ask, entry, sent_at, now)
        if fetched is not None:
            # A change may be told before the judgement: what is ready as bytes goes with it.
            entry.until = entry.expires_at
            entry.watched = True
            if fetched.outdated:
                entry.expires_at = now
            self._tell(("fetched", fetched))

    def heard(self, message: tuple[Any, ...]) -> None:
        """Take what the head says."""
        now = self._clock.now()
        match message:
            case ("granted", key, came, seconds, state):
                self._granted(key, came, seconds, state, now)
            case ("watch", subject, state, change, departed):
                self.freshness.settle(subject, change, departed)
                if state is None:
                    self.drop(self.freshness.leave(subject), changed=False)
                elif subject in self.freshness.watches:
                    self.freshness.take(state, now)
            case ("drop", keys, changed):
                self.drop(keys, changed=changed)
            case ("proved", carrier, at):
                self.freshness.carriers.proofs.want(carrier, now + PROVE_FOR, now)
                self.proved(carrier, at)
            case ("lost", carrier):
                self.lost(carrier)
            case ("agents", agents):
                self.use(agents)

    def _granted(
        self, key: bytes, came: float, seconds: float | None, state: WatchState | None, now: float
    ) -> None:
        entry = self._cache.entries.get(key)
        if entry is None or entry.stored_at != came:
            # Another came meanwhile, which is judged by itself.
            return
        hangs = False
        if state is not None and self.freshness.carriers.proofs.live(state.carrier, now):
            hangs = self.freshness.take(state, now).holds(key, now, denied=False)
        if seconds and not hangs:
            # The head's proof has become too old, or is still to come.
            seconds = None
        self.grant(entry, came, seconds, watched=hangs)
        if seconds == 0.0:
            entry.cool()
