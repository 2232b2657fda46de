"""`consulfwd check failover`: names that move with health, as a plug-in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli.check_options import STATE, perform, plugin_options

if TYPE_CHECKING:
    from consulfwd.checks.deadline import Deadline
    from consulfwd.checks.outcome import Outcome


@click.command()
@click.option(
    "--socket", type=click.Path(path_type=Path), metavar="PATH",
    help="Admin socket of the resolver; unset: that of the one that runs here.",
)  # fmt: skip
@click.option(
    "--name", "names", metavar="NAME", multiple=True,
    help="Look at these names, which may be patterns; unset: all. Repeatable.",
)  # fmt: skip
@click.option(
    "--moved", type=STATE, default="warning", show_default=True,
    help="What it is worth that another pool than the first answers.",
)  # fmt: skip
@click.option(
    "--down", type=STATE, default="warning", show_default=True,
    help="What an address is worth that is down.",
)  # fmt: skip
@click.option(
    "--held", type=STATE, default="warning", show_default=True,
    help="What it is worth that states are held, as nothing can be checked.",
)  # fmt: skip
@click.option(
    "--forced", type=STATE, default="ok", show_default=True,
    help="What an order of people is worth.",
)  # fmt: skip
@plugin_options
def failover(**params: Any) -> None:
    """Say how names that move with health are, as the running resolver sees them.

    It is asked over its admin socket. A name without an answer, or without a pool that is well, is
    CRITICAL.

    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: wrong use, there is no such name, no
    resolver could be asked, errors of the check itself.
    """

    def check(deadline: Deadline) -> Outcome:
        from consulfwd.checks import failover
        from consulfwd.checks.asked_resolver import seen

        said, asked = seen(params["socket"], deadline)
        states = (params[one] for one in ("moved", "down", "held", "forced"))
        wanted = failover.Wanted(params["names"], *states)
        return failover.judge(wanted, failover.read(said, asked), asked)

    perform("FAILOVER", params, check)
