"""`consulfwd serve`: run the resolver, or the whole thing in miniature with --dev."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from consulfwd import daemon
from consulfwd.cli import logs
from consulfwd.cli.options import load_from_options, log_option, settings_options
from consulfwd.config import Loaded
from consulfwd.errors import ConsulfwdError, UsageError


@click.command()
@settings_options
@log_option
@click.option(
    "--dev",
    is_flag=False,
    flag_value="embedded",
    type=click.Choice(["embedded", "consul"]),
    help="Start three agents to play with: inside this process, or (--dev=consul) real ones, "
    "of the newest consul on PATH or installed by scripts/install-consul.",
)
@click.option(
    "--definitions",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --dev: Consul service definitions to serve [default: the built-in example].",
)
def serve(dev: str | None, definitions: Path | None, **params: Any) -> None:
    """Run the resolver until SIGTERM; SIGHUP reads the settings again, whole or not at all.

    Exit codes: 0 after SIGTERM, 130 after Ctrl-C, 2 wrong settings or use, 3 it cannot start.

    SIGUSR1 logs what was done so far, the watches, and how each agent and recursor is.
    """
    if dev is not None:
        from consulfwd.cli import dev as dev_mode

        if params.get("agent"):
            raise UsageError("--dev brings its own agents: leave out --agent")
        sys.exit(dev_mode.run(dev, definitions, params))
    try:
        loaded = load_from_options(params)
    except ConsulfwdError:
        daemon.give_up()
        raise
    logs.use(loaded)
    sys.exit(daemon.run(daemon.serve(loaded, _again(params), taken=logs.use)))


def _again(params: dict[str, Any]) -> Callable[[], Loaded]:
    # A reload must not depend on where the process stands now.
    if params.get("config") is not None:
        params = {**params, "config": Path(params["config"]).absolute()}
    return lambda: load_from_options(params)
