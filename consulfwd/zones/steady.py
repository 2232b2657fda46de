"""What each instance counts as: not each word of Consul's at once, but what holds.

What belongs here: removal that waits, damping, and what doubt means for one instance. Must not
know: names, records, targets. Pure; `now` is passed in, and `due` says when to `wake`.

| An instance | that is offered | that is not |
|---|---|---|
| healthy | stays | is offered; if it is suppressed, once it is not any more |
| at another address or port | so offered; if it is suppressed, it goes | - |
| otherwise different | so offered; if it is suppressed, once it is not any more | - |
| unhealthy | goes after `removal_delay` | - |
| in maintenance | goes | - |
| not in the catalog | goes | is forgotten |
| any of these three in doubt | stays | - |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from consulfwd.config.zones import ZoneSettings
from consulfwd.zones.claims import Member
from consulfwd.zones.due import Due
from consulfwd.zones.penalties import Penalty
from consulfwd.zones.seen import Health, Offer, Seen, Service, Whose

# Instances that are gone and have a penalty left: more of them nobody is told apart from.
MOST_GONE = 10_000
UNDECIDED = "it was unhealthy when first seen: that must last for removal_delay"


class Grade(Enum):
    """What an instance counts as; the value is how it is told."""

    UP = "offered"
    SUPPRESSED = "it comes and goes: held back by damping"
    DOWN = "unhealthy"
    MAINTENANCE = "in maintenance"


class Standing(NamedTuple):
    """An instance of the catalog, what is offered of it, and what it counts as.

    `why` is what is out of the ordinary about one that is offered, "" for nothing.
    """

    member: Member
    grade: Grade
    why: str = ""


class Penalised(NamedTuple):
    """What must be remembered of an instance where damping goes on in another process."""

    whose: Whose
    penalty: float
    suppressed: bool


# What is due: in this order, if at the same time.
_DECIDED, _RELIEVED, _GONE, _FORGOTTEN = range(4)


class _State:
    __slots__ = ("gone_at", "health", "latest", "offer", "penalty", "shown", "up")

    def __init__(self, seen: Offer, penalty: Penalty) -> None:
        self.latest = self.offer = seen
        self.penalty = penalty
        self.health = Health.CRITICAL
        # What it counts as, and whether it is offered: another thing where it is suppressed.
        self.up = self.shown = False
        # When it counts as unhealthy, if it stays so.
        self.gone_at: float | None = None


Which = tuple[str, str]


class Steady:
    """All instances of a zone's services."""

    def __init__(
        self, settings: ZoneSettings, now: float, penalised: Iterable[Penalised] = ()
    ) -> None:
        self._settings = settings
        self._services: dict[Which, dict[Whose, _State]] = {}
        self._doubts: dict[Which, str] = {}
        self._undecided: set[Which] = set()
        self._due = Due()
        # Those that have a penalty, if any is left: of instances in the catalog, and of others.
        self._penalties: dict[Whose, Penalty] = {}
        self._gone: dict[Whose, Penalty] = {}
        for whose, value, suppressed in penalised:
            if settings.damping.enabled:
                self._bury(whose, Penalty(settings.damping, now, value, suppressed), now)

    def see(self, service: Service, now: float) -> bool:
        """Take what Consul says of a service; return whether a standing is another one.

        A service that is not in the catalog is one without instances.
        """
        which = service.datacenter, service.name
        before = self.standings(*which)
        states = self._services.setdefault(which, {})
        first = not states
        if service.doubt:
            self._doubts[which] = service.doubt
        else:
            self._doubts.pop(which, None)
        seen = {one.whose for one in service.instances}
        for one in service.instances:
            self._look(states, one, now, service.doubt)
        if not service.doubt:
            for whose in [each for each in states if each not in seen]:
                self._leave(whose, states.pop(whose), now)
        if first and any(not state.up for state in states.values()):
            self._decide_later(which, next(iter(states)), now)
        if not states:
            del self._services[which]
            self._undecided.discard(which)
        return self.standings(*which) != before

    def wake(self, now: float) -> set[Which]:
        """Note that time has passed; return the services of which a standing is another one."""
        changed = set()
        for what, whose in self._due.past(now):
            which = whose.datacenter, whose.service
            state = self._services.get(which, {}).get(whose)
            if what == _DECIDED:
                if which in self._undecided:
                    self._undecided.remove(which)
                    changed.add(which)
            elif what == _FORGOTTEN:
                self._forget(whose, now)
            elif state is not None and self._pass(what, which, whose, state, now):
                changed.add(which)
        return changed

    def due(self) -> float | None:
        """Return when to wake, None for never. Nothing may have changed then."""
        return self._due.next()

    def standings(self, datacenter: str, name: str) -> tuple[Standing, ...]:
        """Return the instances of a service, in a stable order."""
        states = self._services.get((datacenter, name), {})
        return tuple(_standing(whose, states[whose]) for whose in sorted(states))

    def doubt(self, datacenter: str, name: str) -> str:
        """Return why nothing of a service may be withdrawn, "" if it may."""
        which = datacenter, name
        return self._doubts.get(which) or (UNDECIDED if which in self._undecided else "")

    def doubts(self) -> Iterator[Which]:
        """Yield the services of which nothing may be withdrawn."""
        yield from self._doubts.keys() | self._undecided

    def penalised(self, now: float) -> list[Penalised]:
        """Return what must be remembered, the worst first."""
        for whose in [who for who, one in self._penalties.items() if one.forgotten_at() <= now]:
            del self._penalties[whose]
        every = {**self._gone, **self._penalties}.items()
        found = [Penalised(who, one.value(now), one.suppressed) for who, one in every]
        return sorted(found, key=lambda one: (-one.penalty, one.whose))

    def _look(self, states: dict[Whose, _State], seen: Seen, now: float, doubt: str) -> None:
        state = states.get(seen.whose)
        if state is None:
            known = self._gone.pop(seen.whose, None)
            state = _State(seen.offer, known or Penalty(self._settings.damping, now))
            states[seen.whose] = state
            if known is not None:
                self._penalties[seen.whose] = known
            self._due.put(_RELIEVED, seen.whose, state.penalty.until, now)
        state.health = seen.health
        if state.penalty.relieved(now):
            state.shown, state.offer = state.up, state.latest
        changed, state.latest = state.latest != seen.offer, seen.offer
        if seen.health is Health.PASSING or (
            seen.health is Health.WARNING and self._settings.warning == "publish"
        ):
            state.gone_at = None
            if not state.up:
                state.up = True
                state.shown = not state.penalty.suppressed
                state.offer = state.latest
                changed = False
        elif state.up and seen.health is Health.MAINTENANCE:
            if not doubt:
                # Asked for by people: nothing to answer for.
                self._withdraw(state)
        elif state.up:
            if state.gone_at is None:
                state.gone_at = now + self._settings.removal_delay
                self._due.put(_GONE, seen.whose, state.gone_at, now)
            if state.gone_at <= now and not doubt:
                self._go(seen.whose, state, now)
        if changed and state.up:
            self._alter(seen.whose, state, now)
        if not state.shown:
            state.offer = state.latest

    def _alter(self, whose: Whose, state: _State, now: float) -> None:
        if not state.penalty.suppressed:
            state.offer = state.latest
        elif _where(state.offer) != _where(state.latest):
            state.shown = False
        self._penalise(whose, state, self._settings.damping.alteration, now)

    def _go(self, whose: Whose, state: _State, now: float) -> None:
        self._penalise(whose, state, self._settings.damping.withdrawal, now)
        self._withdraw(state)

    def _withdraw(self, state: _State) -> None:
        state.up = state.shown = False
        state.gone_at = None

    def _penalise(self, whose: Whose, state: _State, by: float, now: float) -> None:
        state.penalty.penalised(by, now)
        self._penalties[whose] = state.penalty
        self._due.put(_RELIEVED, whose, state.penalty.until, now)

    def _leave(self, whose: Whose, state: _State, now: float) -> None:
        self._penalties.pop(whose, None)
        if state.up and state.health is not Health.MAINTENANCE:
            state.penalty.penalised(self._settings.damping.withdrawal, now)
        if state.penalty.forgotten_at() > now:
            self._bury(whose, state.penalty, now)

    def _bury(self, whose: Whose, penalty: Penalty, now: float) -> None:
        self._gone[whose] = penalty
        self._due.put(_FORGOTTEN, whose, penalty.forgotten_at(), now)
        if len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]

    def _forget(self, whose: Whose, now: float) -> None:
        penalty = self._gone.get(whose)
        if penalty is not None:
            if penalty.forgotten_at() <= now:
                del self._gone[whose]
            self._due.put(_FORGOTTEN, whose, penalty.forgotten_at(), now)

    def _pass(self, what: int, which: Which, whose: Whose, state: _State, now: float) -> bool:
        if what == _RELIEVED:
            self._due.put(_RELIEVED, whose, state.penalty.until, now)
            if not state.penalty.relieved(now):
                return False
            state.shown, state.offer = state.up, state.latest
            return True
        if state.gone_at is None:
            return False
        self._due.put(_GONE, whose, state.gone_at, now)
        if state.gone_at > now or which in self._doubts:
            return False
        self._go(whose, state, now)
        state.offer = state.latest
        return True

    def _decide_later(self, which: Which, whose: Whose, now: float) -> None:
        until = now + self._settings.removal_delay
        if until > now:
            self._undecided.add(which)
            self._due.put(_DECIDED, whose, until, now)


def _where(offer: Offer) -> tuple[object, ...]:
    return offer.own, offer.of_node, offer.port, tuple(sorted(offer.tagged.items()))


def _standing(whose: Whose, state: _State) -> Standing:
    why = ""
    if state.shown:
        grade = Grade.UP
        if state.gone_at is not None:
            why = "unhealthy: that must last for removal_delay"
        elif state.offer != state.latest:
            why = "it changes again and again: held by damping"
    elif state.up:
        grade = Grade.SUPPRESSED
    else:
        grade = Grade.MAINTENANCE if state.health is Health.MAINTENANCE else Grade.DOWN
    return Standing(Member(whose, state.offer), grade, why)
