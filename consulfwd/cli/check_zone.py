"""`consulfwd check zone`: are zones published, and do they arrive?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli.check_options import (
    COUNT,
    SECONDS,
    STATE,
    bounds,
    perform,
    plugin_options,
    server,
    thresholds,
)
from consulfwd.cli.zone_options import origins

if TYPE_CHECKING:
    from consulfwd.checks.asked_dns import Server
    from consulfwd.checks.deadline import Deadline
    from consulfwd.checks.outcome import Outcome
    from consulfwd.config.zones import ZoneSettings

_PORT = 53


@click.command()
@click.argument("zones", nargs=-1, metavar="[ZONE]...", shell_complete=origins)
@click.option("--view", metavar="NAME", help="Of zones with that name the one of a view.")
@click.option(
    "-s", "--secondary", "secondaries", multiple=True, metavar="HOST[:PORT]",
    help="A server whose serial is asked for, and compared. Repeatable.",
)  # fmt: skip
@click.option(
    "--secondaries", "notified", is_flag=True, help="Those that the settings have notified, too."
)
@thresholds(
    of=SECONDS, what="the time that a target fails",
    default="; unset: at once a warning, critical after 1h",
)  # fmt: skip
@thresholds(
    "withheld", of=COUNT, what="the number of withheld changes", default="; unset: any is a warning"
)
@thresholds("pushed", of=SECONDS, what="the time since the last push")
@thresholds(
    "lag", of=COUNT, what="how far a secondary's serial is behind",
    default="; unset: any is a warning",
)  # fmt: skip
@click.option(
    "--paused", type=STATE, default="warning", show_default=True,
    help="What a zone is worth that is paused.",
)  # fmt: skip
@plugin_options
def zone(**params: Any) -> None:
    """Say whether a zone is published, what fails or is withheld, and whether secondaries have it.

    Without a ZONE all zones of the settings are meant. A zone that nobody publishes is CRITICAL, a
    secondary that gives no serial is a warning, none that does CRITICAL.

    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: wrong use, Consul could not be asked,
    errors of the check itself.
    """
    named = [server(one, _PORT) for one in params["secondaries"]]
    what = ", ".join(params["zones"])

    def check(deadline: Deadline) -> Outcome:
        from consulfwd.checks import asked_zone, zones
        from consulfwd.checks.asked_dns import Server
        from consulfwd.cli import zone_options
        from consulfwd.cli.options import load_from_options

        wanted = zone_options.wanted(load_from_options({"config": params["config"]}), params)
        secondaries = [Server(*one) for one in named]
        found = [
            asked_zone.told(
                wanted, one, [*secondaries, *(_notified(one) if params["notified"] else ())],
                deadline,
            )
            for one in wanted.zones
        ]  # fmt: skip
        asked_for = zones.Wanted(
            failing=_or(bounds(params), zones.FAILING),
            withheld=_or(bounds(params, "withheld"), zones.NONE_AT_ALL),
            pushed=bounds(params, "pushed"),
            lag=_or(bounds(params, "lag"), zones.NONE_AT_ALL),
            paused=params["paused"],
        )
        return zones.judge(asked_for, found, time.time())

    perform("ZONE", params, check, what=what)


def _or(given: Any, default: Any) -> Any:
    """Return thresholds, the usual ones where none are given."""
    return given or default


def _notified(zone: ZoneSettings) -> list[Server]:
    """Return the secondaries that are told of changes."""
    from consulfwd.checks.asked_dns import Server

    return [
        Server(one.host, one.port)
        for target in zone.targets
        if target.primary is not None
        for one in target.primary.notify
    ]
