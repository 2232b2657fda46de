"""What hosts that watch cost one cluster while nobody asks, or hardly anybody.

`python -m benchmarks.fleet` starts three real Consul servers and so many hosts, each with what one
has, in one process, and reads from Consul how many requests it served (HTTP, DNS, RPC), and what
each was for. With `--kill-leader` also what is asked each second around the death of the leader,
and its return. It needs root, for a network of its own: to hosts the servers are agents elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.asked import INTERVAL_S, LOGGING, MODES, Counted, Meter, Request, by, peak
from benchmarks.hosts import ADDRESSES, Fleet, Hosts, leave_network, running
from benchmarks.upstream import consul_binary, service_names
from consulfwd.config import Agent, Settings
from consulfwd.dev.real import RealCluster, Registration
from consulfwd.errors import ConsulfwdError
from tests.load_lock import only_load

T = TypeVar("T")

# All hosts have one address here; Consul allows 200 connections to each.
ROOM = 10_000
# Of the servers without any hosts (seconds).
ALONE_S = 2 * INTERVAL_S
# So long (seconds) before the leader is killed, until it is started again, and after that.
CALM_S, DEAD_S, BACK_S = 20.0, 30.0, 40.0


@dataclass(frozen=True)
class Part:
    """What was found in one part: by Consul's metrics, and by its log, by kind and mode."""

    what: str
    counted: Counted
    kinds: dict[str, dict[str, float]]
    peak: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """A table for people."""
        counted = self.counted
        lines = [
            f"{self.what}: {counted.rate:.1f} requests/s over {counted.seconds:.0f} s (HTTP"
            f" {counted.http:.1f}, DNS {counted.dns:.1f}, RPC from other servers"
            f" {counted.rpc:.1f}), {counted.core:.2f} of a core of Consul's"
        ]
        lines += _table(self.kinds)
        if self.peak:
            most = ", ".join(f"{count} {what}" for what, count in self.peak.items())
            lines.append(f"    in one second {sum(self.peak.values())} at most: {most}")
        return "\n".join(lines)

    @property
    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {**asdict(self), "rate": self.counted.rate}


async def part(what: str, meter: Meter, seconds: float) -> Part:
    """Count for so many seconds; for less than some of Consul's intervals nothing can be told."""
    seconds = max(seconds, 2 * INTERVAL_S)
    await _thread(meter.requests)
    before = await _thread(meter.intervals)
    intervals = dict(before)
    began, used = time.monotonic(), meter.cpu_s()
    while (left := began + seconds - time.monotonic()) > 0:
        await asyncio.sleep(min(left, INTERVAL_S / 3))
        intervals |= await _thread(meter.intervals)
    took = time.monotonic() - began
    core = (meter.cpu_s() - used) / took
    requests = await _thread(meter.requests)
    return Part(what, meter.counted(before, intervals, core), by(requests, took), _peak(requests))


@dataclass(frozen=True)
class Phase:
    """What the log of the servers that run tells of a while around the death of the leader."""

    what: str
    seconds: float
    kinds: dict[str, dict[str, float]]
    # How long after the phase began most was asked in one second, and what.
    peak_at: float
    peak: dict[str, int]

    @property
    def text(self) -> str:
        """A table for people."""
        modes: Counter[str] = Counter()
        for kind in self.kinds.values():
            modes.update(kind)
        told = ", ".join(f"{mode} {modes[mode]:.1f}" for mode in MODES)
        lines = [f"{self.what}: requests/s over {self.seconds:.0f} s: {told}", *_table(self.kinds)]
        most = ", ".join(f"{count} {what}" for what, count in self.peak.items())
        lines.append(f"    most, {self.peak_at:.0f} s later: {sum(self.peak.values())}: {most}")
        return "\n".join(lines)


async def around_a_death(cluster: RealCluster, meter: Meter) -> list[Phase]:
    """Kill the leader, start it again, and tell what is asked each second."""
    leader = await _thread(cluster.leader)
    await _thread(meter.requests)
    await asyncio.sleep(CALM_S)
    killed = time.time()
    leader.kill()
    await asyncio.sleep(DEAD_S)
    started = time.time()
    leader.start()
    await asyncio.sleep(BACK_S)
    requests = await _thread(meter.requests)
    phases = []
    for what, begin, end in (
        ("before", killed - CALM_S, killed),
        ("the leader is killed", killed, started),
        ("it is started again", started, started + BACK_S),
    ):
        those = [one for one in requests if begin <= one.at < end]
        at, _ = peak(those)
        phases.append(
            Phase(what, end - begin, by(those, end - begin), max(at - begin, 0), _peak(those))
        )
    return phases


def _table(kinds: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = []
    for kind, modes in kinds.items():
        told = ", ".join(f"{mode} {rate:.2f}" for mode, rate in modes.items())
        lines.append(f"    {sum(modes.values()):7.2f}  {kind} ({told})")
    return lines


def _peak(requests: Sequence[Request]) -> dict[str, int]:
    _, most = peak(requests)
    return {f"{kind} ({mode})": count for (kind, mode), count in most.most_common()}


async def _thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, work)


