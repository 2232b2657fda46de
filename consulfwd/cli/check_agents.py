"""`consulfwd check agents`: how the running resolver sees its agents and recursors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli.check_options import (
    COUNT,
    STATE,
    bounds,
    perform,
    plugin_options,
    settings,
    thresholds,
)
from consulfwd.errors import UsageError

if TYPE_CHECKING:
    from consulfwd.checks.agents import Seen
    from consulfwd.checks.deadline import Deadline
    from consulfwd.checks.outcome import Outcome

DIRECTLY = "--direct asks the agents of the settings without it"


@click.command()
@click.option(
    "--socket", type=click.Path(path_type=Path), metavar="PATH",
    help="Admin socket of the resolver; unset: that of the one that runs here.",
)  # fmt: skip
@click.option(
    "--direct", is_flag=True, help="Ask the agents and recursors of the settings themselves."
)
@thresholds(
    of=COUNT, what="the number of agents up",
    default="; unset: fewer than all are a warning; none is critical unless said",
)  # fmt: skip
@thresholds("recursors", of=COUNT, what="the number of recursors up", default="; unset: as above")
@click.option(
    "--behind", type=STATE, default="warning", show_default=True,
    help="What a server is worth that is up, but ranked behind others.",
)  # fmt: skip
@click.option(
    "--drained", type=STATE, default="ok", show_default=True,
    help="What a server is worth that was taken out for work.",
)  # fmt: skip
@plugin_options
def agents(**params: Any) -> None:
    """Say which agents and recursors are up, as the running resolver sees them.

    It is asked over its admin socket. A drained server does not count as up, and is not missed.
    With --direct each server is asked one question over DNS instead: consul.service under Consul's
    domain of agents, the root's name servers of recursors.

    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: wrong use, no resolver could be asked,
    errors of the check itself.
    """
    from consulfwd.checks.agents import Wanted

    if params["direct"] and params["socket"] is not None:
        raise UsageError("--direct and --socket: one of them")
    wanted = Wanted(
        bounds(params), bounds(params, "recursors"), params["behind"], params["drained"]
    )

    def check(deadline: Deadline) -> Outcome:
        from consulfwd.checks import agents

        return agents.judge(wanted, _direct(params, deadline) if params["direct"] else
                            _running(params["socket"], deadline))  # fmt: skip

    perform("AGENTS", params, check)


def _running(socket: Path | None, deadline: Deadline) -> Seen:
    """Return what the resolver says that runs here. Raises ConsulfwdError."""
    from consulfwd.checks.asked_resolver import running

    return running(socket, deadline)


def _direct(params: dict[str, Any], deadline: Deadline) -> Seen:
    from consulfwd.checks.asked_resolver import directly

    return directly(settings(params, over_http=False), deadline)
