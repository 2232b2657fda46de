"""A whole resolver in one process: development agents, recursors, the server, and its clients.

Leaving it checks that nothing went wrong unseen: no exception in the loop, none in the log, no
task and no file descriptor left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
import socket
import time
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from consulfwd.config import Endpoint, Settings
from consulfwd.core.upstreams import AGENT
from consulfwd.dev import DevAgent, DevCluster
from consulfwd.net import clock as clocks
from consulfwd.net import resolver
from consulfwd.net.clock import usual_now
from consulfwd.net.flight import Counters
from consulfwd.net.resolver import Engine
from consulfwd.net.scopes import socket_address
from consulfwd.ops.taking import WatchedServer
from consulfwd.server import Server
from tests.coreless import go_by_our_time, our_time
from tests.loopback import OWN
from tests.net.messages import Reply, parse, question
from tests.net.recursor import Recursor

EXAMPLES = Path(__file__).parents[2] / "examples" / "consul.d"
# What is waited for comes at once, but for a busy machine.
PATIENCE_S = 15.0
PROBE = "consul.service.consul"
# A busy machine must not make agents look late where it is counted who is asked.
PATIENT = dataclasses.replace(AGENT, hedge_floor=0.2, hedge_initial=0.2)
GALERA = ["10.0.10.11", "10.0.10.12", "10.0.10.13"]
# How long a test that is over waits for what it left unanswered; a server waits to the deadline.
LEAVE_S = 0.1


class Datagrams(asyncio.DatagramProtocol):
    """What came back on a UDP socket."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.arrived.put_nowait(data)


