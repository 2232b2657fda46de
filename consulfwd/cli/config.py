"""`consulfwd config`: is the configuration right (check), and what comes of it (show)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from consulfwd.cli.options import load_from_options, settings_options

if TYPE_CHECKING:
    from consulfwd.config import Loaded


@click.group()
def config() -> None:
    """Check the configuration, or show the settings that come of it."""


@config.command()
@settings_options
def check(**params: object) -> None:
    """Say whether file, environment and options can be used.

    Every problem is told with its place, and the exit code is 2 then. What this host does not have
    now (an address to listen on, an interface) is a warning.
    """
    from consulfwd import daemon

    loaded = load_from_options(params, daemon.lacking_here)
    click.echo(f"{loaded.path or 'no configuration file, defaults'}: ok")
    _warn(loaded)


@config.command()
@settings_options
@click.option("--json", "as_json", is_flag=True, help="As JSON: {settings, origins}.")
def show(as_json: bool, **params: object) -> None:
    """Print the settings in effect, each with where it came from.

    The output is a configuration file itself.
    """
    from consulfwd.config import show as shown

    loaded = load_from_options(params)
    click.echo(shown.as_json(loaded) if as_json else shown.as_yaml(loaded), nl=as_json)
    _warn(loaded)


def _warn(loaded: Loaded) -> None:
    for problem in loaded.warnings:
        click.echo(f"warning: {problem}", err=True)
