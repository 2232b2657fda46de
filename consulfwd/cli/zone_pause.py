"""`consulfwd zone pause` and `resume`: have nothing published, and go on."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli import zone_options
from consulfwd.cli.zone_options import JSON, called, zones_option
from consulfwd.errors import UsageError

if TYPE_CHECKING:
    from consulfwd.config.zones import ZoneSettings
    from consulfwd.zones.publish.running import Wanted

# A zone, and whether it was paused before.
Ordered = Sequence[tuple["ZoneSettings", bool]]


@click.command()
@zones_option
@click.option("--reason", default="", metavar="TEXT", help="Why, for others to read.")
@JSON
def pause(reason: str, as_json: bool, **params: Any) -> None:
    """Have nothing published, by whichever host is active, until `consulfwd zone resume`.

    Consul is followed all the same. Exit codes: 0 done, 2 wrong use, 3 Consul could not be asked.
    """
    if not reason.isprintable():
        raise UsageError("--reason: it has letters in it that cannot be shown")

    async def paused(wanted: Wanted) -> None:
        from consulfwd.zones.publish.asked import Asked

        for zone in wanted.zones:
            await Asked(wanted, zone).pause(reason)
            if not as_json:
                click.echo(f"{called(zone)}: paused")

    wanted = zone_options.load(params)
    asyncio.run(paused(wanted))
    if as_json:
        click.echo(json.dumps([_json(zone, paused=True) for zone in wanted.zones], indent=1))


@click.command()
@zones_option
@JSON
def resume(as_json: bool, **params: Any) -> None:
    """Have it go on after `consulfwd zone pause`.

    Exit codes: 0 done, 1 it was not paused, 2 wrong use, 3 Consul could not be asked.
    """

    async def resumed(wanted: Wanted) -> Ordered:
        from consulfwd.zones.publish.asked import Asked

        found = []
        for zone in wanted.zones:
            there = await Asked(wanted, zone).resume()
            found.append((zone, there))
            if not as_json:
                click.echo(f"{called(zone)}: {'goes on' if there else 'was not paused'}")
        return found

    found = asyncio.run(resumed(zone_options.load(params)))
    if as_json:
        said = [_json(zone, paused=False, was_paused=there) for zone, there in found]
        click.echo(json.dumps(said, indent=1))
    sys.exit(0 if all(there for _, there in found) else 1)


def _json(zone: ZoneSettings, **values: bool) -> dict[str, Any]:
    return {"zone": zone.origin, "view": zone.view or "", **values}
