"""`consulfwd drain` and `undrain`: take an agent or recursor out for work, and give it back."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli import asking
from consulfwd.cli.asking import JSON, agents, socket_option

if TYPE_CHECKING:
    from consulfwd.ops.text.lines import Line

# Seconds.
_LOOK_EVERY = 0.5
WAIT = 10.0
sleep = time.sleep
SERVER = click.argument("server", metavar="AGENT", shell_complete=agents)


@click.command()
@SERVER
@click.option("--force", is_flag=True, help="Even the last one that is up.")
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=WAIT,
    metavar="SECONDS",
    help=f"How long to wait for what it still owes an answer [default: {WAIT:g}].",
)
@socket_option
@JSON
def drain(server: str, force: bool, wait: float, socket: Path | None, as_json: bool) -> None:
    """Have the running resolver ask an agent or recursor nothing more, while others are up.

    AGENT is its name as `consulfwd status` has it, or its address where that is enough. The
    command ends once nothing that was asked there is unanswered: it can be stopped then without a
    query noticing. It stays so through a reload, until `consulfwd undrain` or a restart of the
    resolver. The last one that is up is not drained, unless by --force; it is asked all the same
    while no other is up.

    Exit codes: 0 nothing is asked there any more, 1 it is the last one, or something is unanswered
    still, 2 wrong use, 3 the resolver could not be asked.
    """
    path = asking.resolver(socket)
    found = asking.order(path, "drain", {"server": server, "force": force})
    name, others = str(found.get("server", server)), _others(found)
    # Without any others it is asked on: there is nothing to wait for.
    waiting = _settled(path, name, wait) if others else 0
    if as_json:
        asking.echo_json({**found, "waiting": waiting})
    else:
        asking.echo(_told(name, others, waiting))
    sys.exit(1 if waiting else 0)


@click.command()
@SERVER
@socket_option
@JSON
def undrain(server: str, socket: Path | None, as_json: bool) -> None:
    """Have the running resolver ask an agent or recursor again after `consulfwd drain`.

    Exit codes: 0 done, 2 wrong use, 3 the resolver could not be asked.
    """
    found = asking.order(asking.resolver(socket), "undrain", {"server": server})
    if as_json:
        asking.echo_json(found)
    else:
        asking.echo([("good", f"{found.get('server', server)} is asked again")])


def _others(found: dict[str, Any]) -> list[str]:
    """Return who is up beside a server that was drained."""
    others = found.get("others")
    return [str(one) for one in others] if isinstance(others, list) else []


def _settled(path: Path, name: str, wait: float) -> int:
    """Wait until nothing asked of a server is unanswered; return how much still is."""
    ends = time.monotonic() + wait
    while True:
        seen = asking.picture(path)[1].snapshot.resolver
        server = next((one for one in seen.upstreams if one.name == name), None) if seen else None
        # A reload may have given it up meanwhile: then it is asked nothing either.
        waiting = 0 if server is None else server.waiting
        # A picture may be of just before.
        new = server is None or server.drained
        if (new and not waiting) or time.monotonic() >= ends:
            return waiting
        sleep(_LOOK_EVERY)


def _told(name: str, others: list[str], waiting: int) -> list[Line]:
    if others:
        up = f"{', '.join(others)} {'is' if len(others) == 1 else 'are'} up"
        lines: list[Line] = [("good", f"{name} is drained: it is asked nothing more, {up}")]
        if waiting:
            what = "question is" if waiting == 1 else "questions are"
            lines.append(("bad", f"{waiting} {what} unanswered there still"))
        else:
            lines.append(("plain", "nothing is unanswered there"))
    else:
        lines = [("warn", f"{name} is drained, and asked all the same: no other is up")]
    return [*lines, ("dim", f"to have it asked again: consulfwd undrain {name}")]
