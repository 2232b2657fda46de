"""Hosts as Consul's servers see them: all in this process, each with what a real one runs.

What belongs here: `serve`, and on some `render --watch` and `generate --watch --from-catalog`, as
their commands run them but for the signals; and names asked there. Must not know what it costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
import socket
import subprocess
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.message

from consulfwd.config import Settings
from consulfwd.errors import StartError
from consulfwd.generate import current
from consulfwd.generate.requests import Request
from consulfwd.keep.quiescence import Quiescence
from consulfwd.notify import Notifier
from consulfwd.server import Server
from consulfwd.servers.targets import TARGETS
from consulfwd.template import live
from consulfwd.template.guards import Guards
from consulfwd.template.templates import Destination
from consulfwd.upkeep import Upkeep

# Between the starts of two hosts (seconds): a fleet does not start in one moment.
APART_S = 0.02
# So many hosts are asked together for all names, within so long (seconds), until all are watched,
# so often at most. While they are asked all ask for proofs, which one process could not do for all.
TOGETHER, ROUND_S, ASKED = 20, 0.6, 25


# Not of the loopback network: to a fleet Consul's servers are agents off the host.
ADDRESSES = ("10.94.0.11", "10.94.0.12", "10.94.0.13")
_CLONE_NEWNET = 0x40000000


def leave_network() -> None:
    """Put this process into a network of its own that has these addresses. Raises StartError."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        why = os.strerror(ctypes.get_errno())
        raise StartError(f"no network of its own: {why} (run it as root)")
    commands = ["link set lo up", *(f"address add {one}/32 dev lo" for one in ADDRESSES)]
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)


@dataclass(frozen=True)
class Fleet:
    """How many hosts; how many of them render `facts` services, and generate a file."""

    hosts: int
    render: int
    generate: int
    facts: int

    def __str__(self) -> str:
        found = f"{self.hosts} hosts"
        if self.render:
            found += f", {self.render} of them with a template of {self.facts} services"
        if self.generate:
            found += f", {self.generate} with a file of generate --from-catalog"
        return found


class Hosts:
    """The resolvers of all hosts, asked through their sockets."""

    def __init__(self, servers: Sequence[Server], names: Sequence[str]) -> None:
        self._servers = servers
        self._queries = [dns.message.make_query(name, "A").to_wire() for name in names]
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setblocking(False)

    async def ask(self, pause: float) -> None:
        """Ask each host for each name once, with a pause (seconds) between hosts."""
        await self._ask(self._servers, pause)

    async def watch(self) -> None:
        """Ask some hosts after the other until each name is watched at each.

        Raises StartError where they never are.
        """
        for first in range(0, len(self._servers), TOGETHER):
            some = self._servers[first : first + TOGETHER]
            for _ in range(ASKED):
                await self._ask(some, ROUND_S / len(some))
                await asyncio.sleep(ROUND_S)
                if armed(some) == len(some) * len(self._queries):
                    break
            else:
                raise StartError(f"only {armed(some)} names are watched at {len(some)} hosts")

    @property
    def watches(self) -> int:
        """How many names are watched at all hosts together."""
        return armed(self._servers)

    async def _ask(self, servers: Sequence[Server], pause: float) -> None:
        for server in servers:
            at = server.endpoints[0]
            for query in self._queries:
                self._sock.sendto(query, (at.host, at.port))
            await asyncio.sleep(pause)
            with contextlib.suppress(BlockingIOError):
                while self._sock.recv(4096):
                    pass

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


def armed(servers: Sequence[Server]) -> int:
    """Return how many watches of these would tell of a change."""
    reuses = [one.engine.reuse for one in servers]
    watches = [one.freshness.watches.values() for one in reuses if one is not None]
    return sum(watch.armed for some in watches for watch in some)


@contextlib.asynccontextmanager
async def running(
    fleet: Fleet, settings: Settings, names: Sequence[str], folder: Path
) -> AsyncIterator[Hosts]:
    """All hosts, for as long as the block."""
    servers = [Server(settings, rng=random.Random()) for _ in range(fleet.hosts)]
    started: list[Server] = []
    kept: list[asyncio.Future[None]] = []
    hosts = Hosts(servers, names)
    try:
        for server in servers:
            await server.start()
            started.append(server)
            await asyncio.sleep(APART_S)
        for work in _kept(fleet, settings, folder):
            kept.append(asyncio.ensure_future(work))
            await asyncio.sleep(APART_S)
        yield hosts
    finally:
        hosts.close()
        for task in kept:
            task.cancel()
        await asyncio.gather(*kept, return_exceptions=True)
        await asyncio.gather(*(server.stop() for server in started))


def _kept(
    fleet: Fleet, settings: Settings, folder: Path
) -> list[Coroutine[Any, Any, None]]:
    """Return what keeps files current on some of the hosts."""
    template = folder / "jobs.tpl"
    loops = "{% for one in service('job%03d' % n) %}{{ one.host }}:{{ one.port }}\n{% endfor %}"
    template.write_text(f"{{% for n in range({fleet.facts}) %}}{loops}{{% endfor %}}\n")
    works = [
        live.keep_current(
            [Destination(template, folder / f"jobs-{number}")],
            lambda: settings.consul.agents,
            Quiescence(1),
            _upkeep(),
            Guards(),
        )
        for number in range(fleet.render)
    ]
    target = TARGETS["dnsmasq"]
    for number in range(fleet.generate):
        request = Request(
            target, settings, target.newest, dest=folder / f"servers-{number}", reload=False
        )
        works.append(
            current.keep_current(
                lambda request=request: request,  # type: ignore[misc]
                [],
                Quiescence(1),
                service="consul",
                checks=False,
                upkeep=_upkeep(),
            )
        )
    return works


def _upkeep() -> Upkeep:
    return Upkeep(Notifier(), "keeping a file current")
