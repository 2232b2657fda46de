"""`consulfwd maintain`: instances, or a node, out of DNS while something is done with them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli import streams
from consulfwd.cli.options import load_from_options, settings_options, tell_warnings
from consulfwd.errors import ConsulfwdError, UsageError

if TYPE_CHECKING:
    from consulfwd.config import Recursor, Settings
    from consulfwd.maintain.running import Running
    from consulfwd.maintain.wanted import Event, Wanted

_SECONDS = click.FloatRange(min=0, max=86_400)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?", re.ASCII)
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LONGEST = 7 * 86_400.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_COMMAND = "consulfwd.maintain.command"


class _Maintain(click.Command):
    """All that follows `--` is COMMAND's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)


if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType


class _Duration(_Type):
    """A time as people write it: 90, 90s, 10m, 1h30m; seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        parts = _DURATION.findall(text := str(value))
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if "".join(number + unit for number, unit in parts) != text or not 1 <= seconds <= _LONGEST:
            self.fail(f"{text!r} is no time from 1s to 7d, such as 90s, 10m or 1h30m", param, ctx)
        return seconds


@click.command(cls=_Maintain, options_metavar="[OPTIONS] [NAME] -- COMMAND...")
@click.argument("name", required=False, metavar="")
@settings_options
@click.option(
    "--for", "limit", type=_Duration(), default=600.0, show_default="10m", metavar="TIME",
    help="How long each may be out at most; then COMMAND is ended.",
)  # fmt: skip
@click.option("--rolling", is_flag=True, help="All instances of the service, one after the other.")
@click.option("--node", default="", metavar="NODE", help="The instance on this node.")
@click.option("--id", default="", metavar="ID", help="The one with this ID, of several on a node.")
@click.option(
    "--kind", type=click.Choice(["service", "node"]), default=None,
    help="What NAME is of, where there are both.",
)  # fmt: skip
@click.option(
    "--keep", type=click.IntRange(min=0), default=1, show_default=True, metavar="N",
    help="So many others must be healthy, or it is refused.",
)  # fmt: skip
@click.option(
    "--force", is_flag=True, help="Whatever --keep says, and what another run has taken out too."
)
@click.option(
    "--settle", type=_SECONDS, default=1.0, show_default=True, metavar="S",
    help="Seconds to wait once nobody names it and the last TTL is over.",
)  # fmt: skip
@click.option(
    "--recheck", type=_SECONDS, metavar="S",
    help="Believe a check so many seconds after COMMAND; unset: after its interval and timeout.",
)  # fmt: skip
@click.option(
    "--ask", multiple=True, metavar="ADDR[:PORT]",
    help="A DNS server that may name it no more either. Repeatable.",
)  # fmt: skip
@click.option(
    "--kill-after", type=click.FloatRange(0, 3600), default=10.0, show_default=True, metavar="S",
    help="Seconds from SIGTERM to SIGKILL, where COMMAND is ended.",
)  # fmt: skip
@click.option("--try", "at_once", is_flag=True, help="Do not wait for another run.")
@click.option("--timeout", type=_SECONDS, metavar="S", help="Wait so many seconds for it.")
@click.option("--back", is_flag=True, help="Put back what was left out; without NAME, all of it.")
@click.option("--anew", is_flag=True, help="Do not take up what a run was over with that failed.")
@click.option("--leave-out", is_flag=True, help="Leave it out if COMMAND fails.")
@click.option("--reason", default="", metavar="TEXT", help="Shown in Consul with the maintenance.")
@click.option(
    "--prefix", default="consulfwd/maintain", show_default=True, metavar="KEY",
    help="Where in Consul the locks are.",
)  # fmt: skip
@click.option(
    "--state", type=click.Path(path_type=Path), metavar="DIR",
    help="Where runs are kept that have not ended; unset: /var/lib/consulfwd, or the user's.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Tell the steps as JSON, an object a line.")
def maintain(name: str | None, **params: Any) -> None:
    """Take an instance of a service out of DNS, run COMMAND, put it back when it is well.

    NAME is a service, of which it is the instance on this host (else --node or --rolling), or a
    node with all that is on it. It is put into Consul's maintenance; COMMAND runs, on this host and
    without a shell, once no agent names it and no TTL has it named any more. It is put back
    whatever happens: after a kill or a crash the next run does so, or --back.

    COMMAND has MAINTAIN_SERVICE, MAINTAIN_ID, MAINTAIN_NODE, MAINTAIN_ADDRESS, MAINTAIN_PORT and
    MAINTAIN_NODE_ADDRESS in its environment. Steps are told on standard error.

    Exit codes: 0 done, that of COMMAND if it failed (128 and the signal, if one ended it), 1
    refused: too few would be left, or somebody else's maintenance, 2 wrong use, 3 Consul could not
    be asked, or COMMAND not be run, 75 another run has it, or the lock was lost, 124 it took longer
    than --for, 130 after Ctrl-C, 143 after SIGTERM.
    """
    import asyncio

    from consulfwd.maintain.journal import folder
    from consulfwd.maintain.running import Running

    loaded = load_from_options(params)
    tell_warnings(loaded)
    state = params["state"] or folder(os.environ)
    command = click.get_current_context().meta.get(_COMMAND, ())
    tell = _as_json if params["as_json"] else _as_text
    codes = []
    all_wanted = _all_wanted(name, command, params, state)
    for wanted in all_wanted:
        running = Running(
            wanted, loaded.settings, state, dict(os.environ), tell, servers=_servers(params)
        )
        if params["dry_run"]:
            _plan(running, loaded.settings, params["as_json"])
            continue
        try:
            codes.append(asyncio.run(_run(running, tell)))
        except ConsulfwdError as error:
            if len(all_wanted) == 1:
                raise
            # Of several that are put back, one that cannot be keeps no other from it.
            streams.complain(f"consulfwd: {error}")
            codes.append(error.exit_code)
    sys.exit(next(filter(None, codes), 0))


def _all_wanted(
    name: str | None, command: tuple[str, ...], params: dict[str, Any], state: Path
) -> list[Wanted]:
    """Return what is asked for. Raises UsageError."""
    from consulfwd.config.forms import BadValue
    from consulfwd.config.zone_forms import kv_prefix
    from consulfwd.maintain.journal import left
    from consulfwd.maintain.wanted import Wanted, check

    if params["at_once"] and params["timeout"] is not None:
        raise UsageError("--try and --timeout: one of them")
    if not params["reason"].isprintable() or len(params["reason"]) > 500:
        raise UsageError("--reason: a line of 500 characters at most")
    try:
        prefix = kv_prefix(params["prefix"])
    except BadValue as error:
        raise UsageError(f"--prefix: {error}") from None
    wait = float("inf") if params["timeout"] is None else params["timeout"]
    same = (
        "node", "id", "rolling", "back", "limit", "keep", "force", "settle", "recheck",
        "kill_after", "reason", "leave_out", "anew",
    )  # fmt: skip
    more = {one: params[one] for one in same}
    more |= {"command": command, "prefix": prefix, "wait": 0.0 if params["at_once"] else wait}
    if name:
        found = [Wanted(name, kind=params["kind"] or "", **more)]
    elif params["back"]:
        found = []
        for book in left(state):
            if (journal := book.load()) is not None:
                found.append(Wanted(journal.name, kind=journal.kind, **more))
            book.close()
    else:
        raise UsageError("of which service or node? (NAME)")
    for one in found:
        check(one, dry=params["dry_run"])
    if command and shutil.which(command[0]) is None:
        raise UsageError(f"{command[0]}: it is not installed, or not executable")
    return found


def _servers(params: dict[str, Any]) -> list[Recursor]:
    from consulfwd.config import Recursor
    from consulfwd.config.forms import BadValue, recursor

    try:
        found = [Recursor(**recursor(one)) for one in params["ask"]]
    except BadValue as error:
        raise UsageError(f"--ask: {error}") from None
    if any(one.transport == "tls" for one in found):
        raise UsageError("--ask: servers are asked over TCP, without TLS")
    return found


async def _run(running: Running, tell: Callable[[Event], None]) -> int:
    """Run it; a signal has it put back what is out, a second one leaves that to the next run."""
    import asyncio

    from consulfwd.maintain.wanted import Event

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(_nothing(running.run()))
    heard: list[int] = []

    def stop(number: int) -> None:
        heard.append(number)
        running.stop(number)
        name = signal.Signals(number).name
        more = "ends; once more, and what is out is left to the next run"
        tell(Event("signal", f"{name}: {more if len(heard) == 1 else 'ends now'}", bad=True))
        task.cancel()

    for number in _ENDING:
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not heard:
            raise
    return 128 + heard[0] if heard else 0


async def _nothing(work: Coroutine[Any, Any, None]) -> None:
    await work


def _plan(running: Running, settings: Settings, as_json: bool) -> None:
    """Print what would be done. Raises Stopped where that is refused."""
    import asyncio

    from consulfwd.maintain.plan import Refused
    from consulfwd.maintain.wanted import BUSY, Stopped

    try:
        found = asyncio.run(running.planned())
    except Refused as refused:
        raise Stopped(str(refused), BUSY if refused.busy else 1) from None
    if as_json:
        turns = [
            {"node": node, "id": id, "out": one.taken is not None}
            for one in found.turns
            for node, id in [one.unit.key]
        ]
        left = [{"node": one.key[0], "id": one.key[1], "why": why} for one, why in found.left]
        click.echo(json.dumps({"turns": turns, "left": left}))
        return
    for number, one in enumerate(found.turns, 1):
        click.echo(f"{number}. {one.unit}{', out already' if one.taken is not None else ''}")
    for unit, why in found.left:
        click.echo(f"-  {unit}: left alone: {why}")


def _as_text(event: Event) -> None:
    level = streams.WARNING if event.bad else None
    line = f"{time.strftime('%H:%M:%S')} {event.text}"
    if level is None:
        click.echo(line, err=True)
    else:
        streams.complain(f"warning: {line}", level)


def _as_json(event: Event) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = {"at": at, "event": event.name, **event.fields, "text": event.text, "bad": event.bad}
    click.echo(json.dumps(told), err=True)
