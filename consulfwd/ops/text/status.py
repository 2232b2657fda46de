"""A picture as text for people: whether all is well, what is not, and the parts below.

What belongs here is the verdict's words and what is shown of zones and files. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.ops.reading import Read
from consulfwd.ops.snapshot import RoundsSeen, Snapshot, TargetSeen, ZoneSeen
from consulfwd.ops.text.failover import record_lines
from consulfwd.ops.text.lines import NOTHING, Line, Mood, ago, clock, count, rows, several
from consulfwd.ops.text.resolver import resolver_lines
from consulfwd.words import duration

# So many of what a process of another version does not tell are named.
NAMED = 4
WITHHELD = 5


def is_well(seen: Snapshot) -> bool:
    """Return whether a process does what it is for, with nothing wrong."""
    return seen.phase == "running" and seen.ready and not seen.faults


def lines(read: Read, before: Snapshot | None = None, *, whole: bool = False) -> Iterator[Line]:
    """Yield the text of a picture; rates since one `before`, all that is known if `whole`."""
    seen = read.snapshot
    mood, verdict = verdict_of(seen)
    yield mood, f"{title(seen)}: {verdict}"
    since = f", up for {duration(seen.taken - seen.started)}" if seen.started else ""
    yield "dim", f"  consulfwd {seen.version}{_lane(seen)}, pid {seen.pid}{since}"
    if seen.line:
        yield "plain", f"  {seen.line}"
    for fault in seen.faults:
        yield "bad", f"  ! {fault}"
    yield from resolver_lines(seen, before, whole)
    yield from record_lines(seen.failover, seen.failover_in_all, seen.taken, whole=whole)
    for zone in seen.zones:
        yield from _zone(zone, seen.taken, whole)
    if seen.rounds is not None:
        yield from _rounds(seen.rounds, seen)
    if read.missing:
        named = ", ".join(read.missing[:NAMED]) + (", ..." if read.missing[NAMED:] else "")
        yield "warn", f"  not told by consulfwd {seen.version}, which is another version: {named}"


def _lane(seen: Snapshot) -> str:
    """Return how queries are answered, if they are."""
    if seen.resolver is None:
        return ""
    return ", compiled fast lane" if seen.resolver.compiled else ", in Python alone"


def title(seen: Snapshot) -> str:
    """Return what a process is called."""
    return f"{seen.verb} on {seen.host}" if seen.host else seen.verb


def verdict_of(seen: Snapshot) -> tuple[Mood, str]:
    """Return in a few words how a process is."""
    faults = len(seen.faults)
    if seen.phase in ("starting", "stopping"):
        return "warn", seen.phase
    if not seen.ready:
        return "bad", "it does not do what it is for"
    if faults:
        return "bad", f"{several(faults, 'thing')} {'is' if faults == 1 else 'are'} wrong"
    return "good", "all is well"


def _zone(zone: ZoneSeen, now: float, whole: bool) -> Iterator[Line]:
    view = f" (view {zone.view})" if zone.view else ""
    since = f" for {ago(zone.since, now)}" if zone.since else ""
    holder = f", written by {zone.holder}" if zone.holder else ""
    yield "head", f"  zone {zone.zone}{view}: {zone.state}{since}{holder}"
    if zone.paused:
        yield "warn", f"    {zone.paused}"
    if zone.doubt:
        yield "warn", f"    in doubt, nothing is withdrawn: {zone.doubt}"
    header = ("target", "serial", "pushed", "what", "names", "addresses", "withheld")
    shown = ((_target_mood(one), _target(one, now)) for one in zone.targets)
    for mood, text in rows(header, shown):
        yield mood, f"  {text}"
    for one in zone.targets:
        if one.fault:
            since = f" (for {ago(one.failing_since, now)})" if one.failing_since else ""
            yield "bad", f"    {one.where} fails: {one.fault}{since}"
        yield from _withheld(one, whole)
    if zone.held:
        yield "plain", f"    held back: {count(zone.held)}"
    if zone.objections_in_all:
        yield "warn", f"    not in the zone, as they cannot be: {count(zone.objections_in_all)}"


def _target_mood(one: TargetSeen) -> Mood:
    if one.fault:
        return "bad"
    return "warn" if one.withheld_in_all else "plain"


def _target(one: TargetSeen, now: float) -> tuple[str, ...]:
    pushed = f"{clock(one.pushed, now)} ({ago(one.pushed, now)})" if one.pushed else "never"
    serial = NOTHING if one.serial is None else str(one.serial)
    return (one.where, serial, pushed, one.what or NOTHING, count(one.names),
            count(one.addresses), count(one.withheld_in_all))  # fmt: skip


def _withheld(one: TargetSeen, whole: bool) -> Iterator[Line]:
    shown = one.withheld if whole else one.withheld[:WITHHELD]
    for text in shown:
        yield "warn", f"    withheld at {one.where}: {text}"
    left = one.withheld_in_all - len(shown)
    if shown and left > 0:
        yield "dim", f"    (and {count(left)} more)"


def _rounds(rounds: RoundsSeen, seen: Snapshot) -> Iterator[Line]:
    # The process's own line has it, as a rule.
    if rounds.what not in seen.line:
        state = "in force" if rounds.in_force else "not in force"
        age = f" ({ago(rounds.wrote, seen.taken)} ago)"
        wrote = f", written {clock(rounds.wrote, seen.taken)}{age}" if rounds.wrote else ""
        yield "plain" if rounds.in_force else "bad", f"  {rounds.what}: {state}{wrote}"
    if rounds.failing_since:
        yield "bad", f"    failing for {ago(rounds.failing_since, seen.taken)}"
