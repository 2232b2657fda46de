"""Which answers may be reused past their TTL, because a live watch would tell of a change.

An answer may be while the watch of its subject was armed, and had seen no change for `settle`
seconds, before the answer was asked for; while what the watch saw does not contradict it; and
while the agent that carries the watch has proved within `LIFE` that it hears of changes. Must
not know HTTP, sockets or clocks: `consul.watch` does what `commands` says and reports back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from consulfwd.core.carriers import Carriers, Rules
from consulfwd.core.settling import Instance, Settling, settling
from consulfwd.core.subjects import NODE, Subject

# How long (seconds) an answer is reused at most before it is asked for again, watch or not: what
# a watch cannot see (a token that lost its rights, a fault of an agent) does not last longer.
REUSE, REUSE_NEGATIVE = 10.0, 2.0
# The same where the token may lose the right to see without a word: streaming agents let who waits
# for a service wait on, while they hide from it what changes.
REUSE_UNSURE = 2.0
# The same for a node's own names: Consul 1.8 does not wake who waits for a node that goes away.
REUSE_NODE = 1.0
# So long (seconds) after an answer was asked for, proofs are of use: for as long as it is reused,
# and a little longer, so that names in use find them when they are asked for again.
PROVE_FOR = 1.5 * REUSE
# A name asked twice within so many seconds is worth a watch.
ADMIT_WITHIN = 10.0
# A watch nobody has needed for so long may make room for another, and after longer ends.
SPARE_AFTER, IDLE = 1.5 * REUSE, 300.0
# Watches of what does not exist are at most this share of all: made-up names are cheap.
NEGATIVE_SHARE = 4
# A subject that could be watched at no agent is left alone for so long (seconds).
REST = 5.0
# Names seen once, questions that may hang on one watch, and those of names that do not exist.
MAX_SEEN, MAX_KEYS, MAX_DENIED = 8192, 256, 64


class Command(NamedTuple):
    """What the shell is to do: watch a subject at the agent `carrier`, or stop (None).

    With `apart` not at once, but a while of its own later: a thousand hosts move just now.
    """

    subject: Subject
    carrier: str | None
    apart: bool = False


class Watch:
    """One subject that is watched.

    `candidates` are the agents that could carry it, the best first; `armed` is set once the first
    state is known; `changed_at` is when it was armed or last changed, by the clock; `size` is how
    many instances Consul has of it, `healthy` how many of them it would name; `negative` whether
    nobody ever saw one; `keys` are the questions whose answers hang on it, `denied` those of names
    that do not exist (such as an unknown tag), each with when its answer came; `asked_at` is when
    an answer was last asked for. `instances` are the healthy ones, where the watch tells them.
    `sure` is False where the watch may become blind unseen.
    `tried` are the agents where it failed lately; it is at `carrier` since `placed_at`.
    """

    __slots__ = (
        "armed", "asked_at", "candidates", "carrier", "changed_at", "changes", "denied", "healthy",
        "instances", "keys", "negative", "placed_at", "size", "subject", "sure", "tried",
    )  # fmt: skip

    def __init__(
        self,
        subject: Subject,
        carrier: str,
        candidates: Sequence[str],
        now: float,
        negative: bool,
    ) -> None:
        self.subject = subject
        self.carrier = carrier
        self.candidates = tuple(candidates)
        self.armed = False
        self.placed_at = self.changed_at = self.asked_at = now
        self.tried: set[str] = set()
        self.changes = 0
        self.size = self.healthy = 0
        self.instances: frozenset[Instance] | None = None
        self.negative = negative
        self.sure = True
        self.keys: dict[bytes, float] = {}
        self.denied: dict[bytes, float] = {}

    def holds(self, key: bytes, now: float, *, denied: bool) -> bool:
        """Let a question hang on this watch if there is room; return whether it does."""
        mine, other, most = self.keys, self.denied, MAX_KEYS
        if denied:
            mine, other, most = self.denied, self.keys, MAX_DENIED
        if key not in mine and len(mine) >= most:
            for old in [one for one, at in mine.items() if now - at >= REUSE]:
                del mine[old]
            if len(mine) >= most:
                return False
        other.pop(key, None)
        mine[key] = now
        return True


class Freshness:
    """Admits subjects, places their watches, and says how long an answer may be reused.

    Methods that end the reuse of answers return the keys of the questions to drop. `commands`
    is emptied by the shell.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.watches: dict[Subject, Watch] = {}
        self.commands: list[Command] = []
        self.carriers = Carriers(rules)
        self.settling: dict[Subject, Settling] = {}
        self.invalidations = 0
        self._seen: dict[Subject, float] = {}
        self._resting: dict[Subject, float] = {}

    def use(self, agents: Mapping[str, bool], now: float) -> list[bytes]:
        """Take note of the agents there are, and which are off this host.

        Watches at others move, or end.
        """
        dropped: list[bytes] = []
        for name in self.carriers.use(agents):
            for watch in self._at(name):
                dropped += self.failed(watch.subject, name, now)
        return dropped

    # -- what is asked ------------------------------------------------------------------------

    def asked(
        self, subject: Subject, candidates: Sequence[str], now: float, *, positive: bool
    ) -> None:
        """Note that an answer was asked for; whoever is asked again is watched if there is room."""
        watch = self.watches.get(subject)
        self.carriers.proofs.want_barred(now + PROVE_FOR, now)
        if watch is not None:
            watch.asked_at = now
            self.carriers.proofs.want(watch.carrier, now + PROVE_FOR, now)
            # The order of the dict is least-recently-used.
            self.watches[subject] = self.watches.pop(subject)
            if positive:
                watch.negative = False
            return
        if self._resting and self._resting.get(subject, 0.0) > now:
            return
        before = self._seen.pop(subject, None)
        if before is None or now - before > ADMIT_WITHIN:
            self._seen[subject] = now
            if len(self._seen) > MAX_SEEN:
                del self._seen[next(iter(self._seen))]
            return
        if self.carriers.place(candidates) is None or not self._room(now, not positive):
            self._seen[subject] = now
            return
        # Whose watch made room may be the one to carry it.
        carrier = self.carriers.place(candidates)
        assert carrier is not None
        self.watches[subject] = Watch(subject, carrier, candidates, now, not positive)
        self.carriers.proofs.want(carrier, now + PROVE_FOR, now)
        self._place(subject, carrier)

    def _room(self, now: float, negative: bool) -> bool:
        """Make room for one more watch; one that is in use gives way to nobody.

        One of what does not exist takes the place of its like only: those are cheap to make up.
        """
        full = len(self.watches) >= self.rules.max
        if not negative:
            return not full or self._spare(self.watches.values(), now)
        of_kind = [one for one in self.watches.values() if one.negative]
        full = full or len(of_kind) >= max(self.rules.max // NEGATIVE_SHARE, 1)
        return not full or self._spare(of_kind, now)

    def _spare(self, watches: Iterable[Watch], now: float) -> bool:
        oldest = next(iter(watches), None)
        if oldest is None or now - oldest.asked_at < SPARE_AFTER:
            return False
        self._end(oldest)
        return True

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
        tagged: bool = False,
    ) -> float | None:
        """Return for how many seconds the answer to `key` may be reused, None for by its TTL.

        `sent_at` is when it was asked for; `source` the agent that gave it, where it is one;
        `denied` says that the name does not exist, `tagged` that it asks for a part of the
        instances. It hangs on the watch until it is dropped. While a change settles it is not to
        be reused at all: whoever gave it may not know of that yet.
        """
        watch = self.watches.get(subject)
        if watch is None or not watch.holds(key, now, denied=denied) or not watch.armed:
            return None
        if sent_at < watch.changed_at + self.rules.settle:
            return 0.0
        if not self._live(watch, now) or not self._knew(watch, source, sent_at, now):
            return None
        contradicted = denied and not tagged if watch.healthy else positive
        if contradicted:
            # By what the watch sees: one of both may lack the right to see, or its catalog.
            return None
        if denied or not watch.size:
            return REUSE_NEGATIVE
        if subject.kind == NODE:
            return REUSE_NODE
        return REUSE if watch.sure else REUSE_UNSURE

    def _live(self, watch: Watch, now: float) -> bool:
        return watch.armed and self.carriers.proofs.live(watch.carrier, now)

    def _knew(self, watch: Watch, source: str, sent_at: float, now: float) -> bool:
        """Return whether who gave an answer knew by then what the watch has seen.

        Cut off from the leader, another agent than the carrier may not know it for long.
        """
        if source in ("", watch.carrier):
            return True
        proofs = self.carriers.proofs
        proofs.want(source, now + PROVE_FOR, now)
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
        sure: bool = True,
    ) -> list[bytes]:
        """Note the first state a watch sees of its subject: from here on it tells of changes.

        Not `sure` is one that may lose the right to see without a word.
        """
        watch = self.watches.get(subject)
        if watch is None or watch.carrier != carrier:
            return []
        watch.armed = True
        watch.changed_at = now
        watch.size = size
        watch.healthy = healthy
        watch.instances = instances
        watch.sure = sure
        if size:
            watch.negative = False
        return self._drop(watch)

    def changed(
        self,
        subject: Subject,
        carrier: str,
        now: float,
        *,
        size: int,
        healthy: int,
        instances: frozenset[Instance] | None = None,
        sure: bool = True,
    ) -> list[bytes]:
        """Note that a watched subject changed: its answers are to be asked for again.

        Where all healthy instances are told, before and now, agents' answers are corrected by
        them until the change has settled.
        """
        watch = self.watches.get(subject)
        if watch is not None and watch.carrier == carrier:
            watch.changes += 1
            if instances is not None and watch.instances is not None:
                until = now + self.rules.settle
                self.settling[subject] = settling(
                    self.settles(subject, now), watch.instances, instances, until
                )
        dropped = self.armed(
            subject, carrier, now, size=size, healthy=healthy, instances=instances, sure=sure
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

    def doubted(self, subject: Subject, carrier: str, now: float) -> list[bytes]:
        """Note that a watch saw what may not be so: nothing is known until it says `armed`."""
        watch = self.watches.get(subject)
        if watch is None or watch.carrier != carrier:
            return []
        watch.armed = False
        watch.changed_at = now
        return self._drop(watch)

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
        for watch in self._at(carrier):
            dropped += self.failed(watch.subject, carrier, now)
        return dropped

    def crowded(self, carrier: str, now: float) -> list[bytes]:
        """Note that an agent takes no more connections of this host: half of its watches move.

        Others on the host need connections too. Those that hold none yet go first, then the least
        recently used.
        """
        watches = sorted(self._at(carrier), key=lambda one: one.armed)
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
        dropped = self._drop(watch)
        watch.armed = False
        self.carriers.remove(carrier)
        if now - watch.placed_at >= REST:
            watch.tried.clear()
        watch.tried.add(carrier)
        other = self.carriers.place([one for one in watch.candidates if one not in watch.tried])
        if other is None:
            del self.watches[subject]
            self.commands.append(Command(subject, None))
            self._rest(subject, now)
        else:
            watch.carrier = other
            watch.placed_at = watch.changed_at = now
            if now - watch.asked_at < PROVE_FOR:
                self.carriers.proofs.want(other, watch.asked_at + PROVE_FOR, now)
            self._place(subject, other, apart=self.carriers.is_far(other))
        return dropped

    def began(self, subject: Subject, carrier: str, now: float) -> None:
        """Note that a watch that was to begin apart from others begins."""
        watch = self.watches.get(subject)
        if watch is not None and watch.carrier == carrier:
            watch.placed_at = now

    def _rest(self, subject: Subject, now: float) -> None:
        """Leave a subject alone for a while that could be watched nowhere."""
        self._resting.pop(subject, None)
        self._resting[subject] = now + REST
        if len(self._resting) > MAX_SEEN:
            # The first is the one that has rested longest.
            del self._resting[next(iter(self._resting))]

    def expired(self, now: float) -> list[str]:
        """Return the agents whose last proof has become too old: they are `lost`."""
        return self.carriers.proofs.expired(now)

    def ends_at(self) -> float:
        """Return when the next proof becomes too old, infinity without any."""
        return self.carriers.proofs.ends_at()

    def idle(self, now: float) -> list[bytes]:
        """End the watches nobody has needed for long, and forget what has settled."""
        dropped: list[bytes] = []
        self.carriers.relax(now)
        for subject in list(self.settling):
            self.settles(subject, now)
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
        self.carriers.remove(watch.carrier)
        self.commands.append(Command(watch.subject, None))
        return self._drop(watch)

    def _drop(self, watch: Watch) -> list[bytes]:
        dropped = [*watch.keys, *watch.denied]
        watch.keys.clear()
        watch.denied.clear()
        return dropped
