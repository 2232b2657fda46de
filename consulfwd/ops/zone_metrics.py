"""The metrics of zones, for running publishers and for `zone status --metrics`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from consulfwd.ops.metric_forms import Part, Subject, gauge
from consulfwd.ops.snapshot import Snapshot, ZoneSeen
from consulfwd.ops.wrong import with_zone


class ZoneReport(NamedTuple):
    """A zone: whether all is well with it on any host, and what is known of it on this one, when.

    `here` is None where nothing is known.
    """

    zone: str
    view: str
    well: bool
    here: ZoneSeen | None
    written: float


def reports(seen: Snapshot) -> list[ZoneReport]:
    """Return what a process tells of its zones."""
    return [
        ZoneReport(one.zone, one.view, not with_zone(one), one, seen.taken) for one in seen.zones
    ]


def _every_zone(found: Iterable[ZoneReport]) -> Iterator[Subject]:
    for one in found:
        yield (one.zone, one.view), one


def _zones_here(found: Iterable[ZoneReport]) -> Iterator[Subject]:
    for one in found:
        if one.here is not None:
            yield (one.zone, one.view), one.here


def _targets(found: Iterable[ZoneReport]) -> Iterator[Subject]:
    for one in found:
        for target in one.here.targets if one.here is not None else ():
            yield (one.zone, one.view, target.where), target


OF_ZONES = (
    Part("zone", ("zone", "view"), _every_zone, (
        gauge("consulfwd_zone_well", "Whether it is published, by any host, and nothing fails.",
              lambda one: one.well),
        gauge("consulfwd_zone_written_timestamp_seconds", "When what is told here was so.",
              lambda one: one.written if one.here is not None else None),
    )),
    Part("zone", ("zone", "view"), _zones_here, (
        gauge("consulfwd_zone_active", "Whether this host publishes it.",
              lambda one: one.state == "active"),
        gauge("consulfwd_zone_paused", "Whether nothing is to be published.",
              lambda one: bool(one.paused)),
        gauge("consulfwd_zone_doubt", "Whether nothing is withdrawn by what Consul says.",
              lambda one: bool(one.doubt)),
        gauge("consulfwd_zone_objections", "What cannot be in it, or is another's.",
              lambda one: one.objections_in_all),
        gauge("consulfwd_zone_held", "Instances held as they were, 100 at most.",
              lambda one: one.held),
    )),
    Part("target of a zone", ("zone", "view", "target"), _targets, (
        gauge("consulfwd_zone_target_failing", "Whether it fails.",
              lambda one: bool(one.fault)),
        gauge("consulfwd_zone_target_withheld", "Sets of records that wait.",
              lambda one: one.withheld_in_all),
        gauge("consulfwd_zone_target_names", "Names it is to hold.", lambda one: one.names),
        gauge("consulfwd_zone_target_addresses", "Addresses it is to hold.",
              lambda one: one.addresses),
        gauge("consulfwd_zone_target_serial", "Its serial.", lambda one: one.serial),
        gauge("consulfwd_zone_target_pushed_timestamp_seconds", "When it was last pushed to.",
              lambda one: one.pushed or None),
    )),
)  # fmt: skip
