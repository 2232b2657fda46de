"""Who is taken out, in which order, and when that is refused.

What belongs here: the decisions, by what Consul said and what is asked for. Pure; must not know:
requests, clocks, commands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from consulfwd.maintain import mark
from consulfwd.maintain.instances import PASSING, WARNING, Check, Instance, Unit
from consulfwd.maintain.mark import Mark
from consulfwd.words import moment, printable

Services = Mapping[str, Sequence[Instance]]


@dataclass(frozen=True)
class Limits:
    """What must hold: so many healthy instances of each service are left, unless `force`."""

    keep: int = 1
    force: bool = False


@dataclass(frozen=True)
class Turn:
    """One that is taken out; `taken` is the mark of a run by which it is out already."""

    unit: Unit
    taken: Mark | None = None


@dataclass(frozen=True)
class Plan:
    """Who is to be taken out, in this order, and who is not, with why."""

    turns: tuple[Turn, ...] = ()
    left: tuple[tuple[Unit, str], ...] = ()
    done: tuple[Unit, ...] = field(default=())


class Refused(Exception):
    """Why one is not taken out. `busy`: another run has it, which will be over."""

    def __init__(self, why: str, *, busy: bool = False) -> None:
        self.busy = busy
        super().__init__(why)


def make(
    units: Sequence[Unit],
    services: Services,
    limits: Limits,
    *,
    run: str,
    now: float,
    done: Collection[tuple[str, str]] = (),
) -> Plan:
    """Return who is to be taken out: who is out already, who is ill, then all others by name.

    `run` is the run whose marks are ours, `done` are those it is over with. Raises Refused where
    another run is at work, or where one could not be taken out even if all before it are well then.
    """
    turns, left, over = [], [], []
    for unit in units:
        if unit.key in done:
            over.append(unit)
            continue
        try:
            taken = owner(unit, limits, run=run, now=now)
        except Refused as refused:
            if refused.busy:
                raise
            left.append((unit, str(refused)))
            continue
        turns.append(Turn(unit, taken))
    turns.sort(key=lambda one: (one.taken is None, one.unit.healthy, one.unit.key))
    # Who has had a turn will be well, or nobody has one after it.
    had: set[tuple[str, str]] = set()
    for turn in turns:
        if turn.taken is None and not limits.force:
            few = too_few(turn.unit, services, limits.keep, had)
            if few:
                raise Refused(few)
        had.update(one.key for one in turn.unit.instances)
    return Plan(tuple(turns), tuple(left), tuple(over))


def owner(unit: Unit, limits: Limits, *, run: str, now: float) -> Mark | None:
    """Return by which mark a unit is out that may be taken for ours, None where it is not out.

    Raises Refused where somebody else has taken it out, or nobody can.
    """
    if odd := unit.odd:
        raise Refused(f"{unit}: {odd}; who registered that?")
    if unit.instances and not any(one.has_agent for one in unit.instances):
        raise Refused(f"{unit} is in the catalog alone: it has no agent, which maintenance is of")
    notes = next((n for one in unit.instances if (n := one.notes(unit.check)) is not None), None)
    if notes is None:
        return None
    found = mark.read(notes)
    if found is None:
        said = printable(notes[:200]) or "no reason is given"
        raise Refused(f"{unit} is in maintenance by somebody else: {said}")
    if found.run == run or found.over(now) or limits.force:
        return found
    raise Refused(
        f"{unit} is taken out by consulfwd maintain on {found.host} until {moment(found.until)},"
        " which has lost its lock and may work there still (--force takes it over)",
        busy=True,
    )


def too_few(
    unit: Unit, services: Services, keep: int, well_then: Collection[tuple[str, str]] = ()
) -> str:
    """Return why a unit may not be taken out, "" where enough are healthy without it.

    Some may count as healthy because they will be (their nodes and IDs).
    """
    gone = {one.key for one in unit.instances}
    for mine in unit.instances:
        if not mine.healthy:
            continue
        others = [one for one in services.get(mine.service, ()) if one.key not in gone]
        well = [one for one in others if one.healthy or one.key in well_then]
        if len(well) < keep:
            return (
                f"{unit} may not be taken out: {len(well)} healthy of {len(others)} other instances"
                f" of {printable(mine.service)} would be left, and {keep} must be (--keep; --force"
                f" does it all the same){_ill(others)}"
            )
    return ""


def _ill(instances: Sequence[Instance]) -> str:
    """Return who of them is not healthy, and why, as the end of a sentence."""
    found = []
    for one in instances:
        if why := [str(each) for each in one.checks if each.status not in (PASSING, WARNING)]:
            found.append(f"{one}: {', '.join(why)}")
    return f": {'; '.join(found)}" if found else ""


def ill(
    now: Sequence[Check],
    before: Sequence[Check],
    failed: Collection[str],
    since: float,
    recheck: float | None,
    default: float,
) -> list[str]:
    """Return what speaks against an instance's being well, as texts; nothing where it is.

    Each check must pass, or warn where it warned `before`. What Consul says of a check may be older
    than the command: it is believed if it `failed` (its ID) since that began, or if `since` its end
    there was time for it to run: its interval and timeout, `recheck` if that is given, `default`
    where Consul does not tell. Times in seconds.
    """
    warned = {one.id for one in before if one.status == WARNING}
    found = []
    for one in now:
        if one.status != PASSING and not (one.status == WARNING and one.id in warned):
            found.append(str(one))
            continue
        every = recheck if recheck is not None and one.every != 0.0 else one.every
        every = default if every is None else every
        if one.id not in failed and since < every:
            name = printable(one.name or one.id)
            found.append(f"{name} may not have run since: {every - since:.0f} s more")
    return found
