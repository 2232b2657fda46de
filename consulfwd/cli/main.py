"""The entry point: the verbs, loaded when called, and errors turned into words and exit codes."""

from __future__ import annotations

import contextlib
import io
import os
import sys

import click

from consulfwd import __version__
from consulfwd.cli import streams
from consulfwd.cli.verbs import Verbs
from consulfwd.errors import INTERRUPTED, ConsulfwdError

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
    "zone": (
        "consulfwd.cli.zone",
        "zone",
        "Publish healthy services in a site's DNS: zones of theirs.",
    ),
    "audit": (
        "consulfwd.cli.audit",
        "audit",
        "List single points of failure and weak spots of a site.",
    ),
    "check": ("consulfwd.cli.check", "check", "Plug-ins for Icinga and Nagios."),
    "status": ("consulfwd.cli.status", "status", "Show how the running processes are."),
    "explain": ("consulfwd.cli.explain", "explain", "Say what the running resolver would do."),
    "cache": ("consulfwd.cli.cache", "cache", "Show and drop what the running resolver keeps."),
    "querylog": ("consulfwd.cli.querylog", "querylog", "See what the running resolver is asked."),
    "drain": ("consulfwd.cli.drain", "drain", "Have an agent or recursor asked no more."),
    "undrain": ("consulfwd.cli.drain", "undrain", "Have it asked again."),
    "failover": (
        "consulfwd.cli.failover_records",
        "failover",
        "Look at names that move with health, and order it.",
    ),
    "lock": ("consulfwd.cli.lock", "lock", "Run a program on one host of several, by a lock."),
    "maintain": (
        "consulfwd.cli.maintain",
        "maintain",
        "Take instances out of DNS, work on them, put them back.",
    ),
    "watch": ("consulfwd.cli.watch", "watch", "Have a command told of a service's instances."),
    "config": ("consulfwd.cli.config", "config", "Check and show the settings."),
}


@click.group(cls=Verbs, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="consulfwd")
def cli() -> None:
    """A local DNS forwarder for hosts in a Consul datacenter.

    Names under Consul's domain are answered from several agents with failover, everything else
    by the recursors. Settings come from /etc/consulfwd/consulfwd.yml, the environment
    (CONSULFWD_*) and options.
    """


def main() -> None:
    """Run the command line; every foreseen error is a message on stderr and its exit code.

    Ctrl-C ends with 130 and a closed pipe with 141, as shells count SIGINT and SIGPIPE; output that
    a full disk does not take with 74.
    """
    code: object
    lost: streams.Unwritten | None = None
    try:
        with streams.unwritten():
            code = _run()
    except SystemExit as ended:
        code = ended.code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except streams.Unwritten as unwritten:
        code, lost = unwritten.code, unwritten
    except Exception:
        # One of ours. The journal is to know that it is grave; elsewhere Python tells it well.
        if not streams.is_journal(sys.stderr, os.environ):
            raise
        import traceback

        streams.complain(traceback.format_exc().rstrip("\n"))
        code = 1
    try:
        streams.let_go(sys.stdout)
    except streams.Unwritten as unwritten:
        code, lost = unwritten.code, unwritten
    with contextlib.suppress(streams.Unwritten), streams.unwritten():
        if lost is not None and lost.why:
            streams.complain(f"consulfwd: the output could not be written: {lost.why}")
        streams.let_go(sys.stderr)
    sys.exit(code)


def _run() -> int:
    """Run a verb, and tell why it could not be; return the exit code."""
    plain = streams.is_plain(os.environ)
    try:
        cli(prog_name="consulfwd", standalone_mode=False, color=False if plain else None)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        streams.complain(said.getvalue().rstrip("\n"))
        return 2
    except ConsulfwdError as error:
        streams.complain("\n".join(f"consulfwd: {line}" for line in str(error).splitlines()))
        return error.exit_code
    return 0


if __name__ == "__main__":
    main()
