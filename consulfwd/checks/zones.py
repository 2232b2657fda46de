"""Whether a zone is published, and reaches those that serve it: what is known of it is judged.

Pure: times are of the day, and `now` is an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from consulfwd.checks.outcome import Outcome, Status, listed, worst
from consulfwd.checks.perfdata import Figure
from consulfwd.checks.ranges import Range
from consulfwd.checks.thresholds import NONE, Thresholds
from consulfwd.zones.publish.status import OfTarget
from consulfwd.zones.publish.status import Status as Here
from consulfwd.zones.serials import newer

Findings = list[tuple[Status, str]]

# A target that fails is a warning at once where no range says when, and critical after an hour.
FAILING = Thresholds(critical=Range(0, 3600))
NONE_AT_ALL = Thresholds(Range(0, 0))


@dataclass(frozen=True)
class Wanted:
    """Thresholds of seconds that a target fails, or was last pushed to, and of what is withheld.

    `paused` is what a zone is worth that is paused, `lag` how many serials a secondary may be
    behind (in numbers, which may be seconds).
    """

    failing: Thresholds = FAILING
    withheld: Thresholds = NONE_AT_ALL
    pushed: Thresholds = NONE
    lag: Thresholds = NONE_AT_ALL
    paused: Status = Status.WARNING


@dataclass(frozen=True)
class Secondary:
    """A server of the zone, and the serial it has, or why that is not known."""

    name: str
    serial: int | None
    why: str = ""


@dataclass(frozen=True)
class Told:
    """What is known of a zone.

    `locked`: several may publish it, by a lock; then `holder` is who does ("" is nobody), unless
    `away` says why Consul does not tell. `here` is what the publisher on this host wrote down.
    """

    zone: str
    locked: bool
    holder: str = ""
    paused: str = ""
    serial: int | None = None
    away: str = ""
    here: Here | None = None
    faults: Sequence[str] = field(default=())
    secondaries: Sequence[Secondary] = field(default=())


def judge(wanted: Wanted, zones: Sequence[Told], now: float) -> Outcome:
    """Return what zones come to."""
    each = [_zone(wanted, one, now, "" if len(zones) == 1 else f"{one.zone} ") for one in zones]
    if len(each) == 1:
        return each[0]
    status = worst(one.status for one in each)
    bad = [one for one in each if one.status]
    summary = f"{len(each) - len(bad)} of {len(each)} zones are well"
    if bad:
        summary += "; " + "; ".join(one.summary for one in bad)
    return Outcome(
        status,
        summary,
        [line for one in each for line in one.lines],
        [figure for one in each for figure in one.figures],
        [one.summary for one in each if not one.status]
        + [line for one in each for line in one.more],
    )


def _zone(wanted: Wanted, told: Told, now: float, prefix: str) -> Outcome:
    found = _published(wanted, told)
    found += [(Status.WARNING, one) for one in told.faults]
    here, lines = told.here, []
    targets: Sequence[OfTarget] = () if here is None else here.targets
    active = here is not None and here.state == "active"
    if here is not None:
        found += [(Status.WARNING, one) for one in here.faults if not _of_target(one, targets)]
        if here.doubt:
            found.append((Status.WARNING, f"nothing is withdrawn: {here.doubt}"))
    failing = [one for one in targets if one.fault]
    oldest = max((_since(one.failing_since, now) for one in failing), default=0.0)
    if failing:
        where = listed([one.where for one in failing])
        grave = wanted.failing.status(oldest)
        if wanted.failing.warning is None:
            grave = worst((grave, Status.WARNING))
        found.append((grave, f"{where} fails for {_long(oldest)}"))
        lines += [f"{one.where}: {one.why}" for one in failing]
    withheld = sum(one.withheld_in_all for one in targets)
    if withheld:
        found.append(wanted.withheld.told(f"{withheld} changes are withheld", withheld))
        lines += [f"{one.where}: withheld: {text}" for one in targets for text in one.withheld]
        lines += [f"{one.where}: allowed by: {one.command}" for one in targets if one.command]
    pushed = max((one.pushed for one in targets), default=0.0)
    age = _since(pushed, now) if pushed else None
    if age is not None and active:
        found.append(wanted.pushed.told(f"last push {_long(age)} ago", age, "s"))
    lags = _secondaries(wanted, told, found, lines)
    status = worst(one for one, _ in found)
    told_bad = "; ".join(text for one, text in found if one)
    well = f"published by {told.holder or 'this host'}"
    if age is not None:
        well += f", last push {_long(age)} ago"
    figures = [
        Figure(f"{prefix}failing", oldest, "s", *_bounds(wanted.failing), 0),
        Figure(f"{prefix}withheld", withheld, "", *_bounds(wanted.withheld), 0),
    ]
    if age is not None:
        figures.append(Figure(f"{prefix}pushed_age", age, "s", *_bounds(wanted.pushed), 0))
    if targets:
        figures.append(Figure(f"{prefix}names", max(one.names for one in targets), least=0))
    figures += [
        Figure(f"{prefix}lag {name}", lag, "", *_bounds(wanted.lag), 0) for name, lag in lags
    ]
    more = [] if here is None else [f"not in the zone: {one}" for one in here.objections]
    return Outcome(status, f"{told.zone}: {told_bad or well}", lines, figures, more)


def _published(wanted: Wanted, told: Told) -> Findings:
    """Whether anybody publishes it."""
    found: Findings = []
    state = "" if told.here is None else told.here.state
    if told.away:
        found.append((Status.UNKNOWN, f"who publishes it is not known: {told.away}"))
    elif told.locked and not told.holder:
        found.append((Status.CRITICAL, "nobody publishes it"))
    if not told.locked and not state:
        found.append((Status.CRITICAL, "no publisher on this host ever wrote that it runs"))
    elif state in ("gone", "stopped"):
        how = "ended without a word" if state == "gone" else "is stopped"
        # Another one does it; but one less is there to take over.
        grave = Status.WARNING if told.locked else Status.CRITICAL
        found.append((grave, f"the publisher on this host {how}"))
    paused = told.paused or ("" if told.here is None else told.here.paused)
    if paused:
        found.append((wanted.paused, paused))
    return found


def _secondaries(
    wanted: Wanted, told: Told, found: Findings, lines: list[str]
) -> list[tuple[str, int | None]]:
    """Return by how much each is behind the serial that is published, or else the newest there."""
    known = [one.serial for one in told.secondaries if one.serial is not None]
    newest = told.serial
    for one in known:
        if newest is None or newer(one, newest):
            newest = one
    silent = [one for one in told.secondaries if one.serial is None]
    if silent:
        grave = Status.WARNING if known else Status.CRITICAL
        found.append((grave, f"{listed([one.name for one in silent])} gives no serial"))
        lines += [f"{one.name}: {one.why}" for one in silent]
    lags: list[tuple[str, int | None]] = []
    for each in told.secondaries:
        lag = None
        if each.serial is not None and newest is not None:
            lag = (newest - each.serial) % (1 << 32)
            if wanted.lag.status(lag):
                text = f"{each.name} is {lag} behind (serial {each.serial} of {newest})"
                found.append((wanted.lag.status(lag), text))
        lags.append((each.name, lag))
    return lags


def _of_target(fault: str, targets: Sequence[OfTarget]) -> bool:
    """Return whether a fault is that of a target, which is told with its name."""
    return any(one.fault and one.fault in fault for one in targets)


def _bounds(thresholds: Thresholds) -> tuple[Range | None, Range | None]:
    return thresholds.warning, thresholds.critical


def _since(moment: float, now: float) -> float:
    """Seconds since a time of day; a clock that was set back makes no negative ones."""
    return max(0.0, now - moment)


def _long(seconds: float) -> str:
    """A span of time for people."""
    whole = int(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"
