"""`consulfwd lock`: a program that runs on one of several hosts, whichever holds a lock."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

import click

from consulfwd.cli.options import load_from_options, log_option, settings_options
from consulfwd.errors import UsageError

if TYPE_CHECKING:
    from consulfwd.locking.announcing import Service
    from consulfwd.locking.running import Wanted

_SECONDS = click.FloatRange(min=0)
# What DNS takes as a label of a host's name.
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


class _Lock(click.Command):
    """Options may stand on both sides of NAME where `--` ends them.

    Without that all that follows NAME is COMMAND's, as with `consul lock` and its like: else
    `sh -c` would be given our own `-c`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_interspersed_args = self._ends_ours(ctx, args)
        return super().parse_args(ctx, args)

    def _ends_ours(self, ctx: click.Context, args: list[str]) -> bool:
        """Return whether there is a `--` that is ours: before it is NAME alone."""
        if "--" not in args:
            return False
        try:
            before, _, _ = self.make_parser(ctx).parse_args(args[: args.index("--")])
        except click.UsageError:
            return True
        # None at all are told by something else than an empty tuple, in newer versions of click.
        return not (isinstance(words := before.get("words"), (tuple, list)) and words)


@click.command(cls=_Lock)
@click.argument("name")
@click.argument("words", nargs=-1, required=True, metavar="-- COMMAND...")
@settings_options
@log_option
@click.option("--try", "at_once", is_flag=True, help="Do not wait for the lock.")
@click.option("--timeout", type=_SECONDS, metavar="S", help="Wait so many seconds for the lock.")
@click.option("--once", is_flag=True, help="End when the lock is lost.")
@click.option(
    "--kill-after",
    type=_SECONDS,
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds from SIGTERM to SIGKILL; a third of the TTL at most.",
)
@click.option(
    "--ttl",
    type=click.FloatRange(10, 86_400),
    default=15.0,
    show_default=True,
    metavar="S",
    help="Seconds the session lives unrenewed; Consul takes up to twice as long.",
)
@click.option(
    "--lock-delay",
    type=click.FloatRange(0, 60),
    default=15.0,
    show_default=True,
    metavar="S",
    help="Seconds Consul keeps the lock from others after a loss.",
)
@click.option(
    "--retry",
    type=click.FloatRange(1, 600),
    default=20.0,
    show_default=True,
    metavar="S",
    help="Seconds until what failed is tried again.",
)
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="ID",
    help="A health check of the first agent's node that ends the session. Repeatable.",
)
@click.option(
    "--service",
    metavar="NAME[:PORT]",
    help="Have NAME.service.consul be the holder: a service of the first agent.",
)
@click.option("--service-address", metavar="ADDR", help="Its address, instead of the node's.")
@click.option("--json", "as_json", is_flag=True, help="Log as JSON, an object a line.")
def lock(name: str, words: tuple[str, ...], **params: object) -> None:
    r"""Run COMMAND while this host holds the lock NAME, and wait for it until then.

    Of all hosts that run this one is active, the others are backups. When the lock is lost COMMAND
    gets SIGTERM, and SIGKILL after --kill-after, all in time before another host may begin; then
    this host is a backup again. The key is NAME/.lock, as that of `consul lock`: both keep each
    other out. COMMAND must stay in the foreground; it ends with this program, whatever ends that.

    In its environment CONSUL_LOCK_KEY, CONSUL_LOCK_SESSION, CONSUL_LOCK_NUMBER (higher each time
    that the lock is had) and CONSUL_LOCK_MODIFY_INDEX tell which lock it has.

    Exit codes: that of COMMAND (128 and the signal, if one ended it), 75 the lock was not to be had
    in time or, with --once, was lost, 2 wrong use, 3 Consul could not be asked in time or COMMAND
    could not be run, 0 after SIGTERM, 130 after Ctrl-C, 131 after SIGQUIT.
    """
    import asyncio

    from consulfwd.cli import logs
    from consulfwd.locking.running import Locking
    from consulfwd.notify import Notifier

    wanted = _wanted(name, words, params)
    loaded = load_from_options(params)
    logs.use(loaded, "json" if params["as_json"] else None)
    notifier = Notifier.take(os.environ, os.getpid())
    locking = Locking(wanted, loaded.settings.consul.agents, dict(os.environ), notifier)
    sys.exit(asyncio.run(locking.run()))


def _wanted(name: str, words: tuple[str, ...], params: dict[str, object]) -> Wanted:
    """Return what is asked for. Raises UsageError where that cannot be."""
    from consulfwd.config.forms import BadValue
    from consulfwd.config.zone_forms import kv_prefix
    from consulfwd.locking.running import Wanted

    try:
        prefix = kv_prefix(name)
    except BadValue as error:
        raise UsageError(f"NAME: {error}") from None
    numbers = {one: float(str(params[one])) for one in ("kill_after", "ttl", "lock_delay", "retry")}
    kill_after, ttl = numbers["kill_after"], numbers["ttl"]
    if kill_after > ttl / 3:
        raise UsageError(
            f"--kill-after: {kill_after:g} s leave a session of {ttl:g} s no time to be renewed"
            f" (a third of --ttl at most: {ttl / 3:g})"
        )
    if params["at_once"] and params["timeout"] is not None:
        raise UsageError("--try and --timeout: one of them")
    if words[0].startswith("-"):
        raise UsageError(f"{words[0]}: options stand before NAME, or `--` before COMMAND")
    if shutil.which(words[0]) is None:
        raise UsageError(f"{words[0]}: it is not installed, or not executable")
    wait = float("inf") if params["timeout"] is None else float(str(params["timeout"]))
    checks = params["checks"]
    return Wanted(
        prefix,
        words,
        **numbers,
        checks=tuple(map(str, checks)) if isinstance(checks, tuple) else (),
        wait=0.0 if params["at_once"] else wait,
        once=bool(params["once"]),
        service=_service(params["service"], params["service_address"]),
    )


def _service(written: object, address: object) -> Service | None:
    from consulfwd.locking.announcing import Service

    if written is None:
        if address is not None:
            raise UsageError("--service-address: there is no --service")
        return None
    name, colon, port = str(written).partition(":")
    fit = port.isascii() and port.isdigit() and 0 < int(port) < 65_536 if colon else True
    if not fit or not _LABEL.fullmatch(name):
        raise UsageError(f"--service: {str(written)!r} is not NAME or NAME:PORT")
    at = str(address or "")
    if at and not _is_address(at):
        raise UsageError(f"--service-address: {at!r} is neither an address nor a name")
    return Service(name, int(port) if colon else None, at)


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        return len(text) < 255 and all(_LABEL.fullmatch(one) for one in labels)
    return True
