"""Starting what is compared: a server of the signed zones, one recursor, and before it the four.

What belongs here: filling in configurations, and starting. What does not: what is asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import dns.exception
import dns.message
import dns.query
import dns.rcode

from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealAgent
from tests.integration.asking import At
from tests.integration.differ import odd
from tests.integration.differ.configurations import (
    BIND,
    BIND_FORWARD,
    DNSDIST,
    UNBOUND,
    ZONES_CONF,
)
from tests.integration.differ.zones import LAME, Command, Signed, sign
from tests.integration.recursors import own_copy, tool
from tests.integration.served import Served, consul
from tests.loopback import free_port

HOST = "127.0.0.1"
OURS = "consulfwd"
PEERS = ("unbound", "bind", "dnsdist")
REVERSE = "10.in-addr.arpa"


class Stage(NamedTuple):
    """Where everybody is: the four compared by name, and who stands behind all of them."""

    servers: dict[str, At]
    recursor: At
    agent: At
    odd: At


@contextmanager
def stage(folder: Path, agent: RealAgent, guard: Guard) -> Iterator[Stage]:
    """Everything running, for as long as the block lasts."""
    signed = sign(folder / "zones")
    with ExitStack() as living:

        def start(child: Child) -> None:
            living.callback(child.kill)
            child.start()

        zones_at, recursor, odd_at = _free(), _free(), _free()
        living.enter_context(odd.serving(*odd_at))
        start(_zones(folder / "zones", signed, zones_at, guard))
        start(_recursor(_made(folder, "recursor"), signed, zones_at, recursor, guard))
        _wait(recursor, "www.example.test")
        agent_at = (agent.address, agent.dns_port)
        behind = {"recursor": recursor, "agent": agent_at, "odd": odd_at}
        servers = {name: _free() for name in PEERS}
        for name, make in (("unbound", _unbound), ("bind", _bind), ("dnsdist", _dnsdist)):
            start(make(_made(folder, name), signed, servers[name], behind, guard))
        served = Served(
            {
                "consul": consul(agent, reverse=["10.0.0.0/8"]),
                "recursors": [_text(recursor)],
                "forward": {odd.ZONE: [_text(odd_at)]},
                # A machine that is busy with other tests is not what is tested.
                "query": {"deadline": 5.0},
            },
            _made(folder, OURS),
            guard,
            python=("-m", "consulfwd.cli.main", "serve", "-c"),
        )
        start(served)
        servers = {OURS: served.at, **servers}
        for at in servers.values():
            _wait(at, "www.example.test")
            _wait(at, "consul.service.consul")
        yield Stage(servers, recursor, agent_at, odd_at)
        assert (served.end(), served.complaints()) == (0, [])


def versions() -> dict[str, str]:
    """What each program says of itself."""
    from benchmarks.tools import version_of
    from consulfwd import __version__

    options = {"unbound": "-V", "named": "-V", "dnsdist": "--version"}
    found = {name: version_of([str(tool(name)), option]) for name, option in options.items()}
    return {OURS: __version__, **found}


def _zones(folder: Path, signed: Signed, at: At, guard: Guard) -> Child:
    config = ZONES_CONF.format(folder=folder, host=at[0], port=at[1])
    for name, file in signed.files.items():
        config += f'zone "{name or "."}" {{ type primary; file "{file}"; }};\n'
    return _named_child("the server of the zones", folder, config, guard)


def _recursor(folder: Path, signed: Signed, zones: At, at: At, guard: Guard) -> Child:
    # Off the port 53, no delegation leads anywhere: every zone is told where it is.
    config = _unbound_config(folder, signed, at, "ede: yes\n    msg-cache-size: 32m")
    for name in (*signed.files, LAME):
        config += f'stub-zone:\n    name: "{name}."\n    stub-addr: {zones[0]}@{zones[1]}\n'
        config += "    stub-no-cache: no\n    stub-prime: no\n"
    return _unbound_child("the recursor", folder, config, guard)


def _unbound(folder: Path, signed: Signed, at: At, behind: dict[str, At], guard: Guard) -> Child:
    insecure = "".join(
        f'domain-insecure: "{name}"\n    ' for name in ("consul", REVERSE, odd.ZONE)
    )
    config = _unbound_config(folder, signed, at, insecure)
    for kind, name, to in (
        ("stub", "consul", "agent"),
        ("stub", REVERSE, "agent"),
        ("forward", odd.ZONE, "odd"),
        ("forward", ".", "recursor"),
    ):
        where = "@".join(map(str, behind[to]))
        config += f'{kind}-zone:\n    name: "{name}"\n    {kind}-addr: {where}\n'
    return _unbound_child("unbound", folder, config, guard)


def _unbound_config(folder: Path, signed: Signed, at: At, more: str) -> str:
    return UNBOUND.format(folder=folder, host=at[0], port=at[1], anchor=signed.anchor, more=more)


def _unbound_child(name: str, folder: Path, config: str, guard: Guard) -> Child:
    (folder / "unbound.conf").write_text(config)
    command: Command = [own_copy("unbound", folder), "-d", "-c", folder / "unbound.conf"]
    return Child(name, command, folder / "log", guard)


def _bind(folder: Path, signed: Signed, at: At, behind: dict[str, At], guard: Guard) -> Child:
    tag, algorithm, kind, digest = signed.anchor.split()
    to = {name: f"{address} port {port}" for name, (address, port) in behind.items()}
    config = BIND.format(
        folder=folder,
        host=at[0],
        port=at[1],
        odd=odd.ZONE,
        recursor=to["recursor"],
        tag=f"{tag} {algorithm} {kind}",
        digest=f'"{digest}"',
    )
    for name, who in (("consul", "agent"), (REVERSE, "agent"), (odd.ZONE, "odd")):
        config += BIND_FORWARD.format(name=name, to=to[who])
    return _named_child("bind", folder, config, guard)


def _named_child(name: str, folder: Path, config: str, guard: Guard) -> Child:
    file = folder / "named.conf"
    file.write_text(config)
    command: Command = [own_copy("named", folder), "-g", "-n", "1", "-c", file]
    return Child(name, command, folder / "log", guard)


def _dnsdist(folder: Path, signed: Signed, at: At, behind: dict[str, At], guard: Guard) -> Child:
    to = {name: _text(where) for name, where in behind.items()}
    config = DNSDIST.format(host=at[0], port=at[1], **to)
    (folder / "dnsdist.conf").write_text(config)
    options = ("--supervised", "--disable-syslog", "-C", folder / "dnsdist.conf")
    return Child("dnsdist", [tool("dnsdist"), *options], folder / "log", guard)


def _made(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    return made


def _free() -> At:
    return HOST, free_port(HOST)


def _text(at: At) -> str:
    return f"{at[0]}:{at[1]}"


def _wait(at: At, name: str, seconds: float = 15.0) -> None:
    """Return when the server answers with NOERROR."""
    end = time.monotonic() + seconds
    while True:
        try:
            reply = dns.query.udp(dns.message.make_query(name, "A"), at[0], 0.5, at[1])
            if reply.rcode() == dns.rcode.NOERROR:
                return
        except (OSError, dns.exception.DNSException):
            pass
        assert time.monotonic() < end, f"no answer for {name} from {_text(at)}"
        time.sleep(0.05)
