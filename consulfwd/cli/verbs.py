"""Groups of commands that are imported only when they are used: start-up time counts."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from consulfwd.cli import streams

# Verb -> module, attribute, and one line for the overview, so that --help loads none of them.
Table = Mapping[str, tuple[str, str, str]]


class Verbs(click.Group):
    """Commands by a table. What cannot be printed leaves it as Unwritten."""

    def __init__(self, *args: Any, verbs: Table, **extra: Any) -> None:
        super().__init__(*args, **extra)
        self.verbs = verbs

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the words; what --help and --version print is printed here."""
        with streams.unwritten():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        with streams.unwritten():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order they are documented."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command for a verb, importing it."""
        if cmd_name not in self.verbs:
            return None
        module, attribute, _ = self.verbs[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview without importing the verbs."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, entry[2]) for verb, entry in self.verbs.items()])
