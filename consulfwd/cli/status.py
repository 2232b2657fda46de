"""`consulfwd status`: how the processes of this host are, once or live."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import click

from consulfwd.cli import asking, streams
from consulfwd.cli.asking import JSON, Look, look, socket_option
from consulfwd.cli.screen import stdout
from consulfwd.errors import ConsulfwdError

WELL, WRONG, NOBODY = 0, 1, 3
# Seconds; a process has no newer picture sooner.
EVERY = 1.0
# So long at most one that hangs keeps the others from being drawn.
PATIENCE = 2.5
sleep = time.sleep


@click.command()
@socket_option
@click.option("--watch", is_flag=True, help="Go on: a live screen, or a line for each change.")
@click.option("--all", "whole", is_flag=True, help="Each watch, and each change that is known.")
@JSON
def status(socket: Path | None, watch: bool, whole: bool, as_json: bool) -> None:
    """Show how the running processes of this host are: all that have an admin socket.

    Told are what is wrong, each agent and recursor with its state, who is asked for which names
    and why, the cache, watches, what was counted, the last changes, zones and files.

    With --watch it is drawn anew each second, with what is counted in a second, until Ctrl-C; where
    the output is no terminal there is a line when something has changed, with --json an object a
    second for each process.

    Exit codes: 0 all is well, 1 something is wrong, 2 wrong use, 3 nobody could be asked.
    """
    if watch:
        _watch(socket, whole, as_json)
        return
    found = [look(path) for path in asking.sockets(socket)]
    if as_json:
        asking.echo_json([one.as_json() for one in found])
    else:
        _print(found, whole)
    sys.exit(code_of(found))


def code_of(found: list[Look]) -> int:
    """Return what the command ends with."""
    from consulfwd.ops.text.status import is_well

    reads = [one.read for one in found if one.read is not None]
    if not reads:
        return NOBODY
    well = len(reads) == len(found) and all(is_well(one.snapshot) for one in reads)
    return WELL if well else WRONG


def _print(found: list[Look], whole: bool) -> None:
    from consulfwd.ops.text.status import lines

    told = [list(lines(one.read, whole=whole)) for one in found if one.read is not None]
    for number, each in enumerate(told):
        asking.echo([("plain", ""), *each] if number else each)
    for one in found:
        if one.fault:
            streams.complain(f"consulfwd: {one.fault}")


def _watch(socket: Path | None, whole: bool, as_json: bool) -> None:
    """Go on until interrupted. Raises AdminError if there is nobody at first."""
    from consulfwd.cli import live

    paths = asking.sockets(socket)
    screen = None if as_json else stdout()
    with screen or contextlib.nullcontext():
        view: live.View = live.Objects() if as_json else live.Lines()
        if screen is not None:
            view = live.Drawn(screen, whole)
        while True:
            view.show([look(path, PATIENCE) for path in paths])
            sleep(EVERY)
            paths = _still(socket, paths)


def _still(socket: Path | None, paths: list[Path]) -> list[Path]:
    """Return whom to ask next: who came is among them, and while nobody is there who was."""
    if socket is not None:
        return paths
    try:
        return asking.sockets(None)
    except ConsulfwdError:
        return paths
