"""What has changed between two pictures of a process, as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.ops.snapshot import Snapshot
from consulfwd.ops.text.failover import answer
from consulfwd.ops.text.lines import Line
from consulfwd.ops.text.resolver import change_of
from consulfwd.ops.text.status import title, verdict_of


def changed_lines(now: Snapshot, before: Snapshot | None) -> Iterator[Line]:
    """Yield what is to be told since a picture `before`; how all is where there is none."""
    if before is not None and (before.pid, before.started) != (now.pid, now.started):
        yield "warn", f"{title(now)}: another process, pid {now.pid}"
        before = None
    old = None if before is None else (verdict_of(before), before.faults)
    if old != (verdict_of(now), now.faults):
        mood, verdict = verdict_of(now)
        yield mood, f"{title(now)}: {verdict}" + (f" ({now.line})" if now.line else "")
        known = before.faults if before is not None else ()
        for fault in now.faults:
            if fault not in known:
                yield "bad", f"  ! {fault}"
    if before is not None:
        yield from _resolver(now, before)
        yield from _records(now, before)
        yield from _zones(now, before)


def _resolver(now: Snapshot, before: Snapshot) -> Iterator[Line]:
    if now.resolver is None or before.resolver is None:
        return
    known = set(before.resolver.changes)
    for one in now.resolver.changes:
        if one not in known:
            why = f": {one.why}" if one.why else ""
            yield "plain", f"  {one.kind} {one.server}: {change_of(one)}{why}"
    firsts = {one.label: one.first for one in before.resolver.groups}
    for group in now.resolver.groups:
        # Those that take turns are another each time.
        if group.policy != "round_robin" and firsts.get(group.label, group.first) != group.first:
            first = group.first or "nobody"
            yield "plain", f"  {group.label}: {first} is asked first, {group.why}"
    out = {one.name for one in before.resolver.upstreams if one.drained}
    for server in now.resolver.upstreams:
        if server.drained is not (server.name in out):
            what = "taken out for work" if server.drained else "asked again"
            yield "warn" if server.drained else "good", f"  {server.kind} {server.name}: {what}"


def _records(now: Snapshot, before: Snapshot) -> Iterator[Line]:
    known = {one.name: answer(one) for one in before.failover}
    for one in now.failover:
        told = answer(one)
        # Its TTL alone counts down all the time.
        if known.get(one.name, "").partition(" (TTL")[0] != told.partition(" (TTL")[0]:
            yield "good" if one.well else "bad", f"  failover {one.name}: {told}, {one.why}"


def _zones(now: Snapshot, before: Snapshot) -> Iterator[Line]:
    known = {(zone.zone, zone.view): zone for zone in before.zones}
    for zone in now.zones:
        old = known.get((zone.zone, zone.view))
        if old is not None and (old.state, old.holder) != (zone.state, zone.holder):
            yield "plain", f"  zone {zone.zone}: {zone.state}, written by {zone.holder or 'nobody'}"
        pushed = {one.where: one.pushed for one in old.targets} if old is not None else {}
        for target in zone.targets:
            if target.pushed != pushed.get(target.where, target.pushed):
                serial = "" if target.serial is None else f", serial {target.serial}"
                yield "plain", f"  zone {zone.zone} at {target.where}: {target.what}{serial}"