async def run(
    options: argparse.Namespace, cluster: RealCluster, folder: Path
) -> tuple[list[Part], list[Phase]]:
    """Count without hosts; idle after a moment of use; then as the options say."""
    leader = await _thread(cluster.leader)
    # All ask the leader first, which is the worst case.
    agents = [
        Agent(address=one.address, dns_port=one.dns_port, http_port=one.http_port)
        for one in sorted(cluster.servers, key=lambda one: one is not leader)
    ]
    # Keys are read as a file spells them; all else is as it is unless somebody sets it.
    given: dict[str, Any] = {
        "listen": ["127.0.0.1:0"],
        "resolv_conf": "/nonexistent/resolv.conf",
        "consul": {"agents": agents},
    }
    settings = Settings(**given)
    meter = Meter(cluster.servers)
    await _thread(lambda: cluster.servers[0].wait_until(meter.ready, "able to tell what it served"))
    parts = [await part("no hosts", meter, ALONE_S)]
    phases: list[Phase] = []
    fleet = Fleet(options.hosts, options.render, options.generate, options.facts)
    async with running(fleet, settings, service_names(options.names), folder) as hosts:
        await hosts.watch()
        await asyncio.sleep(options.settle)
        if options.seconds:
            watches = hosts.watches
            parts.append(await part(f"idle, {watches} watches", meter, options.seconds))
        if options.kill_leader:
            phases = await around_a_death(cluster, meter)
        if options.every:
            parts.append(await _used(options, meter, hosts))
    return parts, phases


async def _used(options: argparse.Namespace, meter: Meter, hosts: Hosts) -> Part:
    """Count while each name is asked at each host now and then."""

    async def asking() -> None:
        while True:
            await hosts.ask(options.every / options.hosts)

    task = asyncio.ensure_future(asking())
    try:
        await asyncio.sleep(2 * INTERVAL_S)
        what = f"each name is asked every {options.every:g} s"
        return await part(what, meter, options.seconds or 6 * INTERVAL_S)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    made.add_argument("--hosts", type=int, default=200, help="how many (%(default)s)")
    made.add_argument("--names", type=int, default=10, help="services each asks (%(default)s)")
    made.add_argument("--render", type=int, default=20, help="hosts that render too (%(default)s)")
    made.add_argument("--facts", type=int, default=5, help="services in a template (%(default)s)")
    made.add_argument(
        "--generate", type=int, default=20, help="hosts that generate too (%(default)s)"
    )
    made.add_argument("--settle", type=float, default=80.0, help="seconds before (%(default)s)")
    made.add_argument("--seconds", type=float, default=140.0, help="counted (%(default)s; 0: not)")
    made.add_argument("--every", type=float, default=0.0, help="seconds between questions (none)")
    made.add_argument("--kill-leader", action="store_true", help="see what its death does")
    made.add_argument("--consul", metavar="VERSION", help="which installed Consul (the newest)")
    made.add_argument("--json", action="store_true", help="the same for machines")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print the figures; the exit code, as the command `consulfwd` has them."""
    try:
        return measure(parser().parse_args(arguments))
    except ConsulfwdError as error:
        print(f"benchmarks.fleet: {error}", file=sys.stderr)
        return error.exit_code


def measure(options: argparse.Namespace) -> int:
    """Run it and print the figures. Raises StartError."""
    version, binary = consul_binary(options.consul)
    # Each host has some connections, and three sockets.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.disable(logging.WARNING)
    extra = {"limits": {"http_max_conns_per_client": ROOM}, **LOGGING}
    with contextlib.ExitStack() as stack:
        stack.enter_context(only_load())
        leave_network()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="consulfwd-fleet-")))
        cluster = stack.enter_context(
            RealCluster(binary, ADDRESSES, workdir=folder / "consul", extra=extra)
        )
        cluster.register_all(
            [
                Registration(f"host-{n}", name, address=f"10.0.0.{n}", port=80)
                for name in services(options.names, options.facts)
                for n in (1, 2, 3)
            ]
        )
        parts, phases = asyncio.run(run(options, cluster, folder))
    fleet = Fleet(options.hosts, options.render, options.generate, options.facts)
    title = f"{fleet}; {options.names} names watched at each; Consul {version}, 3 servers"
    if options.json:
        found = {
            "title": title,
            "parts": [one.as_json for one in parts],
            "death": [asdict(one) for one in phases],
        }
        print(json.dumps(found, indent=2))
    else:
        print("\n".join([title, *(one.text for one in parts), *(one.text for one in phases)]))
    return 0


def services(names: int, facts: int) -> list[str]:
    """The names of the services that are watched, and of those in templates."""
    watched = [name.partition(".")[0] for name in service_names(names)]
    return [*watched, *(f"job{number:03d}" for number in range(facts))]


if __name__ == "__main__":
    sys.exit(main())
