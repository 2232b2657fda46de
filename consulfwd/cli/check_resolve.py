"""`consulfwd check resolve`: does a server answer, in time, and as it is to?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from consulfwd.checks.outcome import Status
from consulfwd.cli.check_options import (
    COUNT,
    SECONDS,
    STATE,
    bounds,
    in_time,
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
    from consulfwd.checks.resolve import Wanted

_PORT = 53
# What listens on all addresses is asked at the host's own.
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@click.command()
@click.argument("name")
@click.argument("rtype", metavar="[TYPE]", default="A")
@click.option(
    "-H", "--hostname", metavar="HOST[:PORT]",
    help="The server to ask; unset: where consulfwd listens by the settings.",
)  # fmt: skip
@click.option("-p", "--port", type=click.IntRange(1, 65_535), help="Its port.  [default: 53]")
@click.option("--tcp", is_flag=True, help="Ask over TCP; else only where an answer is cut.")
@click.option(
    "-a", "--expect", "expected", multiple=True, metavar="DATA",
    help="Record data that must be in the answer, such as an address. Repeatable.",
)  # fmt: skip
@click.option("--exact", is_flag=True, help="Nothing else may be in it.")
@click.option(
    "--rcode", default="NOERROR", show_default=True, help="The response code that is to come."
)
@thresholds(of=SECONDS, what="the time until the answer")
@thresholds(
    "records", of=COUNT, what="the number of records", default="; none is critical unless said"
)
@click.option(
    "--stale", type=STATE, default="warning", show_default=True,
    help="What a stale answer is worth (RFC 8767, EDE 3).",
)  # fmt: skip
@plugin_options
def resolve(name: str, rtype: str, **params: Any) -> None:
    """Ask a server for NAME (TYPE is A unless given) and judge its answer.

    A server that does not answer is CRITICAL, as is another response code than --rcode, and an
    answer without what is expected. Where several addresses are expected, all of them must come.

    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: wrong use, no address of the server's name,
    errors of the check itself.
    """
    wanted = _wanted(name, rtype, params)
    host = params["hostname"]
    port = params["port"]
    given = None if host is None else server(host, port or _PORT)
    usual = in_time(params, Status.CRITICAL)

    def check(deadline: Deadline) -> Outcome:
        from consulfwd.checks import asked_dns, resolve

        to = asked_dns.Server(*(given or _own(params, port)))
        try:
            answer = asked_dns.ask(wanted.name, wanted.number, to, deadline, tcp=params["tcp"])
        except asked_dns.NoAnswer as error:
            state = usual if error.late else Status.CRITICAL
            return resolve.silent(wanted, str(error), deadline.timeout, state)
        return resolve.judge(wanted, answer, deadline.timeout)

    perform("RESOLVE", params, check, Status.CRITICAL, f"{name} {wanted.type}")


def _wanted(name: str, rtype: str, params: dict[str, Any]) -> Wanted:
    """Return what the answer is to be. Raises UsageError."""
    from consulfwd.checks.resolve import Wanted, rcode_of, type_of

    expected = tuple(
        one.strip() for text in params["expected"] for one in text.split(",") if one.strip()
    )
    if params["exact"] and not expected:
        raise UsageError("--exact: nothing is expected (--expect)")
    return Wanted(
        name, type_of(name, rtype), rcode_of(params["rcode"]), expected, params["exact"],
        bounds(params), bounds(params, "records"), params["stale"],
    )  # fmt: skip


def _own(params: dict[str, Any], port: int | None) -> tuple[str, int]:
    """Return where consulfwd is to be on this host. Raises ConfigError."""
    listen = settings(params, over_http=False).listen
    if not listen:
        return "127.0.0.1", port or _PORT
    return _ANYWHERE.get(listen[0].host, listen[0].host), port or listen[0].port
