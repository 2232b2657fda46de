"""Development agents put together: one catalog, several agents with DNS and HTTP ports.

What belongs here: who shares what, ports, starting, dying and coming back. Must not know: wire
formats, what a fault does.
"""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import definitions as files
from .answers import Answerer, DnsSettings
from .catalog import Catalog
from .dnsagent import DnsAgent, DnsLimits, Received, Transport
from .faults import Faults

if TYPE_CHECKING:
    from typing_extensions import Self

    from .httpagent import HttpAgent

Part = Literal["udp", "tcp", "http"]
PARTS: tuple[Part, ...] = ("udp", "tcp", "http")
SERVER_PORT = 8300
# Where agents listen that were given no place.
LOOPBACK = "127.0.0.1"
# Address, DNS port, HTTP port; port 0 is any free one.
AgentPlace = tuple[str, int, int]


class DevAgent:
    """One agent: DNS over UDP and TCP on `dns_port`, HTTP on `http_port` (0 without HTTP).

    `catalogs` (by datacenter) are the cluster's; put another one in (`Catalog.copy`) to have an
    agent that sees something else than the others.
    """

    def __init__(
        self,
        name: str,
        address: str,
        catalogs: dict[str, Catalog],
        datacenter: str,
        dns: DnsSettings,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        http: bool,
        ports: tuple[int, int] = (0, 0),
    ) -> None:
        self.name = name
        self.address = address
        self.catalogs = catalogs
        self.faults = Faults(random.Random(rng.getrandbits(64)), clock)
        answers = random.Random(rng.getrandbits(64))
        answerer = Answerer(dns, catalogs, datacenter, clock=clock, rng=answers)
        self._dns = DnsAgent(address, answerer, self.faults)
        self._dns.port = ports[0]
        self._http: HttpAgent | None = None
        if http:
            from .httpagent import HttpAgent

            self._http = HttpAgent(
                name,
                address,
                catalogs,
                datacenter,
                dns,
                self.faults,
                random.Random(rng.getrandbits(64)),
            )
            self._http.port = ports[1]

    @property
    def dns_port(self) -> int:
        return self._dns.port

    @property
    def http_port(self) -> int:
        return self._http.port if self._http else 0

    @property
    def queries(self) -> deque[Received]:
        """The DNS questions that were looked at, oldest first; the last 10,000 are kept."""
        return self._dns.queries

    @property
    def counts(self) -> Counter[Transport]:
        """How many DNS questions came, by transport; not bounded as `queries` is."""
        return self._dns.counts

    @property
    def requests(self) -> deque[str]:
        """The HTTP requests' paths with their queries; the last 10,000 are kept."""
        return self._http.requests if self._http else deque()

    @property
    def limits(self) -> DnsLimits:
        """Queries per TCP connection and its idle time; may be changed."""
        return self._dns.limits

    @property
    def streaming(self) -> bool:
        """Whether blocking health queries look like those of Consul's streaming backend."""
        return self._http is not None and self._http.streaming

    @streaming.setter
    def streaming(self, value: bool) -> None:
        if self._http is None:
            raise ValueError("this agent has no HTTP port")
        self._http.streaming = value

    @property
    def tokens(self) -> set[str] | None:
        """Who may ask over HTTP: whoever shows one of these; None for everybody."""
        return self._http.tokens if self._http else None

    @tokens.setter
    def tokens(self, value: set[str] | None) -> None:
        if self._http is None:
            raise ValueError("this agent has no HTTP port")
        self._http.tokens = value

    async def start(self, *parts: Part) -> None:
        """Opens the ports (all without `parts`): free ones at first, later the same again.

        What is open stays open. OSError when somebody else took a port meanwhile.
        """
        parts = parts or PARTS
        await self._dns.start("udp" in parts, "tcp" in parts)
        if self._http is not None and "http" in parts:
            self._http.dns_port = self.dns_port
            await self._http.start()

    async def stop(self, *parts: Part) -> None:
        """Dies (or loses `parts`): ports closed, connections cut, what was under way is lost.

        Faults stay as they are, but a dead agent is not frozen any more when it comes back.
        """
        if not parts:
            self.faults.forget_held()
        parts = parts or PARTS
        if self._http is not None and "http" in parts:
            await self._http.stop()
        await self._dns.stop("udp" in parts, "tcp" in parts)


class DevCluster:
    """Several agents of one datacenter on `LOOPBACK`, with a catalog that tests may change.

    `definitions` is a Consul definition file or a directory of them (ConfigError when one is
    wrong). `clock` gives seconds; `rng` decides the order of answers, chances and jitter, and is
    seeded alike in every run when not given. `places` says where each agent listens. Also an
    async context manager.
    """

    def __init__(
        self,
        definitions: Path | None = None,
        agents: int = 3,
        *,
        domain: str = "consul",
        datacenter: str = "dc1",
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        http: bool = True,
        places: Sequence[AgentPlace] = (),
    ) -> None:
        if agents < 1:
            raise ValueError("a cluster has at least one agent")
        if places and len(places) != agents:
            raise ValueError("every agent has a place, or none has")
        places = places or [(LOOPBACK, 0, 0)] * agents
        rng = rng or random.Random(0)
        self.datacenter = datacenter
        self.dns = DnsSettings(domain=domain.strip(".").lower())
        self.catalog = Catalog(datacenter, clock)
        self.catalogs = {datacenter: self.catalog}
        self._clock = clock
        names = [f"dev{number}" for number in range(1, agents + 1)]
        for name, place in zip(names, places, strict=True):
            self.catalog.register(
                "consul",
                id=f"consul-{name}",
                node=name,
                node_address=place[0],
                port=SERVER_PORT,
                checks=(),
            )
        if definitions is not None:
            files.load(files.read_definitions(definitions), self.catalog, names[0])
        self.agents = [
            DevAgent(
                name,
                place[0],
                dict(self.catalogs),
                datacenter,
                self.dns,
                clock=clock,
                rng=rng,
                http=http,
                ports=place[1:],
            )
            for name, place in zip(names, places, strict=True)
        ]

    def add_datacenter(self, name: str) -> Catalog:
        """A further datacenter, empty, that every agent answers for (`*.<name>.<domain>`)."""
        catalog = self.catalogs[name] = Catalog(name, self._clock)
        for agent in self.agents:
            agent.catalogs[name] = catalog
        return catalog

    async def start(self) -> None:
        """Starts every agent; on an error those already started are stopped again."""
        try:
            for agent in self.agents:
                await agent.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops every agent; returns when all sockets and tasks are gone. Harmless when stopped."""
        for agent in self.agents:
            await agent.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()
