"""`consulfwd querylog`: what the running resolver is asked, in its log or here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from consulfwd.cli import asking
from consulfwd.cli.asking import JSON, socket_option

SAMPLE = click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="PART",
    help="So much of them, taken at random, such as 0.01.",
)


@click.group()
def querylog() -> None:
    """Have the queries of the running resolver logged, or see them as they come."""


@querylog.command()
@SAMPLE
@socket_option
@JSON
def on(sample: float | None, socket: Path | None, as_json: bool) -> None:
    """Have queries logged from now on.

    That is so until `off`, a restart, or a reload that changes these settings. They go where the
    settings (`querylog`) say, in the form they say; without --sample as many.

    Exit codes: 0 done, 2 wrong use, 3 the resolver could not be asked.
    """
    _switch(socket, {"state": "on", **({} if sample is None else {"sample": sample})}, as_json)


@querylog.command()
@socket_option
@JSON
def off(socket: Path | None, as_json: bool) -> None:
    """Have no queries logged from now on.

    That is so until `on`, a restart, or a reload that changes these settings.

    Exit codes: 0 done, 2 wrong use, 3 the resolver could not be asked.
    """
    _switch(socket, {"state": "off"}, as_json)


@querylog.command()
@SAMPLE
@socket_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, as it comes.")
def tail(sample: float | None, socket: Path | None, as_json: bool) -> None:
    """Show queries as they are answered, until Ctrl-C or the resolver ends.

    The log is another matter: nothing has to be on for this. Where the resolver answers faster than
    this is read, queries are left out, and how many is told.

    Exit codes: 0 the resolver ended, 2 wrong use, 3 it could not be asked, 130 Ctrl-C.
    """
    path = asking.resolver(socket)
    target = "/querylog" if sample is None else f"/querylog?sample={sample:g}"
    for line in asking.stream(path, target):
        click.echo(_as_json(line) if as_json else asking.fit(_as_text(line)))


def _as_json(line: str) -> str:
    """Return a line written anew: in what came may be what a terminal obeys."""
    try:
        return json.dumps(json.loads(line), separators=(",", ":"))
    except (ValueError, RecursionError):
        return asking.fit(line)


def _as_text(line: str) -> str:
    """Return a line for people; of another version's what can be read of it."""
    from consulfwd.ops.querylog.lines import as_text

    try:
        seen = json.loads(line)
        if (dropped := seen.get("dropped")) is not None:
            return f"({asking.fit(str(dropped))} queries left out: they are not read fast enough)"
        return f"{seen['time']} {as_text(seen)}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return line


def _switch(socket: Path | None, values: dict[str, Any], as_json: bool) -> None:
    found = asking.order(asking.resolver(socket), "querylog", values)
    if as_json:
        asking.echo_json(found)
    else:
        asking.echo([("good", f"queries: {found.get('querylog') or 'not logged'}")])
