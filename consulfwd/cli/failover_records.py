"""`consulfwd failover`: how names that move with health are, and orders about them.

One line about a lookup that failed over, which `resolve` prints, is `failover`'s.
"""

from __future__ import annotations

import getpass
import re
import socket as sockets
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli import asking
from consulfwd.cli.asking import JSON, socket_option
from consulfwd.cli.verbs import Verbs
from consulfwd.errors import UsageError

if TYPE_CHECKING:
    from consulfwd.ops.snapshot import RecordSeen
    from consulfwd.ops.text.lines import Line

    # Which newer versions of click know as generic, and older ones do not.
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType

VERBS = {
    "show": ("consulfwd.cli.failover_records", "show", "Say what each is answered with, and why."),
    "explain": ("consulfwd.cli.failover_records", "explain", "Say all that is known of one."),
    "force": ("consulfwd.cli.failover_records", "force", "Have addresses be up or down by order."),
    "unforce": ("consulfwd.cli.failover_records", "unforce", "Take such an order back."),
    "back": ("consulfwd.cli.failover_records", "back", "Have the best pool answer again."),
}
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class _Time(_Type):
    """A time from now on: 90, 90s, 10m, 2h, 1d."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it, as seconds."""
        found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(value))
        if found is None or not int(found[1]):
            self.fail(f"{str(value)[:40]!r} is no time: such as 90s, 10m, 2h or 1d", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


@click.group(cls=Verbs, verbs=VERBS)
def failover() -> None:
    """Look at names that move with health, and order what becomes of them.

    They are what the settings of the running resolver say under `failover`. An order stays in force
    through a reload and a restart, until its time is over or it is taken back.
    """


@click.command()
@click.argument("glob", metavar="[NAME]", default="*")
@socket_option
@JSON
def show(glob: str, socket: Path | None, as_json: bool) -> None:
    """Say what names that move are answered with, and how their addresses are.

    NAME may be a pattern: '*.example.com'. What is in answers is marked by *.

    Exit codes: 0 all is well, 1 something is not, or there is no such name, 2 wrong use, 3 the
    resolver could not be asked.
    """
    from consulfwd.ops.text.failover import record_lines

    found, in_all, now = _seen(socket)
    those = [one for one in found if fnmatchcase(one.name, _folded(glob))]
    if as_json:
        asking.echo_json(_as_json(those))
    elif those:
        left = in_all - len(found) if glob == "*" else 0
        lines = record_lines(those, len(those) + left, now, whole=True)
        asking.echo((mood, text[2:]) for mood, text in lines)
    else:
        asking.echo([("warn", _nobody(glob, found))])
    sys.exit(0 if those and all(one.well for one in those) else 1)


@click.command()
@click.argument("name", metavar="NAME")
@socket_option
@JSON
def explain(name: str, socket: Path | None, as_json: bool) -> None:
    """Say all that is known of a name that moves: each check's word, and what made the answer.

    Exit codes: 0 it has an answer, 1 it has none, or there is no such name, 2 wrong use, 3 the
    resolver could not be asked.
    """
    from consulfwd.ops.text.failover import explained

    found, _, now = _seen(socket)
    those = [one for one in found if one.name == _folded(name)]
    if as_json:
        asking.echo_json(_as_json(those))
    elif those:
        asking.echo((mood, text[2:]) for mood, text in explained(those[0], now))
    else:
        asking.echo([("warn", _nobody(name, found))])
    sys.exit(0 if those and those[0].known else 1)


@click.command()
@click.argument("glob", metavar="NAME[/POOL|/ADDRESS]")
@click.argument("to", metavar="up|down", type=click.Choice(["up", "down"]))
@click.option("--for", "seconds", type=_Time(), help="For so long; unset: until it is taken back.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for others to read.")
@socket_option
@JSON
def force(
    glob: str, to: str, seconds: int | None, reason: str, socket: Path | None, as_json: bool
) -> None:
    """Have addresses be up or down, whatever checks say.

    All of a name, of a pool of it (NAME/secondary), or one (NAME/192.0.2.11); patterns are taken:
    '*/192.0.2.11'. They go on being checked, which counts again when the order is over.

    Exit codes: 0 done, 1 it was refused, 2 wrong use, 3 the resolver could not be asked.
    """
    if not reason.isprintable():
        raise UsageError("--reason: it has letters in it that cannot be shown")
    values = {"glob": _folded(glob), "to": to, "reason": reason, "by": _whoever()}
    path = asking.resolver(socket)
    found = asking.order(path, "force", values | ({"seconds": seconds} if seconds else {}))
    if as_json:
        asking.echo_json(found)
        return
    names = _listed(found.get("records"))
    lines: list[Line] = [("good", f"{glob} is {to} by order, which is of {names}")]
    asking.echo([*lines, ("dim", f"to take it back: consulfwd failover unforce '{glob}'")])


@click.command()
@click.argument("glob", metavar="NAME[/POOL|/ADDRESS]")
@socket_option
@JSON
def unforce(glob: str, socket: Path | None, as_json: bool) -> None:
    """Take back what was ordered by `consulfwd failover force`: checks decide again.

    A pattern takes back all it means: '*'.

    Exit codes: 0 done, 1 nothing was forced so, 2 wrong use, 3 the resolver could not be asked.
    """
    found = asking.order(asking.resolver(socket), "unforce", {"glob": _folded(glob)})
    if as_json:
        asking.echo_json(found)
        return
    forces = found.get("forces")
    those = [one for one in forces if isinstance(one, dict)] if isinstance(forces, list) else []
    asking.echo(
        [("good", f"{one.get('glob')} is no longer {one.get('to')} by order") for one in those]
    )


@click.command()
@click.argument("glob", metavar="NAME", default="*")
@socket_option
@JSON
def back(glob: str, socket: Path | None, as_json: bool) -> None:
    """Have the best pool that is well answer at once, which waits for that by `failback`.

    Without a NAME it is for all; it may be a pattern.

    Exit codes: 0 done, 1 nothing waited, 2 wrong use, 3 the resolver could not be asked.
    """
    found = asking.order(asking.resolver(socket), "failback", {"glob": _folded(glob)})
    records = found.get("records")
    if as_json:
        asking.echo_json(found)
    elif records:
        asking.echo([("good", f"moved back: {_listed(records)}")])
    else:
        asking.echo([("warn", f"{glob}: no better pool is well and waits")])
    sys.exit(0 if records else 1)


def _seen(socket: Path | None) -> tuple[tuple[RecordSeen, ...], int, float]:
    """Return the records of the running resolver, how many there are, and when that was so."""
    snapshot = asking.picture(asking.resolver(socket))[1].snapshot
    in_all = max(snapshot.failover_in_all, len(snapshot.failover))
    return snapshot.failover, in_all, snapshot.taken


def _as_json(found: list[RecordSeen]) -> list[dict[str, Any]]:
    from dataclasses import asdict

    return [asdict(one) for one in found]


def _folded(glob: str) -> str:
    """Return a name or pattern as names stand in the settings; a pool's name stays as it is."""
    name, slash, rest = glob.partition("/")
    return name.lower().removesuffix(".") + slash + rest


def _nobody(name: str, found: tuple[RecordSeen, ...]) -> str:
    if not found:
        return "the running resolver has no names that move (failover in its settings)"
    there = _listed([one.name for one in found])
    return f"{name} is none of its names that move; there are {there}"


def _listed(names: object, most: int = 10) -> str:
    return ", ".join(_some(names, most)) or "nothing"


def _some(names: object, most: int) -> Iterator[str]:
    those = [str(one) for one in names] if isinstance(names, list) else []
    yield from those[:most]
    if len(those) > most:
        yield f"and {len(those) - most} more"


def _whoever() -> str:
    """Return who gives an order, for others to read."""
    try:
        return f"{getpass.getuser()}@{sockets.gethostname()}"[:60]
    except (KeyError, OSError):
        # Who runs it has no name: in containers that is so.
        return f"somebody@{sockets.gethostname()}"[:60]
