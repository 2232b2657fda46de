"""`consulfwd check service`: how many instances of a service are healthy?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli.check_options import (
    MINIMUM,
    SHARE,
    bounds,
    perform,
    plugin_options,
    server,
    settings,
    thresholds,
)
from consulfwd.errors import UsageError

if TYPE_CHECKING:
    from consulfwd.checks.deadline import Deadline
    from consulfwd.checks.outcome import Outcome
    from consulfwd.config import Agent

_PORTS = {"http": 8500, "https": 8501}
_TOKEN, _TOKEN_FILE = "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE"


@click.command()
@click.argument("name", metavar="SERVICE")
@click.option(
    "-H", "--hostname", "hostnames", metavar="HOST[:PORT]", multiple=True,
    help="An agent's HTTP; unset: `consul.agents` of the settings. Repeatable: the next is asked"
    " where one fails.",
)  # fmt: skip
@click.option("-p", "--port", type=click.IntRange(1, 65_535), help="Its port.  [default: 8500]")
@click.option("-S", "--ssl", is_flag=True, help="By HTTPS, certificates verified (port 8501).")
@click.option(
    "--ca-file", type=click.Path(path_type=Path), metavar="FILE",
    help="Certificates that may sign the agents' (PEM).",
)  # fmt: skip
@click.option(
    "--token-file", type=click.Path(path_type=Path), metavar="FILE",
    help="File that holds the ACL token; else CONSUL_HTTP_TOKEN_FILE or CONSUL_HTTP_TOKEN.",
)  # fmt: skip
@click.option("--tag", "tags", multiple=True, help="Only instances with this tag. Repeatable.")
@click.option("--datacenter", "--dc", metavar="DC", help="Of this datacenter.")
@click.option(
    "--only-passing", is_flag=True, help="One with a check that warns is not healthy either."
)
@click.option(
    "-m", "--minimum", type=MINIMUM,
    help="CRITICAL below so many healthy instances, or so much of all; unset: 1.",
)  # fmt: skip
@click.option(
    "--minimum-warning", type=MINIMUM, help="WARNING below so many, or so much of all."
)
@thresholds(of=SHARE, what="the number of healthy instances (with %: their part of all)")
@plugin_options
def service(name: str, **params: Any) -> None:
    """Say how many instances of SERVICE are healthy in Consul, which are not, and why.

    Agents are asked over HTTP, in their order, until one answers. A service that is not there is
    CRITICAL; one that the token may not see, and agents that cannot be asked, are UNKNOWN.

    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: wrong use, no agent could be asked, the
    token may not see the service, errors of the check itself.
    """
    from consulfwd.checks.service import Wanted

    wanted = Wanted(
        name, tuple(params["tags"]), params["datacenter"] or "", params["only_passing"],
        bounds(params), params["minimum"], params["minimum_warning"],
    )  # fmt: skip
    named = [server(one, params["port"] or _PORTS[_scheme(params)]) for one in params["hostnames"]]
    if not named and (params["port"] or params["ssl"]):
        raise UsageError("--port, --ssl: of which agent? (-H HOST)")

    def check(deadline: Deadline) -> Outcome:
        from consulfwd.checks import asked_consul, service
        from consulfwd.errors import ConsulError

        try:
            asked_consul.fact_of(wanted)
        except ValueError as error:
            raise UsageError(str(error)) from None
        agents = _agents(params, named, deadline)
        try:
            return service.judge(wanted, asked_consul.ask(wanted, agents, deadline))
        except ConsulError as error:
            return service.unasked(wanted, *_why(error, agents))

    perform("SERVICE", params, check, what=wanted.what)


def _scheme(params: dict[str, Any]) -> str:
    return "https" if params["ssl"] else "http"


def _why(error: Any, agents: Sequence[Agent]) -> tuple[str, list[str]]:
    """Return why nothing is known, and what to do."""
    if error.status in (401, 403):
        return f"permission denied: {error}", ["a token with service:read of it: --token-file FILE"]
    places = ", ".join(f"{one.address} {one.http_place}" for one in agents)
    those = "no agent" if len(agents) == 1 else f"none of {len(agents)} agents"
    return f"{those} could be asked: {error}", [f"asked over HTTP: {places}"]


def _agents(
    params: dict[str, Any], named: Sequence[tuple[str, int]], deadline: Deadline
) -> Sequence[Agent]:
    """Return whom to ask, with what they are shown. Raises ConfigError, UsageError."""
    from consulfwd.checks.asked_consul import addresses

    changes: dict[str, Any] = {}
    if params["ca_file"] is not None:
        changes["ca_file"] = params["ca_file"].absolute()
    if params["token_file"] is not None:
        changes["token_file"], changes["token_variable"] = params["token_file"].absolute(), None
    if not named:
        agents = settings(params, over_http=True).consul.agents
        return [one.replace(**changes) for one in agents] if changes else agents
    from consulfwd.config import Agent

    if "token_file" not in changes:
        if file := os.environ.get(_TOKEN_FILE, "").strip():
            changes["token_file"] = Path(file).absolute()
        elif os.environ.get(_TOKEN, "").strip():
            changes["token_variable"] = _TOKEN
    changes["http_scheme"] = _scheme(params)
    found = []
    for host, port in named:
        for address in addresses(host, deadline):
            # The certificate is for the name that was given.
            verified = host if params["ssl"] and host != address else None
            # By the DNS port agents are called in messages; here there is none.
            there: dict[str, Any] = {"address": address, "http_port": port, "dns_port": port}
            found.append(Agent(**there, tls_server_name=verified, **changes))
    return found
