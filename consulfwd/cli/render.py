"""`consulfwd render`: files of any kind, made of templates and of what Consul knows."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from consulfwd.cli import applying
from consulfwd.cli.options import load_from_options, settings_options
from consulfwd.errors import UsageError

if TYPE_CHECKING:
    from consulfwd.apply.jobs import Job
    from consulfwd.config import Agent
    from consulfwd.template.templates import Destination

_MODES = ("once", "watch", "dry_run", "diff", "check")


@click.command()
@click.argument("written", nargs=-1, required=True, metavar="TEMPLATE:DEST[:COMMAND]...")
@settings_options
@click.option("--once", is_flag=True, help="Render, replace what changed, and end. [default]")
@click.option("--watch", is_flag=True, help="Go on: again whenever Consul or a template changes.")
@click.option("--dry-run", is_flag=True, help="Print the texts instead.")
@click.option("--diff", is_flag=True, help="Show what would change instead.")
@click.option("--check", is_flag=True, help="Exit with 1 if something would change.")
@applying.QUIESCENCE
@click.option("--json", "as_json", is_flag=True, help="What was done, or the texts, as JSON.")
def render(written: tuple[str, ...], **params: object) -> None:
    r"""Render templates with what Consul knows, and run a command after files that changed.

    Each TEMPLATE is rendered to the file DEST, whose directory must exist; COMMAND is then run by
    /bin/sh, once for all files that share it. If it fails, the old files are put back. A colon in
    a path is written as \: and all after the second colon is the command.

    Templates ask with service('web'), services(), nodes(), key('path'), keys('prefix/'),
    leader('lock/key') and datacenters().

    Exit codes: 0 done, or nothing to do, 1 it could not be done (or --check found a difference),
    2 wrong use, 3 Consul could not be asked.
    """
    from consulfwd.template.templates import destination

    mode = applying.chosen(params, _MODES, "once")
    destinations = [destination(one) for one in written]
    _usable(destinations, printed=mode == "dry_run")
    pace = applying.pace(str(params["quiescence"]))
    loaded = load_from_options(params)
    agents = loaded.settings.consul.agents
    if mode == "watch":
        from consulfwd.cli import logs
        from consulfwd.keep.follow import run
        from consulfwd.template.live import keep_current

        logs.use(loaded)
        run(keep_current(destinations, agents, pace))
        return
    for problem in loaded.warnings:
        click.echo(f"warning: {problem}", err=True)
    made = _jobs(destinations, agents)
    applying.carry_out(mode, made, as_json=bool(params["as_json"]), writes="once")


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


def _jobs(destinations: Sequence[Destination], agents: Sequence[Agent]) -> list[Job]:
    """Return the jobs with the texts of all templates. Raises what is wrong with the first."""
    import asyncio

    from consulfwd.template.live import texts
    from consulfwd.template.templates import Templates

    made, told = asyncio.run(texts(destinations, agents))
    for text in made.values():
        if not isinstance(text, str):
            raise text
    for line in told:
        click.echo(f"warning: {line}", err=True)
    return Templates(destinations).jobs(made)