class UdpClient:
    """A UDP socket connected to the server: it takes replies from the address asked only.

    `source` is the address it asks from, where that matters.
    """

    def __init__(self, at: Endpoint, source: str | None = None) -> None:
        self._at = at
        self._source = source

    async def __aenter__(self) -> UdpClient:
        family = socket.AF_INET6 if ":" in self._at.host else socket.AF_INET
        self._sock = socket.socket(family, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        # Hundreds of replies may come before anybody looks.
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        if self._source is not None:
            self._sock.bind((self._source, 0))
        self._sock.connect(socket_address(self._at.host, self._at.port))
        self._transport, self._protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            Datagrams, sock=self._sock
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        self._transport.close()
        await asyncio.sleep(0)

    def send(self, packet: bytes) -> None:
        self._sock.send(packet)  # a transport would keep an empty one to itself

    async def receive(self, patience: float = PATIENCE_S) -> bytes:
        try:
            return await asyncio.wait_for(self._protocol.arrived.get(), patience)
        except asyncio.TimeoutError:
            raise AssertionError("no reply came") from None

    @property
    def address(self) -> tuple[str, int]:
        """Where this client asks from."""
        host, port, *_ = self._sock.getsockname()
        return host, port

    @property
    def waiting(self) -> int:
        """How many replies have come that nobody took."""
        return self._protocol.arrived.qsize()


class TcpClient:
    """A TCP connection to the server, from the address `source` where that matters."""

    def __init__(self, at: Endpoint, source: str | None = None) -> None:
        self._at = at
        self._source = None if source is None else (source, 0)

    async def __aenter__(self) -> TcpClient:
        self.reader, self.writer = await asyncio.open_connection(
            self._at.host, self._at.port, local_addr=self._source
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.transport.abort()
        await asyncio.sleep(0)

    def send(self, *packets: bytes) -> None:
        self.writer.write(b"".join(len(one).to_bytes(2, "big") + one for one in packets))

    async def receive(self) -> bytes:
        """The next message; IncompleteReadError or ConnectionError when the server closed."""

        async def read() -> bytes:
            length = int.from_bytes(await self.reader.readexactly(2), "big")
            return await self.reader.readexactly(length)

        return await asyncio.wait_for(read(), PATIENCE_S)

    async def closed(self) -> bool:
        """Wait until the server closes; False when something else comes first."""
        try:
            return await asyncio.wait_for(self.reader.read(1), PATIENCE_S) == b""
        except ConnectionError:
            return True


async def ask(
    at: Endpoint,
    name: str,
    qtype: str = "A",
    *,
    tcp: bool = False,
    source: str | None = None,
    **how: Any,
) -> Reply:
    """Ask a server one question (see `question` for how) and return its checked reply."""
    packet = question(name, qtype, **how)
    client: UdpClient | TcpClient = TcpClient(at, source) if tcp else UdpClient(at, source)
    async with client:
        client.send(packet)
        reply = parse(await client.receive())
    assert reply.id == int.from_bytes(packet[:2], "big")
    return reply


class World:
    """A running server with what it asks. See `world` for how it is made."""

    def __init__(self, cluster: DevCluster, server: Server, clock: Clock) -> None:
        self.cluster = cluster
        self.server = server
        self._clock = clock
        self.watched = WatchedServer(server)

    @property
    def at(self) -> Endpoint:
        return self.server.endpoints[0]

    @property
    def engine(self) -> Engine:
        return self.server.engine

    @property
    def counters(self) -> Counters:
        return self.engine.counters

    @property
    def agents(self) -> list[DevAgent]:
        return self.cluster.agents

    async def ask(self, name: str, qtype: str = "A", **how: Any) -> Reply:
        """Ask the server at its first address."""
        return await ask(self.at, name, qtype, **how)

    def udp(self) -> UdpClient:
        """A UDP client of the server's first address."""
        return UdpClient(self.at)

    def tcp(self) -> TcpClient:
        """A TCP client of the server's first address."""
        return TcpClient(self.at)

    def skip(self, seconds: float) -> None:
        """Let time pass for the server and the agents: it ticks once, as it would each second."""
        self._clock.offset += seconds
        self.tick()

    def leap(self, seconds: float) -> None:
        """Set the time of day ahead, as after a pause of the whole machine with every clock."""
        self._clock.leapt += seconds

    def tick(self) -> None:
        """Let the server do what it does each second."""
        self.engine.ticks.go()

    def asked(self) -> list[str]:
        """Which agents were asked (not probed) over what, in order of agents: `1 udp`."""
        return [
            f"{number} {query.transport}"
            for number, agent in enumerate(self.agents, 1)
            for query in agent.queries
            if query.name != PROBE
        ]

    def states(self) -> list[str]:
        """The agents' health as the server sees it."""
        found = {one.name: one.state.value for one in self.engine.upstreams()}
        return [found[f"{agent.address}:{agent.dns_port}"] for agent in self.agents]

    async def until(self, *states: str) -> None:
        """Wait until the agents' health is this."""
        await until(lambda: self.states() == list(states))


class Clock:
    """The loop's clock, with what was skipped; `wall` is the time of day, which may leap."""

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time
        # It goes on from the usual ones, by which there are times of before it was made.
        self.offset = usual_now() - self._time()
        self.leapt, self.ahead = 0.0, time.time() - self()

    def __call__(self) -> float:
        return self._time() + self.offset

    def wall(self) -> float:
        return self() + self.ahead + self.leapt

    def for_engine(self) -> clocks.Clock:
        """Return what an engine goes by, for this to be it."""
        made = clocks.Clock()
        made.now, made.wall = self, self.wall
        return made


async def until(condition: Any, patience: float = PATIENCE_S) -> None:
    """Wait until a condition holds; fails after `patience` seconds."""
    ends = our_time() + patience
    while not condition():
        assert our_time() < ends, "waited in vain"
        await asyncio.sleep(0.002)


def settings(cluster: DevCluster | None, *recursors: Recursor, **sections: Any) -> Settings:
    """Return settings for agents and recursors on free ports; `sections` as in the file."""
    sections.setdefault("listen", [f"{OWN}:0"])
    sections.setdefault("resolv_conf", "/nonexistent/resolv.conf")
    if recursors:
        sections["recursors"] = [
            f"[{one.host}]:{one.port}" if ":" in one.host else f"{one.host}:{one.port}"
            for one in recursors
        ]
    consul = dict(sections.pop("consul", {}))
    # Where nobody serves HTTP there is nothing to be watched, or looked at.
    consul.setdefault("watch", {"enabled": False})
    consul.setdefault("quality", {"every": 0})
    if cluster is not None:
        consul.setdefault("agents", [place_of(one) for one in cluster.agents])
    return Settings(**{**sections, "consul": consul})


def place_of(agent: DevAgent) -> dict[str, Any]:
    place = {"address": agent.address, "dns_port": agent.dns_port}
    return place | ({"http_port": agent.http_port} if agent.http_port else {})


@asynccontextmanager
async def world(
    *recursors: Recursor,
    agents: int = 3,
    patience: float | None = 0.05,
    loops: bool = False,
    http: bool = False,
    **sections: Any,
) -> AsyncIterator[World]:
    """Run agents with the example services and a server in front of them.

    `patience` is how long an agent is waited for before the next is asked too; longer than in
    production, so that a slow machine does not change what tests count. None leaves it. For want of
    a core nobody here is late: all goes by a clock that stands still then. Without
    `loops` nobody is sent loop tests, for the same reason. With `http` the agents serve that too;
    what is watched there `sections` say.
    """
    go_by_our_time(asyncio.get_running_loop())
    clock = Clock()
    async with nothing_left_behind(loops=loops):
        cluster = DevCluster(EXAMPLES, agents, clock=clock, http=http)
        async with cluster:
            server = Server(settings(cluster, *recursors, **sections), rng=random.Random(1))
            with mock.patch.object(resolver, "Clock", clock.for_engine):
                await server.start()
            if not loops:
                server.engine.loop_tests.close()
            for upstream in server.engine.upstreams():
                if patience is not None and upstream.is_agent:
                    upstream.tuning = dataclasses.replace(
                        upstream.tuning, hedge_floor=patience, hedge_initial=patience
                    )
            try:
                if "agents" not in sections.get("consul", {}):
                    await until(lambda: all(agent.queries for agent in cluster.agents))
                yield World(cluster, server, clock)
            finally:
                # What is promised of stopping is tested by stopping in the middle of a test.
                server._drain_seconds = lambda: LEAVE_S  # type: ignore[method-assign]
                await server.stop()
                for recursor in recursors:
                    recursor.nobody_asks()


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


@asynccontextmanager
async def nothing_left_behind(*, loops: bool = False) -> AsyncIterator[None]:
    """Fail when what runs inside logs an error, loses an exception, leaves a task or a socket.

    With `loops` it may say that an upstream leads back.
    """
    loop = asyncio.get_running_loop()
    errors = _Errors()
    logging.getLogger().addHandler(errors)
    loop.set_exception_handler(lambda _, context: errors.messages.append(_told(context)))
    tasks, sockets, files = asyncio.all_tasks(), open_sockets(), _open_files()
    try:
        yield
        # A fixture is left in another task than it is entered.
        tasks |= {task for task in (asyncio.current_task(),) if task is not None}
        for _ in range(200):
            if asyncio.all_tasks() <= tasks and open_sockets() <= sockets:
                break
            await asyncio.sleep(0.005)
        left = asyncio.all_tasks() - tasks
        assert left == set(), f"left behind: {left}"
        assert open_sockets() <= sockets, f"left open: {_open_files() - files}"
    except AssertionError as failed:
        # What went wrong unseen is more telling than what a client saw of it.
        raise AssertionError("\n".join([str(failed), *errors.messages])) from failed
    finally:
        logging.getLogger().removeHandler(errors)
        loop.set_exception_handler(None)
    assert [one for one in errors.messages if not (loops and "leads back" in one)] == []


def _told(context: dict[str, Any]) -> str:
    error = context.get("exception")
    trace = "".join(traceback.format_exception(error)) if error is not None else ""
    return f"{context['message']}\n{trace}"


def open_sockets() -> int:
    """How many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def _open_files() -> set[str]:
    """What is open, as the kernel names it."""
    found = set()
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(f"{one.name} {one.readlink()}")
    return found


def names_of(prefix: str, count: int) -> Sequence[str]:
    """Return `count` names that differ."""
    return [f"{prefix}{number}" for number in range(count)]
