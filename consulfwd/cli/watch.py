"""`consulfwd watch`: the healthy instances of a service, printed or told to a command."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli.options import load_from_options, log_option, settings_options
from consulfwd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from consulfwd.api import Backends, Change
    from consulfwd.config import Settings


@click.command()
@click.argument("service")
@settings_options
@log_option
@click.option(
    "--exec",
    "written",
    metavar="COMMAND",
    help="Run it now and after changes; words as in a shell, but none runs it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print changes as JSON, an object a line.")
@click.option("--once", is_flag=True, help="End after the first: what there is now.")
@click.option("--tag", default="", metavar="TAG", help="Only instances with this tag.")
@click.option("--dc", default="", metavar="NAME", help="Look in this datacenter.")
@click.option("--passing", is_flag=True, help="Without instances whose checks warn.")
@click.option(
    "--quiescence",
    default="0.2:2",
    show_default=True,
    metavar="MIN[:MAX]",
    help="Seconds without a further change, and at most, until COMMAND runs.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 86_400),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds COMMAND may take; then it is ended, with all it started.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 86_400),
    default=10.0,
    show_default=True,
    metavar="S",
    help="With --once: seconds Consul may take to answer.",
)
def watch(service: str, **params: Any) -> None:
    """Print the healthy instances of SERVICE, and each change; or have COMMAND told.

    COMMAND gets on its standard input, as JSON, which instances there are, and which were added,
    removed and updated since it last ended with 0; in its environment CONSULFWD_SERVICE and the
    numbers CONSULFWD_HEALTHY, _ADDED, _REMOVED, _UPDATED. It runs once at the start. One runs at a
    time; what changes meanwhile the next one is told as one change. One that fails runs again after
    5 s, then after twice as long each time, 5 minutes at most.

    While no agent answers, the instances known last stay, and "stale" says why. SIGHUP reads the
    settings again, SIGUSR1 logs how it is.

    Exit codes: 0 after SIGTERM, 130 after Ctrl-C; with --once 0, or 1 COMMAND failed, 3 Consul
    could not be asked; 2 wrong use.
    """
    import asyncio

    from consulfwd.backends.watching import Wanted, Watching
    from consulfwd.cli import applying, logs
    from consulfwd.notify import Notifier

    words = _words(params["written"])
    if words and params["as_json"]:
        raise UsageError("--exec and --json: one of them (COMMAND is told as JSON anyhow)")
    pace = applying.pace(str(params["quiescence"]))
    show = _as_json(service, params["dc"]) if params["as_json"] else _as_text()
    wanted = Wanted(words, pace, show, params["timeout"], params["once"], params["wait"])

    def read() -> Settings:
        loaded = load_from_options(params)
        logs.use(loaded)
        return loaded.settings

    # What is run is not to speak for us to the service manager.
    notifier = Notifier.take(os.environ, os.getpid())
    watched = _backends(service, read(), params)
    sys.exit(asyncio.run(Watching(watched, wanted, notifier, read).run()))


def _words(written: str | None) -> list[str]:
    """Return the words of a command. Raises UsageError where it cannot be run."""
    import shlex
    import shutil

    if written is None:
        return []
    try:
        words = shlex.split(written)
    except ValueError as error:
        raise UsageError(f"--exec: {written!r}: {str(error).lower()}") from None
    if not words:
        raise UsageError("--exec: there is no command")
    if shutil.which(words[0]) is None:
        raise UsageError(f"--exec: {words[0]}: it is not installed, or not executable")
    return words


def _backends(service: str, settings: Settings, params: dict[str, Any]) -> Backends:
    from consulfwd.api import backends

    return backends(
        service,
        settings=settings,
        tag=params["tag"],
        datacenter=params["dc"],
        passing_only=params["passing"],
    )


def _as_json(service: str, datacenter: str) -> Callable[[Change], None]:
    import json

    def show(change: Change) -> None:
        told = {"service": service, "datacenter": datacenter, **change.as_json()}
        click.echo(json.dumps(told))

    return show


def _as_text() -> Callable[[Change], None]:
    stale = ""

    def show(change: Change) -> None:
        nonlocal stale
        for sign, backends in (
            ("-", change.removed), ("+", change.added), ("~", change.updated),
        ):  # fmt: skip
            for one in backends:
                tags = f" {','.join(one.tags)}" if one.tags else ""
                click.echo(f"{sign} {one}  {one.node}  {one.status}{tags}")
        if change.stale != stale:
            stale = change.stale
            click.echo(f"! stale: {stale}" if stale else "! current again")

    return show
