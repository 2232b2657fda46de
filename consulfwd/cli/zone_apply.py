"""`consulfwd zone apply`: publish once, or exactly a plan."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli import zone_options
from consulfwd.cli.options import log_option, tell_warnings
from consulfwd.cli.zone_look import ALLOW
from consulfwd.cli.zone_options import JSON, called, echo, zones_option
from consulfwd.errors import ApplyError, ConsulfwdError, UsageError

# Of what was done so many lines are shown.
MOST = 100

if TYPE_CHECKING:
    from consulfwd.config.zones import ZoneSettings
    from consulfwd.zones.plan import Plan
    from consulfwd.zones.publish.asked import Done
    from consulfwd.zones.publish.showing import Line


@click.command()
@zones_option
@log_option
@ALLOW
@JSON
def apply(allow: int | None, as_json: bool, zones: tuple[str, ...], **params: Any) -> None:
    """Publish zones once, or exactly what a plan says: `consulfwd zone apply FILE`.

    Whatever is in place of ZONE and is no zone in the settings is such a FILE. It is refused where
    the target was changed meanwhile, which is named, or Consul says other things, or planning anew
    comes to something else.

    Where another publisher is active --allow is handed on to it, and all else refused.

    Exit codes: 0 done, or nothing to do, 1 it could not be done, 2 wrong use, 3 Consul could not be
    asked.
    """
    zone_options.told_briefly()
    loaded = zone_options.read(params)
    # With --log-level there is a log, with these in it.
    tell_warnings(loaded)
    approved: dict[str, Plan] = {}
    known = {one.origin for one in loaded.settings.zones}
    names = [one.lower().removesuffix(".") for one in zones]
    if loaded.settings.zones and len(zones) == 1 and names[0] not in known:
        made = _read(Path(zones[0]))
        approved[made.target] = made
        zones = (made.zone,)
        params["view"] = made.view or params["view"]
    wanted = zone_options.wanted(loaded, {**params, "zones": zones})
    if allow is not None and len(wanted.zones) > 1:
        raise UsageError("--allow is for one zone: name it")
    from consulfwd.zones.publish.asked import Asked

    reports: list[tuple[ZoneSettings, Done]] = []
    faults: list[ConsulfwdError] = []
    for zone in wanted.zones:
        asked = Asked(wanted, zone, lambda text: click.echo(text, err=True))
        try:
            with zone_options.waiting():
                done = asyncio.run(asked.apply(approved, allow))
        except ConsulfwdError as error:
            faults.append(error)
            continue
        reports.append((zone, done))
        for place in done.places:
            if place.fault:
                faults.append(ApplyError(*_split(place.fault)))
            elif place.waiting:
                faults.append(ApplyError(place.where, place.waiting))
    if as_json:
        click.echo(json.dumps([_json(zone, done) for zone, done in reports], indent=1))
    else:
        for zone, done in reports:
            click.echo(called(zone))
            _print(done)
    for fault in faults[:-1]:
        click.echo(f"consulfwd: {fault}", err=True)
    if faults:
        raise faults[-1]


def _split(fault: str) -> tuple[str, str]:
    where, _, what = fault.partition(": ")
    return where, what


def _read(path: Path) -> Plan:
    from consulfwd.zones import plan_file

    try:
        with path.open("rb") as file:
            data = file.read(plan_file.LARGEST + 1)
    except FileNotFoundError:
        what = f"{path}: is none of the zones in the settings, and no file"
        raise UsageError(what) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    return plan_file.load(data, str(path))


def _json(zone: Any, done: Done) -> dict[str, Any]:
    from consulfwd.zones import plan_file

    return {
        "zone": zone.origin,
        "view": zone.view or "",
        "handed_to": done.holder,
        "targets": [
            {
                "where": place.where,
                "pushed": bool(place.pushed),
                "serial": place.serial,
                "fault": place.fault,
                "plan": None if place.plan is None else plan_file.to_json(place.plan),
            }
            for place in done.places
        ],
    }


def _in_part(lines: Sequence[Line], waiting: Sequence[Line]) -> Iterator[Line]:
    """Yield what was done, as far as it is short, and what waits."""
    done = [one for one in lines if one[0] != "wait"]
    for part in (done, waiting):
        # The last one says what allows it.
        shown = part if len(part) <= MOST else [*part[: MOST - 1], part[-1]]
        yield from shown[:-1]
        if len(shown) < len(part):
            yield "plain", f"  and {len(part) - len(shown)} lines more: --json has all"
        yield from shown[-1:]


def _print(done: Done) -> None:
    from consulfwd.zones.publish import showing

    if done.holder:
        click.echo(
            f"  left to {done.holder}, who publishes it, and does it if that is no less than what"
            " waits there: see `consulfwd zone status` on that host, or its log"
        )
    plan = None
    for place in done.places:
        if place.plan is None or place.fault or place.waiting:
            continue
        plan = place.plan
        lines = list(showing.plan_lines(plan))
        serial = "" if place.serial is None else f", serial {place.serial}"
        if place.pushed:
            mood, first = lines[0]
            lines[0] = mood, f"{first}: done{serial}"
        echo(_in_part(lines, [one for one in lines if one[0] == "wait"]))
    if plan is not None:
        echo(showing.beside(plan))
