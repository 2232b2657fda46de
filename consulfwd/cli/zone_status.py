"""`consulfwd zone status`: who publishes a zone, what is withheld, what fails."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli import zone_options
from consulfwd.cli.zone_options import JSON, called, echo, zones_option
from consulfwd.errors import ConsulError, ConsulfwdError, UsageError

if TYPE_CHECKING:
    from consulfwd.config.zones import ZoneSettings
    from consulfwd.zones.publish.running import Wanted


@click.command()
@zones_option
@JSON
@click.option("--metrics", is_flag=True, help="The same as metrics, in Prometheus' text form.")
def status(as_json: bool, metrics: bool, **params: Any) -> None:
    """Say who publishes a zone, since when, what is withheld, what fails, and why.

    That is what is in Consul's KV store, and what the publisher on this host has written down.

    Exit codes: 0 it is published, and nothing fails, 1 otherwise, 2 wrong use, 3 Consul could not
    be asked.
    """
    if as_json and metrics:
        raise UsageError("--json and --metrics: one of them")
    wanted = zone_options.load(params)
    reports = [asyncio.run(_status(wanted, zone)) for zone in wanted.zones]
    if as_json:
        click.echo(json.dumps([one.as_json() for one in reports], indent=1))
    elif metrics:
        _print_metrics(reports)
    else:
        for one in reports:
            one.print()
    away = next((one.away for one in reports if one.away is not None), None)
    if away is not None:
        raise away
    sys.exit(0 if all(one.well for one in reports) else 1)


def _print_metrics(reports: Sequence[_Report]) -> None:
    from consulfwd.ops.metrics import zones_exposition
    from consulfwd.ops.zone_metrics import ZoneReport
    from consulfwd.zones.publish.seeing import zone_seen

    found = [
        ZoneReport(
            one.zone.origin,
            one.zone.view or "",
            one.well and one.away is None,
            None if one.here is None else zone_seen(one.here),
            0.0 if one.here is None else one.here.written,
        )
        for one in reports
    ]
    click.echo(zones_exposition(found), nl=False)


class _Report:
    """What is known of one zone."""

    def __init__(self, zone: ZoneSettings) -> None:
        self.zone = zone
        self.publishers: Any = None
        self.here: Any = None
        self.faults: list[str] = []
        self.away: ConsulError | None = None

    @property
    def well(self) -> bool:
        """Whether it is published, and nothing fails or is paused."""
        from consulfwd.ops.wrong import hinders, with_zone
        from consulfwd.zones.publish.seeing import zone_seen

        seen = None if self.here is None else zone_seen(self.here)
        if self.faults or (seen is not None and hinders(seen)):
            return False
        if self.publishers is None:
            return seen is not None and not with_zone(seen)
        # Whether this host's publisher runs matters less: another one does it.
        return self.publishers.holder is not None and not self.publishers.orders.paused

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        from consulfwd.zones.publish import status as form

        found: dict[str, Any] = {"zone": self.zone.origin, "view": self.zone.view or ""}
        if self.publishers is not None:
            holder = self.publishers.holder
            found["active"] = None if holder is None else holder.who
            found["active_since"] = None if holder is None else holder.since
            found["lock"] = self.publishers.number
            found["serial"] = self.publishers.serial
            found["remembered"] = self.publishers.saved
            found["paused"] = self.publishers.orders.paused
        found["here"] = None if self.here is None else form.to_json(self.here)
        found["faults"] = self.faults
        return found

    def print(self) -> None:
        """Print it for people."""
        from consulfwd.words import moment
        from consulfwd.zones.publish.showing import status_lines

        echo([("head", called(self.zone))])
        found = self.publishers
        if found is not None:
            holder = found.holder
            click.echo(f"  active: {holder}" if holder else "  active: nobody")
            if found.saved:
                serial = "" if found.serial is None else f", serial {found.serial}"
                click.echo(
                    f"  last written down {moment(found.saved)}, lock number {found.number}"
                    f"{serial}"
                )
            if found.orders.paused:
                echo([("wait", f"  {found.orders.paused}")])
            if found.orders.allow is not None:
                allow = found.orders.allow
                until = moment(allow.until)
                click.echo(f"  {allow.by} allows {allow.number} withdrawals more until {until}")
        if self.here is not None:
            echo(status_lines(self.here))
        for fault in self.faults:
            echo([("take", f"  {fault}")])


async def _status(wanted: Wanted, zone: ZoneSettings) -> _Report:
    from consulfwd.zones.publish.asked import Asked

    asked, report = Asked(wanted, zone), _Report(zone)
    try:
        report.here = asked.here()
    except ConsulfwdError as error:
        report.faults.append(str(error))
    try:
        report.publishers = await asked.publishers()
        if report.publishers is not None and report.publishers.fault:
            report.faults.append(report.publishers.fault)
    except ConsulError as error:
        report.away = error
    except ConsulfwdError as error:
        report.faults.append(str(error))
    return report
