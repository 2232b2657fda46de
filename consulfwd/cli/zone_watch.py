"""`consulfwd zone watch` and `serve`: what goes on until a signal."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli import zone_dev, zone_options
from consulfwd.cli.options import log_option
from consulfwd.cli.zone_options import LOG_JSON, zones_option

if TYPE_CHECKING:
    from consulfwd.zones.publish.running import Wanted


@click.command()
@zones_option
@log_option
@LOG_JSON
@click.option("--once", is_flag=True, help="End once all is in force, or could not be.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 86_400),
    default=300.0,
    show_default=True,
    metavar="S",
    help="Look at each target every so many seconds, though nothing changed in Consul.",
)
def watch(as_json: bool, once: bool, interval: float, **params: Any) -> None:
    """Publish zones, and go on as services change, until SIGTERM.

    Of several hosts that run it one is active, by a lock in Consul; the others are backups. SIGHUP
    reads settings and tokens again, and looks at all targets; SIGUSR1 logs how they are.

    Exit codes: 0 after SIGTERM, 130 after Ctrl-C; with --once 0 all is in force (here, or by who is
    active), 1 it could not be; 2 wrong settings or use, 3 it cannot start.
    """
    sys.exit(_run(_absolute(params), as_json, once=once, look=interval))


@click.command()
@zones_option
@log_option
@LOG_JSON
@click.option("--dev", is_flag=True, help="The example's services, to whoever asks on this host.")
def serve(as_json: bool, dev: bool, **params: Any) -> None:
    """Serve zones to secondaries (AXFR, IXFR, NOTIFY), and publish nowhere else, until SIGTERM.

    As `consulfwd zone watch`, but of each zone's targets for `primary` alone.
    """
    if dev:
        sys.exit(zone_dev.run(params, as_json=as_json))
    sys.exit(_run(_absolute(params), as_json, kinds=("primary",)))


def _absolute(params: dict[str, Any]) -> dict[str, Any]:
    # A reload must not depend on where the process stands now.
    if params.get("config") is not None:
        return {**params, "config": Path(params["config"]).absolute()}
    return params


def _run(params: dict[str, Any], as_json: bool, *, once: bool = False, **options: Any) -> int:
    from consulfwd.cli import logs
    from consulfwd.cli.looked_at import LookedAt
    from consulfwd.keep import follow
    from consulfwd.upkeep import Upkeep
    from consulfwd.zones.publish.making import KINDS
    from consulfwd.zones.publish.running import Running

    kinds = options.setdefault("kinds", KINDS)

    def read() -> Wanted:
        loaded = zone_options.read(params)
        logs.use(loaded, "json" if as_json else None)
        wanted = zone_options.with_targets(zone_options.wanted(loaded, params), kinds)
        if not once:
            admin.use(loaded.settings)
        return wanted

    upkeep = Upkeep.take(os.environ, os.getpid(), "publishing zones", "zone")
    admin = LookedAt(upkeep, "zone")
    running = Running(read, upkeep, **options)
    results: list[bool] = []

    async def main() -> None:
        results.append(await running.run(once=once))

    code = follow.run(main(), upkeep, None if once else admin)
    return 1 if results == [False] else code
