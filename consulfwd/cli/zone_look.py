"""`consulfwd zone show` and `plan`: what a zone would hold, and what a push would change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli import zone_dev, zone_options
from consulfwd.cli.zone_options import JSON, called, echo, zones_option
from consulfwd.errors import ApplyError, ConsulfwdError, UsageError

if TYPE_CHECKING:
    from consulfwd.config.zones import ZoneSettings
    from consulfwd.zones.plan import Plan
    from consulfwd.zones.publish.asked import Asked, Planned

TARGET = click.option(
    "--target", default="", metavar="WHERE", help="Of several targets this one, as plans call it."
)
ALLOW = click.option(
    "--allow",
    "--allow-removals",
    type=click.IntRange(min=0),
    metavar="N",
    help="Have so many withdrawals done that the budget does not allow; if there are more, none.",
)


@click.command()
@zones_option
@click.option("--dev", is_flag=True, help="Of the example's services: nothing else is needed.")
@click.option("--table", is_flag=True, help="A table instead of a zone file.")
@JSON
def show(dev: bool, table: bool, as_json: bool, **params: Any) -> None:
    """Print what a zone would hold by what Consul says now, as a zone file.

    Its targets are not asked, and nothing is changed. What cannot be in it is told on stderr.

    Exit codes: 0 done, 2 wrong use, 3 Consul could not be asked.
    """
    with zone_options.waiting():
        found = asyncio.run(_shown(dev, params))
    if as_json:
        from consulfwd.zones.publish import showing

        click.echo(
            json.dumps(
                [
                    {
                        "zone": settings.origin,
                        "view": settings.view or "",
                        "records": showing.as_json(records),
                        "objections": left,
                        "doubt": doubt,
                    }
                    for settings, records, left, doubt in found
                ],
                indent=1,
            )
        )
        return
    for settings, records, left, doubt in found:
        _show(settings, records, table, several=len(found) > 1)
        for line in left:
            click.echo(f"not in the zone: {line}", err=True)
        if doubt:
            click.echo(f"nothing would be withdrawn by this: {doubt}", err=True)


async def _shown(dev: bool, params: dict[str, Any]) -> list[tuple[ZoneSettings, Any, Any, str]]:
    from consulfwd.zones.publish.asked import looked_at, objections

    found = []
    async with zone_dev.looking(dev, params) as wanted:
        for settings in wanted.zones:
            moves = wanted.moves(settings, looking=True)
            looked = looked_at(wanted.agents, settings, removals=False, moves=moves)
            async with looked as zone:
                found.append((settings, dict(zone.wanted), objections(zone), zone.doubt))
    return found


def _show(settings: ZoneSettings, records: Any, table: bool, *, several: bool) -> None:
    import time

    from consulfwd.zones.publish import showing

    if several:
        click.echo(f"; {called(settings)}")
    whole = showing.table(records)
    if not table:
        whole = showing.zone_file(settings, int(time.time()), records)
    for line in whole:
        click.echo(line)


@click.command()
@zones_option
@TARGET
@ALLOW
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the plan there, for `consulfwd zone apply FILE`.",
)
@JSON
def plan(
    target: str, allow: int | None, out: Path | None, as_json: bool, **params: Any
) -> None:
    """Print what a push would change at each target now, what is withheld, and why.

    Nothing is changed. A plan in a FILE can be applied as long as the target and what Consul says
    are as they were.

    Exit codes: 0 nothing to do, 1 something would change (or is withheld), or a target cannot be
    read, 2 wrong use, 3 Consul could not be asked.
    """
    from consulfwd.zones import plan_file
    from consulfwd.zones.publish import showing
    from consulfwd.zones.publish.asked import Asked

    wanted = zone_options.load(params, warnings=True)
    with zone_options.waiting():
        found = [
            (zone, asyncio.run(Asked(wanted, zone).plans(target, allow))) for zone in wanted.zones
        ]
    every = [one for _, plans in found for one in plans]
    if not every:
        raise UsageError(f"--target {target}: there is none" if target else "there are no targets")
    made = [one.plan for one in every if one.plan is not None]
    if out is not None:
        if len(every) > 1:
            where = "; ".join(one.where for one in every)
            raise UsageError(f"-o: there are several targets, choose one with --target: {where}")
        if made:
            _write(out, plan_file.write(made[0]))
    if as_json:
        click.echo(json.dumps([_planned_json(one) for one in every], indent=1))
    else:
        for zone, plans in found:
            click.echo(called(zone))
            for one in plans:
                if one.plan is not None:
                    echo(showing.plan_lines(one.plan))
                    _tell_own_count(Asked(wanted, zone), one.plan)
            first = next((one.plan for one in plans if one.plan is not None), None)
            if first is not None:
                echo(showing.beside(first))
    faults = [one.fault for one in every if one.fault]
    for fault in faults:
        click.echo(f"consulfwd: {fault}", err=True)
    sys.exit(1 if faults or any(one.acts or one.withheld for one in made) else 0)


def _tell_own_count(asked: Asked, plan: Plan) -> None:
    """Say what the publisher on this host would have allowed, if it counts otherwise."""
    if not plan.over:
        return
    with contextlib.suppress(ConsulfwdError):
        here = asked.here()
        if here is not None and here.state == "active":
            commands = {one.where: one.command for one in here.targets}
            theirs = commands.get(plan.target, "")
            if theirs and theirs != plan.command:
                echo([("wait", f"  the publisher on this host counts so: {theirs}")])


def _planned_json(one: Planned) -> dict[str, Any]:
    from consulfwd.zones import plan_file

    if one.plan is None:
        return {"target": one.where, "fault": one.fault}
    return plan_file.to_json(one.plan)


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ApplyError(str(path), f"cannot be written: {error.strerror or error}") from error
