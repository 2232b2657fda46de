"""The agents behind the servers under test: a real Consul cluster, or a light C stub.

What belongs here: starting either with the benchmark's names in it, and counting what it was
asked and what that cost it. What does not: the servers under test.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import Process, cpu_ns, free_port
from benchmarks.tools import compile_c
from benchmarks.veth import FAR, There, here
from consulfwd.dev.real import RealCluster, Registration, find_binaries
from consulfwd.errors import StartError

ADDRESSES = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
INSTANCES = 3


@dataclass(frozen=True)
class Agent:
    """One Consul agent as a server under test sees it."""

    address: str
    port: int
    http_port: int


@dataclass(frozen=True)
class Upstream:
    """Running agents, which know `services`.

    `counters` is where a stub counts its queries, None for real Consul, which has a `cluster`.
    """

    title: str
    agents: Sequence[Agent]
    pids: Sequence[int]
    counters: Path | None
    idle_share: float
    services: Sequence[str]
    cluster: RealCluster | None = None

    def cpu_ns(self) -> int:
        """CPU time of all agents since they started, in ns."""
        return sum(cpu_ns(pid) for pid in self.pids)

    def queries(self) -> int | None:
        """Queries received since the start by UDP and TCP, None where nobody counts them."""
        if self.counters is None:
            return None
        udp, tcp = struct.unpack("=QQ", self.counters.read_bytes())
        return int(udp + tcp)


def service_names(count: int) -> list[str]:
    """`count` names of equal length, so that all answers have one size."""
    width = max(3, len(str(count - 1)))
    return [f"web{number:0{width}d}.service.consul" for number in range(count)]


@contextlib.contextmanager
def stub(
    directory: Path,
    programs: Path,
    core: int,
    *,
    names: int,
    ttl: int,
    there: There = here,
    records: Sequence[int] = (INSTANCES,),
) -> Iterator[Upstream]:
    """Three light agents in one process, on this host or `there`, behind a veth pair.

    Of several numbers of `records` each name has the one after that of the name before it.
    With a TTL they set RA, as Consul with recursors does: dnsmasq caches nothing without it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    counters = directory / "counters"
    addresses = ADDRESSES if there is here else FAR
    command = [str(compile_c("stub", programs)), str(counters)]
    with there():
        port = free_port(*addresses)
        command += [str(port), str(ttl), str(int(ttl > 0)), str(names)]
        command += [",".join(map(str, records)), *addresses]
        process = Process(command, core, directory / "log", directory)
        # Nobody listens for HTTP: what a server would ask there is refused at once.
        http_port = free_port(*addresses)
    try:
        while not counters.exists() or counters.stat().st_size != 16:
            process.check()
            time.sleep(0.01)
        agents = [Agent(address, port, http_port) for address in addresses]
        title = f"light C agents{'' if there is here else ' behind a veth pair'}, TTL {ttl}"
        yield Upstream(title, agents, [process.pid], counters, 0.0, service_names(names))
    finally:
        process.stop()


def consul_binary(version: str | None) -> tuple[str, Path]:
    """Version and executable of one installed Consul, the newest for None; or StartError."""
    found = find_binaries()
    if not found or (version is not None and version not in found):
        raise StartError(
            f"no Consul {version or ''} here (installed: {', '.join(found) or 'none'});"
            " run scripts/install-consul, or use --upstream stub"
        )
    chosen = version or list(found)[-1]
    return chosen, found[chosen]


@contextlib.contextmanager
def real(directory: Path, version: str | None, *, names: int, ttl: int) -> Iterator[Upstream]:
    """Three real Consul servers with `names` services of three instances each.

    `version` is one of the installed ones, None the newest. What the cluster costs when nothing
    is asked is measured once and left out of its cost per query.
    """
    chosen, binary = consul_binary(version)
    services = service_names(names)
    # With recursors Consul sets RA (as in `stub`); this one is never asked.
    cached = {"dns_config": {"service_ttl": {"*": f"{ttl}s"}}, "recursors": ["127.0.0.1"]}
    with RealCluster(binary, ADDRESSES, workdir=directory, extra=cached if ttl else {}) as cluster:
        cluster.register_all(
            [
                Registration(
                    f"host-{instance}",
                    name.partition(".")[0],
                    address=f"10.0.0.{instance + 1}",
                    service_address=f"10.{instance + 1}.0.{number % 250 + 1}",
                    port=80,
                )
                for number, name in enumerate(services)
                for instance in range(INSTANCES)
            ]
        )
        agents = [Agent(a.address, a.dns_port, a.http_port) for a in cluster.servers]
        pids = [a.pid for a in cluster.servers]
        time.sleep(2)  # the followers apply the registrations
        began, before = time.monotonic(), sum(cpu_ns(pid) for pid in pids)
        time.sleep(2)
        idle = (sum(cpu_ns(pid) for pid in pids) - before) / 1e9 / (time.monotonic() - began)
        title = f"Consul {chosen}, 3 servers, TTL {ttl}"
        yield Upstream(title, agents, pids, None, idle, services, cluster)
