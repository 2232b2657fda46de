"""All names that move with health: the one owner of what is known of them.

What belongs here: noting what was found, heard and ordered, and telling what changed by that. Must
not know: how checks are made, how checkers hear of each other, where memory is kept. Pure: the
clocks are passed in. Nothing here waits; it is for one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from consulfwd.config.failover import CheckerSettings, FailoverSettings
from consulfwd.failover import forces
from consulfwd.failover.holding import Holding, Target, Told
from consulfwd.failover.model import Address, Change, Force, Given, Outcome, RecordState
from consulfwd.failover.record import Moment, Record, Standing, Votes
from consulfwd.failover.remembered import Memory
from consulfwd.failover.verdict import Heard, Report
from consulfwd.failover.viewing import view
from consulfwd.words import duration

if TYPE_CHECKING:
    from random import Random


class Book:
    """The records by name. `changed` is called with all that is worth telling, as it happens.

    `clock` goes on while the host sleeps, `wall` is the time of day, `routed` says whether this
    host has a route to anywhere.
    """

    def __init__(
        self,
        records: Mapping[str, FailoverSettings],
        checker: CheckerSettings,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        changed: Callable[[Change], None] = lambda change: None,
        routed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._clock, self.wall = clock, wall
        # Whoever else is told of changes, in this order.
        self.listeners: list[Callable[[Change], None]] = [changed]
        # Called with the name of each record that something was noted or decided of.
        self.touched: Callable[[str], None] = lambda name: None
        self._checker = checker
        began = clock()
        self._began = began
        self._records = {name: Record(name, one, began) for name, one in records.items()}
        self._forces: tuple[Force, ...] = ()
        self._heard: dict[str, Heard] = {}
        targets = (Target(record.name, one.ip) for record, one in self._all())
        longest = max((one.interval for one in records.values()), default=0.0)
        self._holding = Holding(targets, longest, routed)
        self._turned = began

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are answered from here."""
        return tuple(self._records)

    def __contains__(self, name: str) -> bool:
        return name in self._records

    @property
    def held(self) -> str:
        """Why the states of all records are held, "" if they are not."""
        return self._holding.everything

    @property
    def checker(self) -> CheckerSettings:
        """Who checks, and whose word counts."""
        return self._checker

    def settings(self, name: str) -> FailoverSettings:
        """Return the settings of a record."""
        return self._records[name].settings

    def is_known(self, name: str, address: Address) -> bool:
        """Whether something is known of an address by now."""
        return self._records[name].standings[address.ip].up is not None

    @property
    def forces(self) -> tuple[Force, ...]:
        """What people said, as far as it is in force."""
        return forces.in_force(self._forces, self.wall())

    def targets(self) -> Iterator[tuple[str, Address]]:
        """Yield all that is to be checked: a record's name and an address."""
        for record, address in self._all():
            yield record.name, address

    def answer(self, name: str, rtype: int, rng: Random) -> Given | None:
        """Return what a query for a name of these is answered with.

        Another type than A and AAAA has no addresses. None: nothing is known yet (SERVFAIL).
        """
        return self._records[name].answer(rtype, rng, self._clock())

    def given(self, name: str) -> Given | None:
        """Return all that is given of a name, of both families, in the order of the settings."""
        record = self._records[name]
        given = record.given
        return None if given is None else given._replace(ttl=record.ttl(self._clock()))

    def views(self) -> tuple[RecordState, ...]:
        """Return all records, for people."""
        moment = self._moment()
        return tuple(self._view(one, moment) for one in self)

    def view(self, name: str) -> RecordState:
        """Return one record, for people."""
        return self._view(self._records[name], self._moment())

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def noted(self, name: str, address: Address, outcome: Outcome) -> None:
        """Note what a check found; of a record or address that is there no more nothing is."""
        record = self._records.get(name)
        if record is None or address.ip not in record.tallies:
            return
        moment = self._moment()
        target = Target(name, address.ip)
        outcome = self._holding.judged(target, outcome, moment.now)
        record.noted(address.ip, outcome, moment)
        # With a quorum, one's own word counts once the others can hear it, too.
        if self._checker.checkers:
            self.touched(name)
        else:
            self._settle(record, moment)
        self._tell_all(self._holding.checked(target, outcome, moment.now), moment)

    def heard(self, checker: str, report: Report, age: float = 0.0) -> None:
        """Note what a checker says, `age` seconds ago; of one that is not in the settings nothing.

        What it says again is heard again, too: that it is still so.
        """
        if checker not in self._checker.checkers:
            return
        moment = self._moment()
        before = self._heard.get(checker)
        self._heard[checker] = Heard(report, moment.now - age)
        told: Report = {} if before is None else before.report
        for name in report.keys() | told.keys():
            record = self._records.get(name)
            late = before is not None and not self._is_fresh(before, moment.now)
            if record is not None and (late or report.get(name) != told.get(name)):
                self._settle(record, moment)
        self._tell_silence(moment)

    def report(self) -> Report:
        """Return what this checker says."""
        return {one.name: one.ballot() for one in self}

    def force(
        self, glob: str, to: str, until: float | None, reason: str, by: str
    ) -> tuple[str, ...]:
        """Have addresses be "up" or "down" until then (time of day); return the names they are of.

        The glob is of RECORD, RECORD/POOL or RECORD/ADDRESS. Raises ValueError: it means nobody, or
        there are too many such orders.
        """
        moment = self._moment()
        if to not in (forces.UP, forces.DOWN):
            raise ValueError(f"{to!r} is neither up nor down")
        if until is not None and until <= moment.wall:
            raise ValueError("the time until it is in force is over")
        found = self._meant(glob)
        force = Force(glob, to, until, reason, by, moment.wall)
        self.ordered(forces.added(self.forces, force))
        return found

    def unforce(self, glob: str) -> tuple[Force, ...]:
        """Take back what was forced by this glob, or by those it means; return that."""
        left = forces.without(self._forces, glob)
        gone = tuple(one for one in self._forces if one not in left)
        self.ordered(left)
        return gone

    def ordered(self, found: tuple[Force, ...]) -> None:
        """Have these be all that is forced, as they were ordered elsewhere."""
        moment = self._moment()
        came = [one for one in found if one not in self._forces]
        gone = [one for one in self._forces if one not in found]
        self._take_forces(found, moment)
        for one in gone:
            self._tell("", "unforced", f"{one.glob} is no longer forced {one.to}", moment)
        for one in came:
            ends = "" if one.until is None else f" for {duration(one.until - moment.wall)}"
            why = f": {one.reason}" if one.reason else ""
            said = f"{one.glob} is forced {one.to}{ends} by {one.by}{why}"
            self._tell("", "forced", said, moment)

    def back(self, glob: str) -> tuple[str, ...]:
        """Have records go back to the best pool that is well; return those that do.

        Raises ValueError where the glob means no record.
        """
        moment = self._moment()
        names = [name for name in self._records if fnmatchcase(name, glob)]
        if not names:
            raise ValueError(f"{glob} is no record")
        moved = tuple(name for name in names if self._records[name].waiting() is not None)
        for name in moved:
            self._settle(self._records[name], moment, back=True)
        return moved

    def turn(self) -> float | None:
        """Do what is due by the time that passed; return after how many seconds something is next.

        None: nothing is, before something is noted, heard or ordered.
        """
        moment = self._moment()
        aged = any(
            self._turned < one.at + self._checker.max_age <= moment.now
            for one in self._heard.values()
        )
        since_began = moment.now - self._began
        waited = self._turned - self._began < self._checker.max_age <= since_began
        self._turned = moment.now
        if (left := self.forces) != self._forces:
            self.ordered(left)
        for record in self:
            due = record.due()
            if aged or waited or (due is not None and due <= moment.now):
                self._settle(record, moment)
        self._tell_silence(moment)
        return self._next(moment)

    def memory(self) -> Memory:
        """Return what another process should know."""
        moment = self._moment()
        known = {one.name: one.remembered(moment.now) for one in self}
        records = {name: one for name, one in known.items() if one is not None}
        return Memory(moment.wall, records, self.forces)

    def restore(self, memory: Memory) -> None:
        """Take over what is remembered; before anything else is noted."""
        moment = self._moment()
        young = memory.is_young(moment.wall)
        saved = moment.now - max(0.0, moment.wall - memory.saved)
        for name, one in memory.records.items():
            if name in self._records:
                self._records[name].restore(one, young=young, saved=saved, now=moment.now)
        self._take_forces(forces.in_force(memory.forces, moment.wall), moment)

    def take_over(self, before: Book) -> None:
        """Go on where another book is, which had other settings."""
        moment = self._moment()
        for name in self._records.keys() & before._records.keys():
            self._records[name].take_over(before._records[name])
        self._began = before._began
        self._holding.take_over(before._holding)
        known = self._checker.checkers
        self._heard = {name: one for name, one in before._heard.items() if name in known}
        self._take_forces(before.forces, moment)

    def _moment(self) -> Moment:
        return Moment(self._clock(), self.wall())

    def _all(self) -> Iterator[tuple[Record, Address]]:
        for record in self:
            for address in record.addresses:
                yield record, address

    def _votes(self) -> Votes | None:
        checker = self._checker
        if not checker.checkers:
            return None
        return Votes(self._heard, checker.wanted, len(checker.checkers), checker.max_age)

    def _is_fresh(self, heard: Heard, now: float) -> bool:
        return now - heard.at < self._checker.max_age

    def _settle(self, record: Record, moment: Moment, *, back: bool = False) -> None:
        before, given = record.standings, record.given
        record.settle(moment, self._forces, self._votes(), back=back)
        for address in record.addresses:
            was, found = before[address.ip], record.standings[address.ip]
            if was.up is not found.up and found.up is not None:
                self._tell_state(record, address, found, moment)
        now = record.given
        parts = None if given is None else (given.pool, given.addresses)
        if now is not None and parts != (now.pool, now.addresses):
            listed = ", ".join(str(one.ip) for one in now.addresses) or "no address"
            said = f"{record.name} is answered with {listed}: {now.why}"
            self._tell(record.name, "answer", said, moment, now)
        self.touched(record.name)

    def _take_forces(self, found: tuple[Force, ...], moment: Moment) -> None:
        self._forces = found
        for record in self:
            self._settle(record, moment)

    def _meant(self, glob: str) -> tuple[str, ...]:
        found = dict.fromkeys(
            record.name
            for record, one in self._all()
            if forces.is_of(glob, record.name, record.pools[one.pool], one.ip)
        )
        if not found:
            raise ValueError(f"{glob} is no record, RECORD/POOL or RECORD/ADDRESS")
        return tuple(found)

    def _next(self, moment: Moment) -> float | None:
        at = [one.due() for one in self]
        found = [one - moment.now for one in at if one is not None]
        if (ends := forces.ends(self._forces)) is not None:
            found.append(ends - moment.wall)
        if self._checker.checkers:
            ages = [one.at + self._checker.max_age for one in self._heard.values()]
            ages.append(self._began + self._checker.max_age)
            found += [one - moment.now for one in ages if one > moment.now]
        return max(min(found), 0.0) if found else None

    def _view(self, record: Record, moment: Moment) -> RecordState:
        held = self._holding.of(record.name, record.tallies)
        waits = self._waits(moment) if record.given is None else ""
        return view(record, moment, self.forces, held, waits)

    def _waits(self, moment: Moment) -> str:
        """Return what a record without an answer waits for."""
        checker = self._checker
        if not checker.checkers:
            return "not every address was checked yet"
        heard = self._who_is_heard(moment)
        if len(heard) < checker.wanted:
            among = f"{len(heard)} of the checkers {', '.join(checker.checkers)}"
            return f"{among} are heard, and {checker.wanted} must agree"
        return "not enough checkers said yet how each address is"

    def _tell_state(
        self, record: Record, address: Address, found: Standing, moment: Moment
    ) -> None:
        state = "up" if found.up else "down"
        who = f"{record.name}: {address.ip} ({record.pools[address.pool]})"
        self._tell(record.name, state, f"{who} is {state}: {found.why}", moment)

    def _tell_silence(self, moment: Moment) -> None:
        checker = self._checker
        if checker.checkers and moment.now - self._began >= checker.max_age:
            heard = self._who_is_heard(moment)
            told = self._holding.heard(heard, checker.wanted, len(checker.checkers))
            self._tell_all(told, moment)

    def _who_is_heard(self, moment: Moment) -> list[str]:
        return [who for who, one in self._heard.items() if self._is_fresh(one, moment.now)]

    def _tell_all(self, told: list[Told], moment: Moment) -> None:
        for one in told:
            self._tell(*one, moment)

    def _tell(
        self, name: str, kind: str, said: str, moment: Moment, given: Given | None = None
    ) -> None:
        change = Change(name, kind, said, moment.wall, given)
        for listener in self.listeners:
            listener(change)
