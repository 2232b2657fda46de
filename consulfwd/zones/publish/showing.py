"""Zones, plans and their state as text for people.

What belongs here: words and lines. Must not know where they go, nor colours: each line comes with
what it is about. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from consulfwd.config.zones import ZoneSettings
from consulfwd.dns import const, names
from consulfwd.words import moment
from consulfwd.zones import rdata
from consulfwd.zones.model import Act, Key, Records, RRset
from consulfwd.zones.naming import apex_of
from consulfwd.zones.plan import Plan, summary
from consulfwd.zones.publish.status import Status, told

# How a line is to be shown: what comes, goes, changes, stays back, or is about all of it.
Mood = Literal["add", "take", "change", "wait", "head", "plain"]
Line = tuple[Mood, str]


def zone_file(zone: ZoneSettings, serial: int, records: Records) -> Iterator[str]:
    """Yield the lines of a zone file (RFC 1035 section 5)."""
    name, apex = f"{zone.origin}.", apex_of(zone)
    times = apex.refresh, apex.retry, apex.expire, apex.minimum
    soa = f"{names.to_text(apex.primary)} {names.to_text(apex.mail)} {serial}"
    yield f"{name} {apex.ttl} IN SOA {soa} {' '.join(map(str, times))}"
    for server in apex.servers:
        yield f"{name} {apex.ttl} IN NS {names.to_text(server)}"
    for owner, kind, ttl, text in _rows(records):
        yield f"{owner} {ttl} IN {kind} {text}"


def table(records: Records) -> Iterator[str]:
    """Yield the lines of a table."""
    rows = list(_rows(records))
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[3]])


def _rows(records: Records) -> Iterator[tuple[str, str, str, str]]:
    for key in sorted(records, key=Key.order):
        for text in texts(key, records[key]):
            kind, ttl = const.type_text(key.type), str(records[key].ttl)
            yield names.to_text(key.name), kind, ttl, text


def as_json(records: Records) -> list[dict[str, Any]]:
    """Return records as JSON has them."""
    return [
        {
            "name": names.to_text(key.name),
            "type": const.type_text(key.type),
            "ttl": records[key].ttl,
            "data": texts(key, records[key]),
        }
        for key in sorted(records, key=Key.order)
    ]


def texts(key: Key, rrset: RRset | None) -> list[str]:
    """Return the data of a set as text, sorted."""
    return [] if rrset is None else [rdata.to_text(key.type, one) for one in sorted(rrset.data)]


def plan_lines(plan: Plan) -> Iterator[Line]:
    """Yield what a plan does, and does not."""
    yield "head", f"{plan.target}: {summary(plan)}"
    for act in plan.acts:
        yield from act_lines(act)
    reasons: dict[str, list[str]] = {}
    for one in plan.withheld:
        reasons.setdefault(one.why, []).append(told(one.act))
    for why, several in reasons.items():
        yield "wait", f"  withheld: {why}"
        for what in several:
            yield "wait", f"    ! {what}"
    if plan.over:
        yield "wait", f"  {plan.over} withdrawals are more than the budget has: {plan.command}"


def beside(plan: Plan) -> Iterator[Line]:
    """Yield what of a plan is the same for all targets: what cannot be had, what is held."""
    for objection in plan.objections:
        yield "wait", f"  not in the zone: {objection}"
    for held in plan.held:
        yield "plain", f"  held: {held}"


def act_lines(act: Act) -> Iterator[Line]:
    """Yield what comes, goes and changes by an act."""
    what = f"{names.to_text(act.key.name)} {const.type_text(act.key.type)}"
    before, after = act.before, act.after
    old, new = (frozenset() if one is None else one.data for one in (before, after))
    mood: Mood = "add" if before is None else "take" if after is None else "change"
    ttl = ""
    if before is not None and after is not None and before.ttl != after.ttl:
        ttl = f" (TTL {before.ttl} becomes {after.ttl})"
    sign = {"add": "+", "take": "-", "change": "~"}[mood]
    if mood == "change":
        yield mood, f"  {sign} {what}{ttl}"
        sets: tuple[tuple[Mood, str, frozenset[bytes]], ...] = (
            ("take", "-", old - new),
            ("add", "+", new - old),
        )
        for of_data, mark, data in sets:
            for one in sorted(data):
                yield of_data, f"      {mark} {rdata.to_text(act.key.type, one)}"
        return
    for one in sorted(old | new):
        yield mood, f"  {sign} {what} {rdata.to_text(act.key.type, one)}"


def status_lines(status: Status) -> Iterator[Line]:
    """Yield what the publisher on this host has written down."""
    since = f" since {moment(status.since)}" if status.since else ""
    number = f", lock number {status.number}" if status.number else ""
    if status.state in ("stopped", "gone"):
        how = "it stopped" if status.state == "stopped" else "it ended without a word"
        when = moment(status.written)
        yield "wait", f"  this host: no publisher runs ({how}); this is of {when}:"
    else:
        yield "plain", f"  this host: {status.state}{since}{number}"
    if status.paused:
        yield "wait", f"  {status.paused}"
    if status.doubt:
        yield "wait", f"  nothing that is not in Consul is withdrawn: {status.doubt}"
    for fault in status.faults:
        yield "take", f"  failing: {fault}"
    for one in status.targets:
        serial = "" if one.serial is None else f", serial {one.serial}"
        held = f"{one.names} names, {one.addresses} addresses{serial}"
        # What was not read is not empty: it could not be, or is left to who is active.
        if not one.mark and (one.fault or status.state == "backup"):
            held = "it is not known here what it holds"
        yield "plain", f"  {one.where}: {held}"
        if one.pushed:
            yield "plain", f"    last push {moment(one.pushed)}: {one.what}"
        for each in one.withheld:
            yield "wait", f"    withheld: {each}"
        if one.withheld_in_all > len(one.withheld):
            yield "wait", f"    and {one.withheld_in_all - len(one.withheld)} more"
        if one.command:
            yield "wait", f"    allowed by: {one.command}"
    for each in status.objections:
        yield "wait", f"  not in the zone: {each}"
    if status.objections_in_all > len(status.objections):
        yield "wait", f"  and {status.objections_in_all - len(status.objections)} more"
    for each in status.held:
        yield "plain", f"  held: {each}"
    for each in status.moving:
        yield "plain", f"  {each}"
