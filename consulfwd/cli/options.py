"""The options every command shares that needs settings, and the way from them to settings.

What a value may be is known in `consulfwd.config`, which is imported only when a command runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from consulfwd.cli import streams

if TYPE_CHECKING:
    from consulfwd.config import Loaded, Settings
    from consulfwd.config.objections import Objection
    from consulfwd.errors import Problem

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

# Option, what stands for its value in the help, the help.
_REPEATABLE = (
    ("--listen", "ADDR[:PORT]", "Listen here instead of `listen`."),
    ("--agent", "ADDR[:PORT]", "Ask this Consul agent (DNS port) instead of `consul.agents`."),
    ("--recursor", "ADDR[:PORT]", "Ask this server (or auto, tls://ADDR#NAME) for other names."),
    ("--domain", "NAME", "Consul's domain; further ones are its alt_domains."),
)
LOG_OPTION = "--log-level"
NAMES = ("listen", "agent", "recursor", "domain")


def settings_options(command: Decorated) -> Decorated:
    """Add -c/--config, --listen, --agent, --recursor and --domain to a command.

    Their values reach the command as parameters of these names: a Path or None for `config`,
    a tuple of texts for each other.
    """
    for option, metavar, text in reversed(_REPEATABLE):
        command = click.option(option, metavar=metavar, multiple=True, help=f"{text} Repeatable.")(
            command
        )
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Configuration file (CONSULFWD_CONFIG; /etc/consulfwd/consulfwd.yml if there is one).",
    )(command)


def log_option(command: Decorated) -> Decorated:
    """Add --log-level to a command that logs; `load_from_options` takes it."""
    text = "Log from this level on instead of `log.level`: debug, info, warning or error."
    return click.option(LOG_OPTION, metavar="LEVEL", help=text)(command)


def load_from_options(
    params: Mapping[str, object],
    more: Callable[[Settings], Iterable[Objection]] = lambda _: (),
    *,
    over_http: bool = True,
) -> Loaded:
    """Return the settings for a command's parameters; others than the shared ones are ignored.

    What `more` says against them is a warning, and so is, for a command that asks no agent
    `over_http`, that their tokens cannot be read. Raises ConfigError with every problem in the
    file, the environment and the options.
    """
    from consulfwd.config import load

    path = params.get("config")
    options = {name: params.get(name) for name in (*NAMES, "log_level")}
    named = path if isinstance(path, Path) else None
    return load(named, os.environ, options, more, over_http=over_http)


def tell_warnings(loaded: Loaded) -> None:
    """Print on stderr what in the settings is allowed but hardly meant.

    Who asked for a log by `log_option` gets one, with these in it.
    """
    if loaded.origins["log.level"] == LOG_OPTION:
        from consulfwd.cli import logs

        logs.use(loaded)
        return
    _tell(loaded.warnings)


def tell_passed_over(loaded: Loaded) -> None:
    """Print on stderr what was given and had no effect; for who only asks, the rest is noise."""
    _tell(loaded.passed_over)


def _tell(problems: Iterable[Problem]) -> None:
    for problem in problems:
        streams.complain(f"warning: {problem}", streams.WARNING)
