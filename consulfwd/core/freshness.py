"""Which answers may be reused past their TTL, because a live watch would tell of a change.

An answer may be while the watch of its subject was armed, and had seen no change for `settle`
seconds, before the answer was asked for; while what the watch saw does not contradict it; and
while the agent that carries the watch has proved within `LIFE` that it hears of changes. Must
not know HTTP, sockets or clocks: `consul.watch` does what `commands` says and reports back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consulfwd.core.carriers import Carriers, WatchLimits
from consulfwd.core.departures import Departed, Departures
from consulfwd.core.interest import BETTER, REST, Interest, Seen
from consulfwd.core.proofs import LIFE
from consulfwd.core.settling import Instance, Settling, Sure, settling
from consulfwd.core.subjects import NODE, Subject
from consulfwd.core.watches import (
    REUSE,
    REUSE_NEGATIVE,
    REUSE_NODE,
    REUSE_UNSURE,
    Command,
    Watch,
)
from consulfwd.core.worth import Worth

# So long (seconds) after an answer was asked for, proofs are of use: for as long as it is reused,
# and a little longer, so that names in use find them when they are asked for again.
PROVE_FOR = 1.5 * REUSE
# A watch nobody has needed for so long ends.
IDLE = 300.0
# Watches of what does not exist are at most this share of all: made-up names are cheap.
NEGATIVE_SHARE = 4
# Between two looks (seconds) for one that is to make room: there may be a thousand.
LOOK_AGAIN = 0.05


class Freshness:
    """Admits subjects, places their watches, and says how long an answer may be reused.

    Methods that end the reuse of answers return the keys of the questions to drop. `commands`
    is emptied by the shell.
    """

    def __init__(self, rules: WatchLimits) -> None:
        self.rules = rules
        self.watches: dict[Subject, Watch] = {}
        self.commands: list[Command] = []
        self.carriers = Carriers(rules)
        self.settling: dict[Subject, Settling] = {}
        self.departures = Departures()
        self.worth = Worth()
        self.invalidations = 0
        self._seen = Seen()
        self._looked_at = float("-inf")

    def use(self, agents: Mapping[str, bool], now: float) -> list[bytes]:
        """Take note of the agents there are, and which are off this host.

        Watches at others move, or end.
        """
        dropped: list[bytes] = []
        for name in self.carriers.use(agents):
            for watch in sorted(self._at(name), key=lambda one: one.rate(now), reverse=True):
                dropped += self.failed(watch.subject, name, now)
        return dropped

    # -- what is asked ------------------------------------------------------------------------

    def asked(
        self, subject: Subject, candidates: Sequence[str], now: float, *, positive: bool
    ) -> list[bytes]:
        """Note that an answer was asked for; whoever is asked again is watched if there is room.

        Room is made by the watch that helps least, if this one would help more.
        """
        watch = self.watches.get(subject)
        self.worth.asked(now)
        if self.worth.it_is:
            self.carriers.proofs.want_barred(now + PROVE_FOR, now)
        if watch is not None:
            watch.asked_at = now
            watch.interest.seen(now)
            self._want(watch.carrier, now, now)
            if positive:
                watch.negative = False
            return []
        interest = self._seen.asked(subject, now)
        if interest is None or not self.carriers.able(candidates):
            return []
        dropped: list[bytes] = []
        rivals = self._rivals(candidates, not positive)
        if rivals is not None:
            weakest = self._weakest(rivals, interest, now)
            if weakest is None:
                return []
            dropped = self._end(weakest)
            self._seen.keep(weakest.subject, weakest.interest)
        carrier = self.carriers.place(candidates)
        assert carrier is not None
        del self._seen.interests[subject]
        self.watches[subject] = Watch(subject, carrier, candidates, interest, now, not positive)
        self._want(carrier, now, now)
        self._place(subject, carrier)
        return dropped

    def _want(self, carrier: str, asked_at: float, now: float) -> None:
        """Have an agent prove that it hears of changes, as an answer was asked for; if it pays."""
        if self.worth.it_is:
            self.carriers.proofs.want(carrier, asked_at + PROVE_FOR, now)

    def _rivals(self, candidates: Sequence[str], negative: bool) -> list[Watch] | None:
        """Return the watches of which one would have to make room for another, None for none.

        One of what does not exist takes the place of its like only: those are cheap to make up.
        """
        watches = list(self.watches.values())
        full = len(watches) >= self.rules.max
        if negative:
            watches = [one for one in watches if one.negative]
            full = full or len(watches) >= max(self.rules.max // NEGATIVE_SHARE, 1)
        if self.carriers.place(candidates) is None:
            able = self.carriers.able(candidates)
            return [one for one in watches if one.carrier in able]
        return watches if full else None

    def _weakest(self, rivals: Sequence[Watch], interest: Interest, now: float) -> Watch | None:
        """Return the one that helps least, if that is less than half of what another would."""
        if not rivals or now - self._looked_at < LOOK_AGAIN:
            return None
        self._looked_at = now
        weakest = min(rivals, key=lambda one: one.rate(now))
        return weakest if interest.rate(now) > BETTER * weakest.rate(now) else None

    # -- what may be reused -------------------------------------------------------------------

    def stored(
        self,
        subject: Subject,
        key: bytes,
        *,
        positive: bool,
        sent_at: float,
        now: float,
        source: str = "",
        denied: bool = False,
        tag: str = "",
        qtype: int = 0,
        records: int = 0,
        outdated: bool = False,
    ) -> float | None:
        """Return for how many seconds the answer to `key` may be reused, None for by its TTL.

        `sent_at` is when it was asked for; `source` the agent that gave it, where it is one;
        `denied` says that the name does not exist; with a `tag` a part of the instances is asked
        for. An answer to `qtype` with fewer `records` than there are to be had is one of many that
        differ on purpose (Consul's `a_record_limit`): it counts by its TTL. It hangs on the watch
        until it is dropped. While a change settles it is not to be reused at all: whoever gave it
        may not know of that yet; nor is one that is `outdated`, as it has an instance that left.
        """
        watch = self.watches.get(subject)
        if watch is None:
            return None
        held = watch.holds(key, now, denied=denied)
        if outdated:
            return 0.0
        if not held or not watch.armed:
            return None
        if sent_at < watch.changed_at + self.rules.settle:
            return 0.0
        if not self._live(watch, now) or not self._knew(watch, source, sent_at, now):
            return None
        contradicted = denied and not tag if watch.healthy else positive
        if contradicted:
            # By what the watch sees: one of both may lack the right to see, or its catalog.
            return None
        if positive and records < watch.least(qtype, tag):
            return None
        if denied or not watch.size:
            return watch.reused(key, now, REUSE_NEGATIVE)
        if subject.kind == NODE:
            return watch.reused(key, now, REUSE_NODE)
        return watch.reused(key, now, REUSE if watch.sure else REUSE_UNSURE)

    def _live(self, watch: Watch, now: float) -> bool:
        return watch.armed and self.carriers.proofs.live(watch.carrier, now)

    def _knew(self, watch: Watch, source: str, sent_at: float, now: float) -> bool:
        """Return whether who gave an answer knew by then what the watch has seen.

        Cut off from the leader, another agent than the carrier may not know it for long.
        """
        if source in ("", watch.carrier):
            return True
        proofs = self.carriers.proofs
        self._want(source, now, now)
        if self.worth.it_is and proofs.at.get(source, now) < watch.changed_at:
            proofs.hurry(source)
        return proofs.past(source, watch.changed_at, sent_at, now)

    # -- what the shell reports ---------------------------------------------------------------

    def armed(
        self,
        subject: Subject,
        carrier: str,
        now: float,
        *,
        size: int,
        healthy: int,
        instances: frozenset[Instance] | None = None,
        shown: frozenset[Instance] | None = None,
        sure: bool = True,
    ) -> list[bytes]:
        """Note the first state a watch sees of its subject: from here on it tells of changes.

        Not `sure` is one that may lose the right to see without a word.
        """
        watch = self.watches.get(subject)
        if watch is None or watch.carrier != carrier:
            return []
        if shown is None:
            self.departures.forget(subject)
        else:
            before = shown if watch.shown is None else watch.shown
            self.departures.note(subject, before, shown, now, corrects=instances is not None)
        watch.armed = True
        watch.changed_at = now
        watch.size = size
        watch.healthy = healthy
        watch.instances = instances
        watch.shows(shown)
        watch.sure = sure
        if size:
            watch.negative = False
        return watch.drop()

    def changed(
        self,
        subject: Subject,
        carrier: str,
        now: float,
        *,
        size: int,
        healthy: int,
        instances: frozenset[Instance] | None = None,
        shown: frozenset[Instance] | None = None,
        sure: bool = True,
    ) -> list[bytes]:
        """Note that a watched subject changed: its answers are to be asked for again.

        Where all healthy instances are told, before and now, agents' answers are corrected by
        them until the change has settled.
        """
        watch = self.watches.get(subject)
        if watch is not None and watch.carrier == carrier:
            watch.changes += 1
            if instances is None:
                # Those that left may be back among so many.
                self.settling.pop(subject, None)
            elif watch.instances is not None:
                until = now + self.rules.settle
                self.settling[subject] = settling(
                    self.settles(subject, now), watch.instances, instances, until
                )
        dropped = self.armed(
            subject,
            carrier,
            now,
            size=size,
            healthy=healthy,
            instances=instances,
            shown=shown,
            sure=sure,
        )
        self.invalidations += len(dropped)
        return dropped

    def settles(self, subject: Subject, now: float) -> Settling | None:
        """Return the change of a subject that may not be known everywhere yet."""
        change = self.settling.get(subject)
        if change is not None and now >= change.until:
            del self.settling[subject]
            return None
        return change

    def departed(self, subject: Subject, now: float) -> Departed | None:
        """Return who has left a subject lately, as far as its watch knows.

        While that moves, others may have come unseen. Where no instance is seen at all, it may be
        that the token sees none any more (Consul 1.8 does not say so).
        """
        watch = self.watches.get(subject)
        found = self.departures.of(subject, now) if watch is not None else None
        if watch is None or found is None:
            return None
        by = watch.carrier if watch.armed and watch.size else ""
        return found._replace(by=by, known_until=watch.changed_at + LIFE)

    def sure(self, departed: Departed, now: float) -> Sure | None:
        """Return what is known of who is there instead, None if not even who left is any more."""
        if self.carriers.proofs.live(departed.by, now):
            return Sure.ALL
        if now < departed.known_until:
            return Sure.LEFT
        return Sure.GONE if departed.by else None

    def doubted(self, subject: Subject, carrier: str, now: float) -> list[bytes]:
        """Note that a watch saw what may not be so: nothing is known until it says `armed`."""
        watch = self.watches.get(subject)
        if watch is None or watch.carrier != carrier:
            return []
        watch.armed = False
        watch.changed_at = now
        # Who left may come back before it is looked again.
        self.departures.forget(subject)
        return watch.drop()

    def denies(self, subject: Subject, now: float) -> bool:
        """Return whether a live watch knows that there is no healthy instance (any more)."""
        watch = self.watches.get(subject)
        return watch is not None and not watch.healthy and self._live(watch, now)

    def proved(self, carrier: str, at: float, now: float) -> None:
        """Note, at `now`, that an agent heard of every change up to `at`."""
        self.carriers.proofs.proved(carrier, at, now)

    def lost(self, carrier: str, now: float) -> list[bytes]:
        """Note that an agent can carry nothing until it is `proved` again: its watches move."""
        self.carriers.proofs.bar(carrier)
        dropped: list[bytes] = []
        # Elsewhere there may not be room for all of them.
        for watch in sorted(self._at(carrier), key=lambda one: one.rate(now), reverse=True):
            dropped += self.failed(watch.subject, carrier, now)
        return dropped

    def crowded(self, carrier: str, now: float) -> list[bytes]:
        """Note that an agent takes no more connections of this host: half of its watches move.

        Others on the host need connections too. Those that hold none yet go first, then those that
        help least.
        """
        watches = sorted(self._at(carrier), key=lambda one: (one.armed, one.rate(now)))
        held = sum(one.armed for one in watches)
        dropped: list[bytes] = []
        for watch in watches[: self.carriers.crowd(carrier, held, now)]:
            dropped += self.failed(watch.subject, carrier, now)
        return dropped

    def _at(self, carrier: str) -> list[Watch]:
        return [one for one in self.watches.values() if one.carrier == carrier]

    def failed(self, subject: Subject, carrier: str, now: float) -> list[bytes]:
        """Note that one watch broke: it moves to another agent, or ends where there is none.

        Where it failed lately it does not go back to: agents that all refuse it would be asked
        in circles.
        """
        watch = self.watches.get(subject)
        if watch is None or watch.carrier != carrier:
            return []
        dropped = watch.drop()
        watch.armed = False
        self.carriers.remove(carrier)
        if now - watch.placed_at >= REST:
            watch.tried.clear()
        watch.tried.add(carrier)
        other = self.carriers.place([one for one in watch.candidates if one not in watch.tried])
        if other is None:
            del self.watches[subject]
            self.departures.forget(subject)
            self.commands.append(Command(subject, None))
            # How often it is asked for is remembered for when there is room again.
            self._seen.keep(subject, watch.interest)
            self._seen.rest(subject, now)
        else:
            watch.carrier = other
            watch.placed_at = watch.changed_at = now
            if now - watch.asked_at < PROVE_FOR:
                self._want(other, watch.asked_at, now)
            self._place(subject, other, apart=self.carriers.is_far(other))
        return dropped

    def began(self, subject: Subject, carrier: str, now: float) -> None:
        """Note that a watch that was to begin apart from others begins."""
        watch = self.watches.get(subject)
        if watch is not None and watch.carrier == carrier:
            watch.placed_at = now

    def expired(self, now: float) -> list[str]:
        """Return the agents whose last proof has become too old: they are `lost`."""
        return self.carriers.proofs.expired(now)

    def ends_at(self) -> float:
        """Return when the next proof becomes too old, infinity without any."""
        return self.carriers.proofs.ends_at()

    def age(self, seconds: float) -> None:
        """Take what is known for so much older: whose proofs are too old by that has `expired`."""
        self.carriers.proofs.age(seconds)
        # What changed then is known everywhere by now, or has changed again.
        self.settling.clear()
        self.departures.all.clear()

    def idle(self, now: float) -> list[bytes]:
        """End the watches nobody has needed for long, and forget what has settled."""
        dropped: list[bytes] = []
        self.carriers.relax(now)
        for subject in list(self.settling):
            self.settles(subject, now)
        self.departures.tidy(now)
        for watch in [one for one in self.watches.values() if now - one.asked_at >= IDLE]:
            dropped += self._end(watch)
        return dropped

    def clear(self) -> list[bytes]:
        """End every watch."""
        dropped: list[bytes] = []
        for watch in list(self.watches.values()):
            dropped += self._end(watch)
        self.carriers.proofs.clear()
        return dropped

    @property
    def barred(self) -> set[str]:
        """The agents that can carry nothing for now."""
        return self.carriers.proofs.barred

    @property
    def proofs(self) -> dict[str, float]:
        """Until when each of the others heard of every change."""
        return self.carriers.proofs.at

    @property
    def due(self) -> bool:
        """Whether there is something for the shell to do."""
        return bool(self.commands or self.carriers.proofs.begin)

    def carried(self) -> set[str]:
        """Return the agents that carry watches."""
        return set(self.carriers.load)

    def _place(self, subject: Subject, carrier: str, *, apart: bool = False) -> None:
        self.carriers.add(carrier)
        self.commands.append(Command(subject, carrier, apart))

    def _end(self, watch: Watch) -> list[bytes]:
        del self.watches[watch.subject]
        self.departures.forget(watch.subject)
        self.carriers.remove(watch.carrier)
        self.commands.append(Command(watch.subject, None))
        return watch.drop()
