"""A record as people see it: every moment a time of day. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from consulfwd.failover import forces
from consulfwd.failover.model import Address, AddressState, Force, RecordState

if TYPE_CHECKING:
    from consulfwd.failover.record import Moment, Record


def view(
    record: Record, moment: Moment, forced: Sequence[Force], held: str, waits: str
) -> RecordState:
    """Return what people see of a record; `held` is why its states are held, "" if they are not.

    `waits` is why there is no answer yet, where there is none.
    """
    given = record.given
    if given is not None:
        given = given._replace(ttl=record.ttl(moment.now))
    better = record.waiting()
    at = None if better is None else better[1]
    return RecordState(
        name=record.name,
        given=given,
        since=record.since,
        pools=record.pools,
        addresses=tuple(_address(record, one, moment) for one in record.addresses),
        why=waits if given is None else given.why,
        preferred=None if better is None else better[0],
        back_at=None if at is None else moment.wall + at - moment.now,
        held=held,
        forces=tuple(
            one
            for one in forced
            if any(
                forces.is_of(one.glob, record.name, record.pools[each.pool], each.ip)
                for each in record.addresses
            )
        ),
    )


def _address(record: Record, address: Address, moment: Moment) -> AddressState:
    tally, standing = record.tallies[address.ip], record.standings[address.ip]
    checked = 0.0
    if tally.last is not None:
        checked = moment.wall - (moment.now - tally.started - tally.last.took)
    return AddressState(
        address=address,
        up=standing.up,
        since=standing.since,
        last=tally.last,
        checked=checked,
        in_a_row=tally.in_a_row,
        needed=record.needed(address.ip, moment.now),
        forced=standing.forced,
        why=standing.why,
        votes=standing.votes,
    )
