"""The status of a zone as the picture of a process has it: running, or by what was written down."""

from __future__ import annotations

from consulfwd.ops.snapshot import TargetSeen, ZoneSeen
from consulfwd.zones.publish.status import OfTarget, Status


def zone_seen(status: Status) -> ZoneSeen:
    """Return what is to be seen of a zone."""
    return ZoneSeen(
        zone=status.zone,
        view=status.view,
        state=status.state,
        holder=status.holder,
        since=status.since,
        paused=status.paused,
        doubt=status.doubt,
        faults=status.faults,
        targets=tuple(map(_target_seen, status.targets)),
        objections_in_all=status.objections_in_all,
        held=len(status.held),
    )


def _target_seen(target: OfTarget) -> TargetSeen:
    return TargetSeen(
        where=target.where,
        serial=target.serial,
        pushed=target.pushed,
        what=target.what,
        fault=target.why,
        failing_since=target.failing_since,
        names=target.names,
        addresses=target.addresses,
        withheld=target.withheld,
        withheld_in_all=target.withheld_in_all,
    )
