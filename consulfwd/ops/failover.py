"""What is to be seen of names that move with health. Knows nothing of how that is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from consulfwd.failover.book import Book
from consulfwd.failover.model import AddressState, Force, RecordState
from consulfwd.failover.record import Record
from consulfwd.ops.snapshot import AddressSeen, RecordSeen
from consulfwd.ops.wrong import with_record
from consulfwd.words import moment

# Of more names those are shown first that are not well: all of it keeps queries waiting.
MOST = 100


def see(book: Book) -> tuple[RecordSeen, ...]:
    """Return the records that are shown, in the order of their names."""
    names = book.names
    if len(names) > MOST:
        names = tuple(one.name for one in sorted(book, key=_is_well)[:MOST])
    return tuple(sorted((record(book.view(one)) for one in names), key=lambda one: one.name))


def _is_well(found: Record) -> bool:
    """Return whether a record surely is as it should be, at next to no cost."""
    given = found.given
    return given is not None and given.pool == 0 and all(one.up for one in found.standings.values())


def record(state: RecordState) -> RecordSeen:
    """Return one record as it is shown."""
    given = state.given
    pool = None if given is None else given.pool
    answer = () if given is None else given.addresses
    there = {(one.ip, one.pool) for one in answer}
    seen = RecordSeen(
        name=state.name,
        known=given is not None,
        pool="" if pool is None else state.pools[pool],
        place=-1 if pool is None else pool,
        answer=tuple(dict.fromkeys(str(one.ip) for one in answer)),
        ttl=0 if given is None else given.ttl,
        since=state.since,
        why=state.why or (given.why if given is not None else ""),
        preferred="" if state.preferred is None else state.pools[state.preferred],
        back_at=state.back_at or 0.0,
        held=state.held,
        forces=tuple(map(_force, state.forces)),
        addresses=tuple(
            _address(one, state.pools, given=(one.address.ip, one.address.pool) in there)
            for one in state.addresses
        ),
    )
    return replace(seen, well=not seen.held and not with_record(seen))


def _address(state: AddressState, pools: Sequence[str], *, given: bool) -> AddressSeen:
    last = state.last
    return AddressSeen(
        address=str(state.address.ip),
        pool=pools[state.address.pool],
        weight=state.address.weight,
        up=state.up,
        since=state.since,
        checked=state.checked,
        result="" if last is None else last.result.value,
        reason="" if last is None else last.reason,
        took=0.0 if last is None else last.took,
        in_a_row=state.in_a_row,
        needed=state.needed,
        forced=state.forced,
        votes=state.votes,
        why=state.why,
        given=given,
    )


def _force(force: Force) -> str:
    """Return what people ordered, in words."""
    until = "" if force.until is None else f" until {moment(force.until)}"
    reason = f": {force.reason}" if force.reason else ""
    return f"{force.glob} is {force.to} by order of {force.by}{until}{reason}"
