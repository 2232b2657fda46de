"""`consulfwd render`: files of any kind, made of templates and of what Consul knows."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from consulfwd.cli import applying
from consulfwd.cli.options import load_from_options, log_option, settings_options, tell_warnings
from consulfwd.errors import UsageError

if TYPE_CHECKING:
    from consulfwd.apply.jobs import Job
    from consulfwd.apply.places import Links
    from consulfwd.config import Agent
    from consulfwd.keep.quiescence import Quiescence
    from consulfwd.template.guards import Guards
    from consulfwd.template.templates import Destination, RenderFault

_MODES = ("once", "watch", "dry_run", "diff", "check")


@click.command()
@click.argument("written", nargs=-1, required=True, metavar="TEMPLATE:DEST[:COMMAND]...")
@settings_options
@log_option
@click.option("--once", is_flag=True, help="Render, replace what changed, and end. [default]")
@click.option("--watch", is_flag=True, help="Go on: again whenever Consul or a template changes.")
@click.option("--dry-run", is_flag=True, help="Print the texts instead.")
@click.option("--diff", is_flag=True, help="Show what would change instead.")
@click.option("--check", is_flag=True, help="Exit with 1 if something would change.")
@applying.LINKS
@applying.QUIESCENCE
@click.option(
    "--min-instances",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Write no file with a list of fewer instances of a service.",
)
@click.option(
    "--max-shrink",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Write no file, nor such a list, that is smaller than before by more than this.",
)
@click.option("--json", "as_json", is_flag=True, help="What was done, or the texts, as JSON.")
def render(written: tuple[str, ...], **params: object) -> None:
    r"""Render templates with what Consul knows, and run a command after files that changed.

    Each TEMPLATE is rendered to the file DEST, whose directory must exist; COMMAND is then run by
    /bin/sh, once for all files that share it. If it fails, the old files are put back, unless it
    says by exit code 75, or in words of systemctl, nginx and others, that nobody runs. A colon in a
    path is written as \: and all after the second colon is the command. A template that fails
    keeps none of the others from its file.

    Templates ask with service('web'), services(), nodes(), key('path'), keys('prefix/'),
    leader('lock/key') and datacenters().

    Exit codes: 0 done, or nothing to do, 1 it could not be done (or --check found a difference),
    2 wrong use, 3 Consul could not be asked. --watch ends with 0 after SIGTERM, 130 after Ctrl-C.
    """
    from consulfwd.template.templates import destination

    mode = applying.chosen(params, _MODES, "once")
    destinations = [destination(one) for one in written]
    _usable(destinations, printed=mode == "dry_run")
    pace = applying.pace(str(params["quiescence"]))
    if mode == "watch":
        sys.exit(_watch(destinations, pace, params))
    loaded = load_from_options(params)
    agents = loaded.settings.consul.agents
    tell_warnings(loaded)
    guards = _guards(params) if mode == "once" else None
    made, faults = _jobs(destinations, agents, applying.links(params), guards)
    as_json = bool(params["as_json"])
    applying.carry_out(mode, made, as_json=as_json, writes="once", faults=faults)


def _watch(
    destinations: Sequence[Destination], pace: Quiescence, params: Mapping[str, object]
) -> int:
    """Keep the files current until a signal; return the exit code."""
    from consulfwd.cli import logs
    from consulfwd.cli.looked_at import LookedAt
    from consulfwd.keep.follow import run
    from consulfwd.template.live import keep_current
    from consulfwd.upkeep import Upkeep

    def read() -> Sequence[Agent]:
        loaded = load_from_options(params)
        logs.use(loaded)
        admin.use(loaded.settings)
        return loaded.settings.consul.agents

    first, *others = (str(one.path) for one in destinations)
    more = f" and {len(others)} more" if others else ""
    upkeep = Upkeep.take(os.environ, os.getpid(), f"keeping {first}{more} current")
    admin = LookedAt(upkeep, "render", destinations[0].path.name)
    kept = keep_current(
        destinations, read, pace, upkeep, _guards(params), applying.links(params)
    )
    return run(kept, upkeep, admin)


def _guards(params: Mapping[str, object]) -> Guards:
    from consulfwd.template.guards import Guards

    least, most = params["min_instances"], params["max_shrink"]
    return Guards(int(str(least)), None if most is None else float(str(most)))


def _usable(destinations: Sequence[Destination], *, printed: bool) -> None:
    """Raise UsageError for paths that lead nowhere."""
    for one in destinations:
        if not stat.S_ISREG(_mode(one.template)):
            raise UsageError(f"{one.template}: there is no such template")
        if not printed and not stat.S_ISDIR(_mode(one.path.parent)):
            raise UsageError(f"{one.path}: there is no directory {one.path.parent} (make it first)")
        if not printed and stat.S_ISDIR(_mode(one.path)):
            raise UsageError(f"{one.path}: is a directory (give the file's name too)")


def _mode(path: Path) -> int:
    """Return the mode of what is there, 0 if nothing is. Raises UsageError if none can tell."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        mend = "see to the path, and to who may enter the directories on the way"
        raise UsageError(f"{path}: {reason} ({mend})") from None


def _jobs(
    destinations: Sequence[Destination],
    agents: Sequence[Agent],
    links: Links,
    guards: Guards | None,
) -> tuple[list[Job], list[RenderFault]]:
    """Return the jobs of the templates that have a text, and why the others have none.

    Where they are to be written `guards` hold; else there are none.
    """
    import asyncio

    from consulfwd.template.live import texts
    from consulfwd.template.templates import Templates

    made, told = asyncio.run(texts(destinations, agents, guards))
    good = {one: text for one, text in made.items() if isinstance(text, str)}
    faults = [text for text in made.values() if not isinstance(text, str)]
    for line in told if good else ():
        click.echo(f"warning: {line}", err=True)
    return Templates(destinations, links).jobs(good), faults
