"""`consulfwd explain`: what the running resolver would do with a question now, and why."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from consulfwd.cli import asking
from consulfwd.cli.asking import JSON, socket_option
from consulfwd.cli.named import question


@click.command()
@click.argument("name")
@click.argument("rtype", metavar="[TYPE]", default="")
@socket_option
@JSON
def explain(name: str, rtype: str, socket: Path | None, as_json: bool) -> None:
    """Say what the running resolver would do if it were asked for NAME now, and why.

    NAME and TYPE are as for `consulfwd resolve`. It is told from what the resolver has and knows:
    the rule, what is in its cache, watched, failed lately or being asked, whom it would ask in
    which order. Nobody is asked for it.

    Exit codes: 0 there would be a reply, 1 there would be SERVFAIL, 2 wrong use, 3 the resolver
    could not be asked.
    """
    name, rtype = question(name, rtype)
    found = asking.order(asking.resolver(socket), "explain", {"name": name, "type": rtype})
    from consulfwd.ops.text.ordered import explanation, is_failure

    if as_json:
        asking.echo_json(found)
    else:
        asking.echo(explanation(found))
    sys.exit(1 if is_failure(found) else 0)
