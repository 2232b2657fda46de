"""`consulfwd zone explain`: why a host, a service or a name is in a zone, or is not."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli import zone_dev, zone_options
from consulfwd.cli.options import settings_options
from consulfwd.cli.zone_options import JSON, called, echo

if TYPE_CHECKING:
    from consulfwd.zones.publish.explained import Explained


@click.command()
@click.argument("word", metavar="NAME")
@click.option(
    "--zone", metavar="ZONE", help="Of several zones this one.", shell_complete=zone_options.origins
)
@click.option("--view", metavar="NAME", help="Of zones with that name the one of a view.")
@settings_options
@click.option("--dev", is_flag=True, help="Of the example's services: nothing else is needed.")
@JSON
def explain(word: str, zone: str | None, dev: bool, as_json: bool, **params: Any) -> None:
    """Say why something is in a zone, or is not.

    NAME is a name in the zone (web, or web.svc.example.com), a service, a node, the ID of an
    instance or an address. Told are the records wanted, each instance with its health, what of it
    is held, damped or in the way of others, and what each target has of it or withholds.

    Exit codes: 0 all of it is published, 1 something is not, 2 wrong use, 3 Consul could not be
    asked.
    """
    from consulfwd.zones.publish import showing_why

    zones = (zone,) if zone is not None else ()
    with zone_options.waiting():
        found = asyncio.run(_explained(word, dev, {**params, "zones": zones}))
    # Of several zones those that know of it; if none does, all say so.
    told = [one for one in found if one.known] or found
    if as_json:
        click.echo(json.dumps([showing_why.to_json(one) for one in told], indent=1))
    else:
        for one in told:
            echo([("head", called(one.zone))])
            echo(showing_why.lines(one))
    sys.exit(0 if all(one.well for one in told) else 1)


async def _explained(word: str, dev: bool, params: dict[str, Any]) -> list[Explained]:
    from consulfwd.zones.publish.explained import explain

    async with zone_dev.looking(dev, params) as wanted:
        # What is served there nobody serves yet.
        zones = [one.replace(targets=()) if dev else one for one in wanted.zones]
        return [await explain(wanted, one, word) for one in zones]
