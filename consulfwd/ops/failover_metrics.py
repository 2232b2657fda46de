"""The metrics of names that move with health. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.ops.metric_forms import Part, Subject, gauge
from consulfwd.ops.snapshot import Snapshot


def _records(seen: Snapshot) -> Iterator[Subject]:
    for one in seen.failover:
        yield (one.name,), one


def _addresses(seen: Snapshot) -> Iterator[Subject]:
    for record in seen.failover:
        for one in record.addresses:
            yield (record.name, one.pool, one.address), one


def _up(state: bool | None) -> float | None:
    return None if state is None else float(state)


OF_FAILOVER = (
    Part("failover record", ("record",), _records, (
        gauge("consulfwd_failover_known", "Whether it is answered yet.", lambda one: one.known),
        gauge("consulfwd_failover_pool",
              "Which of its pools answers: 0 is the first, -1 that none is well.",
              lambda one: one.place if one.known else None),
        gauge("consulfwd_failover_waits",
              "Whether a better pool is well, and waits until it takes over.",
              lambda one: bool(one.preferred)),
        gauge("consulfwd_failover_held", "Whether states are held, as checks say nothing now.",
              lambda one: bool(one.held)),
        gauge("consulfwd_failover_forced", "Orders of people that are in force.",
              lambda one: len(one.forces)),
        gauge("consulfwd_failover_answers", "Addresses that are given.",
              lambda one: len(one.answer) if one.known else None),
        gauge("consulfwd_failover_since_timestamp_seconds", "Since when it is answered so.",
              lambda one: one.since or None),
    )),
    Part("address of a failover record", ("record", "pool", "address"), _addresses, (
        gauge("consulfwd_failover_address_up", "Whether it is up; none while nothing is known.",
              lambda one: _up(one.up)),
        gauge("consulfwd_failover_address_given", "Whether it is in answers.",
              lambda one: one.given),
        gauge("consulfwd_failover_address_error",
              "Whether the last check could not be made, which says nothing of the address.",
              lambda one: one.result == "error" if one.result else None),
        gauge("consulfwd_failover_address_checked_timestamp_seconds",
              "When the last check of it ended.", lambda one: one.checked or None),
        gauge("consulfwd_failover_address_check_seconds", "How long the last check took.",
              lambda one: one.took if one.result else None),
    )),
)  # fmt: skip
