"""Relays without Python: what the compiled lane needs of one engine, where there is such a lane.

It does sooner what `udp.UdpListener._ask`, `table.Table.submit`, `upstream.SharedUdp`, `relays`,
`udp_waiters.DatagramWaiter` and, with replies, `pool.PortPool` do where nothing is unusual; all
data stays theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from consulfwd.core.ask import Ask
from consulfwd.core.cache import Entry
from consulfwd.core.known import Known
from consulfwd.net.clock import usual_now
from consulfwd.net.fastlane import fast
from consulfwd.net.table import FOR_CONSUL, MAX_FLIGHTS, Table
from consulfwd.net.udp_waiters import DatagramWaiter

if TYPE_CHECKING:
    from consulfwd.net.relays import Relays


def compiled(table: Table, asks: dict[bytes, Ask], relays: Relays) -> object | None:
    """Return what passes on queries of a table, None where that is Python's."""
    if fast is None:
        return None
    outside = table.outside
    made: object = fast.Relays(
        ask=Ask,
        entry=Entry,
        known=Known,
        waiter=DatagramWaiter,
        asks=asks,
        entries=table.cache.entries,
        flights=table.flights,
        failures=table.answers.failures.by_key,
        firm=outside.firm,
        loose=outside.loose,
        table=table,
        health=table.health,
        shield=table.shield,
        clock=table.clock,
        counters=table.counters,
        relays=relays,
        exact_clock=usual_now,
        # Those that others than Consul are asked may be no more than that.
        most=MAX_FLIGHTS - FOR_CONSUL,
        outside=outside.size,
    )
    return made
