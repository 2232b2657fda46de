"""`consulfwd resolve`: ask as the server would, and say how the answer came about."""

from __future__ import annotations

import asyncio
import logging
import sys
from ipaddress import ip_address
from typing import Any

import click

from consulfwd.api import Answer, Resolver, Settings, UsageError
from consulfwd.cli.named import question
from consulfwd.cli.options import load_from_options, settings_options, tell_passed_over
from consulfwd.cli.show import compare_text, differ, long_text, short_text, to_json, trace_text
from consulfwd.config import Agent, Recursor
from consulfwd.config.forms import BadValue, upstream_address

NO_DATA, UNRESOLVED = 1, 3


@click.command()
@click.argument("name")
@click.argument("rtype", metavar="[TYPE]", default="")
@settings_options
@click.option("--server", metavar="ADDR[:PORT]", help="Ask this DNS server instead.")
@click.option("--trace", is_flag=True, help="Explain: rule, agents and their order, each attempt.")
@click.option("--compare", is_flag=True, help="Ask every agent and show where they differ.")
@click.option("--tcp", is_flag=True, help="Ask over TCP.")
@click.option("--dnssec", is_flag=True, help="Set DO: ask for DNSSEC records.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--short", is_flag=True, help="Print the record data only.")
def resolve(
    name: str,
    rtype: str,
    server: str | None,
    trace: bool,
    compare: bool,
    tcp: bool,
    dnssec: bool,
    as_json: bool,
    short: bool,
    **params: Any,
) -> None:
    """Resolve NAME (an address asks for its PTR) through the same core as the server.

    TYPE defaults to A, for _service._tag names to SRV. Exit status: 0 answered, 1 no such name or
    no data, 2 wrong use, 3 could not be resolved. With --compare: 0 the same records everywhere,
    1 they differ or have none, 3 an agent does not answer.
    """
    if (short and (as_json or trace or compare)) or (trace and compare):
        raise UsageError("--short, --json with --trace or --compare: choose what to print")
    loaded = load_from_options(params, over_http=False)
    tell_passed_over(loaded)
    settings = loaded.settings
    # What the server logs of its agents' health is told by the trace here.
    logging.getLogger("consulfwd").addHandler(logging.NullHandler())
    name, rtype = question(name, rtype)
    if compare:
        if server is not None:
            raise UsageError("--compare asks every agent of the settings: leave out --server")
        answers = asyncio.run(_ask_each(settings, name, rtype, tcp))
        click.echo(to_json(answers) if as_json else compare_text(answers))
        sys.exit(_compared(answers))
    target = _server(server) if server is not None else None
    answer = asyncio.run(_ask(settings, name, rtype, target, tcp, dnssec))
    if as_json:
        click.echo(to_json(answer))
    elif short:
        click.echo(short_text(answer), nl=bool(answer.records))
        if not answer.resolved:
            # Without a word here a script's log would not say why it got nothing.
            reason = answer.ede[1] if answer.ede else "could not be resolved"
            click.echo(
                f"consulfwd: {answer.name} {answer.type}: {answer.rcode}: {reason}", err=True
            )
    else:
        click.echo(long_text(answer))
        if trace:
            click.echo(trace_text(answer))
    sys.exit(exit_code(answer))


def exit_code(answer: Answer) -> int:
    """Return what the command ends with: 0 records, 1 none, 3 not resolved."""
    if not answer.resolved:
        return UNRESOLVED
    return 0 if answer.rcode == "NOERROR" and answer.records else NO_DATA


def _compared(answers: dict[str, Answer]) -> int:
    """Return 0 when all give the same records, 1 when they differ or have none, 3 for silence."""
    if differ(answers):
        return NO_DATA
    return max(map(exit_code, answers.values()))


async def _ask(
    settings: Settings, name: str, rtype: str, server: Recursor | None, tcp: bool, do: bool
) -> Answer:
    async with Resolver(settings, server=server, stream=tcp) as resolver:
        return await resolver.resolve(name, rtype, do=do)


async def _ask_each(settings: Settings, name: str, rtype: str, tcp: bool) -> dict[str, Answer]:
    agents = list(settings.consul.agents)
    for datacenter in settings.consul.datacenters.values():
        agents += [agent for agent in datacenter.agents if agent not in agents]
    answers = await asyncio.gather(
        *(_ask(_single(settings, agent), name, rtype, None, tcp, False) for agent in agents)
    )
    return dict(zip((agent.name for agent in agents), answers, strict=True))


def _single(settings: Settings, agent: Agent) -> Settings:
    consul = settings.consul.replace(agents=(agent,), datacenters={})
    return settings.replace(consul=consul)


def _server(text: str) -> Recursor:
    host, port = _host_port(text, 53, "--server")
    return Recursor(address=host, port=port, transport="udp", tls_name=None)


def _host_port(text: str, default: int, option: str) -> tuple[str, int]:
    host, port = text, str(default)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        raise UsageError(
            f"{option} {text}: not an IP address (ADDR, ADDR:PORT or [V6]:PORT)"
        ) from None
    try:
        address = upstream_address(host)
    except BadValue as error:
        raise UsageError(f"{option} {text}: {error}") from None
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"{option} {text}: the port must be a number from 1 to 65535")
    return address, int(port)
