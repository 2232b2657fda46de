"""What the verbs of `consulfwd zone` have in common: which zones are meant, and how lines look."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from consulfwd.cli import streams
from consulfwd.cli.options import load_from_options, settings_options, tell_warnings
from consulfwd.config.wording import printable
from consulfwd.errors import ConsulfwdError, UsageError

if TYPE_CHECKING:
    from consulfwd.config import Loaded, Settings
    from consulfwd.config.zones import ZoneSettings
    from consulfwd.zones.publish.running import Wanted
    from consulfwd.zones.publish.showing import Line

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_COLOURS = {"add": "green", "take": "red", "change": "yellow", "wait": "magenta"}
# From then on (seconds) people wonder.
PATIENCE = 2.0
DOCUMENT = "docs/publish.md shows how it is set up"

JSON = click.option("--json", "as_json", is_flag=True, help="The same as JSON, for machines.")
LOG_JSON = click.option("--json", "as_json", is_flag=True, help="Log as JSON, an object a line.")


def origins(context: click.Context, param: click.Parameter, begun: str) -> list[str]:
    """Return the zones of the settings that begin so: for the shell, which completes them."""
    try:
        settings = load_from_options(context.params).settings
    except ConsulfwdError:
        return []
    return sorted({one.origin for one in settings.zones if one.origin.startswith(begun)})


def zones_option(command: Decorated) -> Decorated:
    """Add which zones are meant, and the settings' options."""
    view = click.option("--view", metavar="NAME", help="Of zones with that name the one of a view.")
    which = click.argument("zones", nargs=-1, metavar="[ZONE]...", shell_complete=origins)
    return which(settings_options(view(command)))


def read(params: Mapping[str, object]) -> Loaded:
    """Return the settings for a command's parameters; files that zones lack are warnings."""
    from consulfwd.zones.publish import needed

    return load_from_options(params, lambda settings: needed.lacking(settings, os.environ))


def wanted(loaded: Loaded, params: Mapping[str, object]) -> Wanted:
    """Return the zones that are meant. Raises UsageError where there are none."""
    from consulfwd.zones.disk import state_folder
    from consulfwd.zones.publish.folder import Folder
    from consulfwd.zones.publish.running import Wanted

    settings = loaded.settings
    given = params.get("zones")
    names = [str(one) for one in given] if isinstance(given, tuple) else []
    view = params.get("view")
    zones = picked(settings, names, None if view is None else str(view))
    folder = Folder(state_folder(os.environ, settings.zones_state))
    return Wanted(
        settings.consul.agents, zones, folder, settings.failover, settings.failover_checker
    )


def picked(settings: Settings, names: Sequence[str], view: str | None) -> list[ZoneSettings]:
    """Return the zones of these names, or all, and of this view, if one is given."""
    if not settings.zones:
        raise UsageError(f"there are no `zones` in the settings ({DOCUMENT})")
    plain = [name.lower().removesuffix(".") for name in names]
    known = {zone.origin for zone in settings.zones}
    for name, shown in zip(plain, names, strict=True):
        if name not in known:
            there = ", ".join(sorted(known))
            raise UsageError(f"{shown}: is none of the zones in the settings ({there})")
    zones = [one for one in settings.zones if not plain or one.origin in plain]
    if view is not None:
        zones = [one for one in zones if one.view == view]
        if not zones:
            raise UsageError(f"--view {view}: none of the zones has it")
    return zones


def load(params: Mapping[str, object], *, warnings: bool = False) -> Wanted:
    """Return the zones that are meant by a command's parameters, for one that ends by itself.

    With `warnings` it is told what in the settings is hardly meant.
    """
    told_briefly()
    loaded = read(params)
    if warnings:
        tell_warnings(loaded)
    return wanted(loaded, params)


class _Complaining(logging.Handler):
    """What the log would say, as warnings of a command: its own words, without time and level."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        text = _shown(record.getMessage())
        streams.complain(f"consulfwd: {record.levelname.lower()}: {text}", record.levelno)


def _shown(text: str) -> str:
    """Return lines with everything escaped that would not show."""
    return "\n".join(map(printable, text.split("\n")))


def told_briefly() -> None:
    """Have what goes wrong on the way told on stderr, by a command that keeps no log."""
    logging.getLogger().handlers[:] = [_Complaining(logging.WARNING)]


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Have it told on a terminal why a command takes its time, if it does."""
    text = "waiting for what Consul says to be proved, and for what is unhealthy to stay so ..."
    timer = threading.Timer(PATIENCE, click.echo, (text,), {"err": True})
    if sys.stderr is not None and sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def echo(lines: Iterable[Line]) -> None:
    """Print lines, in colours where that is a terminal, whoever has written what is in them."""
    for mood, line in lines:
        text = _shown(line)
        colour = _COLOURS.get(mood)
        click.echo(click.style(text, fg=colour, bold=mood == "head") if mood != "plain" else text)


def called(zone: ZoneSettings) -> str:
    """Return what a zone is called."""
    return zone.origin + (f" (view {zone.view})" if zone.view else "")


def with_targets(wanted: Wanted, kinds: Sequence[str]) -> Wanted:
    """Return the zones that go anywhere, by a target of these kinds. Raises UsageError."""
    zones = [
        zone
        for zone in wanted.zones
        if any(getattr(one, kind) is not None for one in zone.targets for kind in kinds)
    ]
    if not zones:
        what = f"none of the zones has a target of the kinds {', '.join(kinds)}"
        raise UsageError(f"{what} ({DOCUMENT})")
    return wanted._replace(zones=zones)
