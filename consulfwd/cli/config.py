"""`consulfwd config`: is it right (check), what comes of it (show), what may be in it (schema)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from consulfwd.cli.options import load_from_options, log_option, settings_options, tell_warnings
from consulfwd.errors import UsageError

if TYPE_CHECKING:
    from consulfwd.config import Settings
    from consulfwd.config.objections import Objection


@click.group()
def config() -> None:
    """Check the configuration, show the settings that come of it, or what there may be."""


@config.command(context_settings={"allow_interspersed_args": False})
@settings_options
@log_option
@click.argument("words", nargs=-1, metavar="[COMMAND...]")
@click.pass_context
def check(context: click.Context, /, words: tuple[str, ...], **params: object) -> None:
    """Say whether file, environment and options can be used.

    Every problem is told with its place, and the exit code is 2 then. What this host does not have
    now (an address to listen on, an interface) is a warning.

    COMMAND is one of consulfwd's with its own words, such as `render --watch -c FILE ...`: what it
    would read is checked, and that these are its words. It is not run.
    """
    from consulfwd import daemon

    def lacking(settings: Settings) -> Iterator[Objection]:
        if not words:
            yield from daemon.lacking_here(settings)
        if settings.zones:
            # Imported late: few hosts publish zones.
            from consulfwd.zones.publish import needed

            yield from needed.lacking(settings, os.environ)

    if words and any(
        context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in params
    ):
        raise UsageError(f"options belong behind the command: config check {' '.join(words)} ...")
    loaded = load_from_options(_params(context, words) if words else params, lacking)
    for file in loaded.files or ("no configuration file, defaults",):
        click.echo(f"{file}: ok")
    tell_warnings(loaded)


def _params(context: click.Context, words: tuple[str, ...]) -> dict[str, object]:
    """Return what a command would be called with. Raises UsageError if it is none of ours."""
    whole = context.find_root()
    command, rest = whole.command, list(words)
    while isinstance(command, click.Group) and rest:
        found = command.get_command(whole, rest[0])
        if found is None or found is config:
            break
        command, rest = found, rest[1:]
    if not any(param.name == "config" for param in command.params):
        raise UsageError(f"{words[0]}: is no command that has settings (render, generate, serve)")
    with command.make_context(command.name, rest, parent=whole) as made:
        return dict(made.params)


@config.command()
@settings_options
@log_option
@click.option("--json", "as_json", is_flag=True, help="As JSON: {settings, origins, files}.")
def show(as_json: bool, **params: object) -> None:
    """Print the settings in effect, each with where it came from.

    The output is a configuration file itself.
    """
    from consulfwd.config import show as shown

    loaded = load_from_options(params, over_http=False)
    click.echo(shown.as_json(loaded) if as_json else shown.as_yaml(loaded), nl=as_json)
    tell_warnings(loaded)


@config.command()
@click.argument("dest", required=False, type=click.Path(dir_okay=False, path_type=Path))
def schema(dest: Path | None) -> None:
    """Print the JSON Schema of a settings file, or write it to DEST.

    Editors take it from there to complete and check such a file while it is written.
    """
    import json

    from consulfwd.config.schema import schema as made

    text = json.dumps(made(), indent=2)
    if dest is None:
        click.echo(text)
        return
    try:
        dest.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{dest} cannot be written: {error.strerror}") from None
