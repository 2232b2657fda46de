"""The entry point: the verbs, loaded when called, and errors turned into words and exit codes."""

from __future__ import annotations

import importlib
import sys

import click

from consulfwd import __version__
from consulfwd.errors import ConsulfwdError

# verb -> (module, attribute, one line for the overview, so that --help loads none of them)
VERBS = {
    "serve": ("consulfwd.cli.serve", "serve", "Run the resolver."),
    "resolve": ("consulfwd.cli.resolve", "resolve", "Resolve a name and explain how."),
    "generate": (
        "consulfwd.cli.generate",
        "generate",
        "Write configuration for BIND, dnsmasq, unbound and others.",
    ),
    "render": ("consulfwd.cli.render", "render", "Render any template with what Consul knows."),
    "lint": ("consulfwd.cli.lint", "lint", "Say what will bite in another server's files."),
    "config": ("consulfwd.cli.config", "config", "Check and show the settings."),
}


class Verbs(click.Group):
    """A group whose commands are imported only when they are used: start-up time counts."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order they are documented."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command for a verb, importing it."""
        if cmd_name not in VERBS:
            return None
        module, attribute, _ = VERBS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview without importing the verbs."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, entry[2]) for verb, entry in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="consulfwd")
def cli() -> None:
    """A local DNS forwarder for hosts in a Consul datacenter.

    Names under Consul's domain are answered from several agents with failover, everything else
    by the recursors. Settings come from /etc/consulfwd/consulfwd.yml, the environment
    (CONSULFWD_*) and options.
    """


def main() -> None:
    """Run the command line; every foreseen error is a message on stderr and its exit code."""
    try:
        cli(prog_name="consulfwd", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except ConsulfwdError as error:
        for line in str(error).splitlines():
            click.echo(f"consulfwd: {line}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
