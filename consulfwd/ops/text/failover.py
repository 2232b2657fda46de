"""Names that move with health as text for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from consulfwd.ops.snapshot import AddressSeen, RecordSeen
from consulfwd.ops.text.lines import NOTHING, Line, Mood, ago, clock, count, milliseconds, rows
from consulfwd.words import duration

# Of more records that are well, `status` says how many there are.
FEW = 10


def record_lines(
    found: Iterable[RecordSeen], in_all: int, now: float, *, whole: bool
) -> Iterator[Line]:
    """Yield the records: those that are not well, few others, or all if `whole`."""
    those = list(found)
    shown = those if whole or len(those) <= FEW else [one for one in those if not one.well]
    for one in shown:
        yield from of_record(one, now)
    left = max(in_all, len(those)) - len(shown)
    if left > 0:
        yield "dim", f"  (and {count(left)} failover {'record' if left == 1 else 'records'} more)"


def of_record(seen: RecordSeen, now: float) -> Iterator[Line]:
    """Yield a record with its addresses."""
    mood: Mood = "head" if seen.well else "bad"
    since = f" for {ago(seen.since, now)}" if seen.since else ""
    yield mood, f"  failover {seen.name}: {answer(seen)}{since}"
    if seen.why:
        yield "plain", f"    {seen.why}"
    if seen.held:
        yield "warn", f"    states are held: {seen.held}"
    if seen.preferred:
        when = f"in {duration(max(seen.back_at - now, 0))}" if seen.back_at else "by order only"
        yield "warn", f"    {seen.preferred} is well, and takes over {when}"
    for force in seen.forces:
        yield "warn", f"    {force}"
    header = ("address", "pool", "state", "for", "checked", "took", "last check")
    for mood, text in rows(header, ((_mood(one), _address(one, now)) for one in seen.addresses)):
        yield mood, f"  {text}"


def answer(seen: RecordSeen) -> str:
    """Return what a record is answered with, in a few words."""
    if not seen.known:
        return "SERVFAIL, nothing is known yet"
    addresses = ", ".join(seen.answer) or "no address"
    pool = seen.pool or "no pool is well"
    return f"{pool}, {addresses} (TTL {seen.ttl})"


def explained(seen: RecordSeen, now: float) -> Iterator[Line]:
    """Yield a record with all that is known of each address."""
    yield from of_record(seen, now)
    for one in seen.addresses:
        yield "head", f"    {one.address} ({one.pool}, weight {one.weight})"
        yield "plain", f"      {_state(one)} since {clock(one.since, now)}: {one.why or NOTHING}"
        if one.result:
            took = milliseconds(one.took)
            when = f"checked {clock(one.checked, now)}, {ago(one.checked, now)} ago, in {took}"
            yield "plain", f"      {when}: {one.result}, {one.reason}"
        if one.in_a_row:
            yield "warn", f"      {one.in_a_row} of {one.needed} checks in a row say otherwise"
        if one.votes:
            yield "plain", f"      checkers: {', '.join(one.votes)}"
        yield "plain", f"      {'in' if one.given else 'not in'} answers"


def _mood(one: AddressSeen) -> Mood:
    if one.up is False:
        return "warn" if one.forced else "bad"
    return "plain" if one.up and one.result == "ok" and not one.forced else "warn"


def _state(one: AddressSeen) -> str:
    state = {True: "up", False: "down", None: "unknown"}[one.up]
    return f"forced {one.forced}" if one.forced else state


def _address(one: AddressSeen, now: float) -> tuple[str, ...]:
    state = _state(one)
    if one.in_a_row and not one.forced:
        state += f" ({one.in_a_row}/{one.needed})"
    checked = f"{ago(one.checked, now)} ago" if one.checked else "not yet"
    took = milliseconds(one.took) if one.result else NOTHING
    said = f"{one.result}: {one.reason}" if one.result else NOTHING
    return (f"{one.address}{' *' if one.given else ''}", one.pool, state, ago(one.since, now),
            checked, took, said)  # fmt: skip
