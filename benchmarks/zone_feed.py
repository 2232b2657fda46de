"""What it takes to have a zone planned by a catalog of real Consul, and how soon a change is known.

`python -m benchmarks.zone_feed [SERVICES ...]` does so for catalogs of 100, 1,000 and 10,000
services of three instances each, at one Consul server that is started for it. Each is followed by a
process of its own, in which everything is that a publisher has but the target.

What belongs here: from Consul to a plan. What does not: what the plan costs alone (`zones`), how
long a target takes.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.zones import Held
from consulfwd.config import Agent
from consulfwd.config.zones import ZoneSettings
from consulfwd.consul.client import Client
from consulfwd.consul.reply import Reply
from consulfwd.consul.seats import CONNECTIONS
from consulfwd.dev.real import RealAgent, RealCluster, Registration, find_binaries
from consulfwd.process import give_memory_back, quieten_collector
from consulfwd.zones.feed import Feed
from consulfwd.zones.zone import Zone

SIZES = (100, 1_000, 10_000)
INSTANCES, NODES = 3, 500
ADDRESS = "127.77.0.1"
SETTLE_S, IDLE_S = 20.0, 20.0
# Between two changes: of many in a row some wait, so that Consul has time for others.
APART_S = 2.0
# So many changes of each kind; of some fewer.
CHANGES, FEWER = 6, 4
PATIENCE_S = 240.0
# What is done to services beside those that there are.
ELSE = ("new service", "service gone")
Change = Callable[[int], None]


class Counted(Client):
    """A client that counts what is asked."""

    asked = 0

    async def get(self, path: str, params: Mapping[str, str] | None = None, **more: Any) -> Reply:
        Counted.asked += 1
        return await super().get(path, params, **more)


async def follow(agent: Agent) -> None:
    """Plan a zone of all there is, again with each change, and print when one was told.

    And what it took, for each line read.
    """
    zone = ZoneSettings(origin="svc.example.com", tags=("primary",), removal_delay=0)
    changed = asyncio.Event()
    began = time.monotonic()
    feed = Feed(
        [agent],
        [zone],
        changed.set,
        lambda text: print(text, file=sys.stderr, flush=True),
        connect=lambda one: Counted(one, connections=CONNECTIONS),
    )
    loop = asyncio.get_running_loop()

    def took(**more: object) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime
        line = {
            "cpu": cpu,
            "asked": Counted.asked,
            "mb": resident(),
            "most": used.ru_maxrss / 1024,
            **more,
        }
        print(json.dumps(line), flush=True)

    # As the publisher does.
    quieten_collector()
    give_memory_back()
    assert await feed.ready(PATIENCE_S)
    quieten_collector()
    known, alone = time.monotonic() - began, resident()
    found, target = feed.catalog(zone), Held()
    decided = Zone(zone, time.monotonic())
    decided.see(found, time.monotonic())
    plan = decided.plan(target.base, time.monotonic())
    took(
        seconds=time.monotonic() - began,
        known=known,
        alone=alone,
        services=len(found.services),
        acts=len(plan.acts),
        doubt=found.doubt,
    )
    target.push(decided, plan, time.monotonic())
    del plan, found
    quieten_collector()
    loop.add_reader(sys.stdin, lambda: took() if sys.stdin.readline() else os._exit(0))
    while True:
        await changed.wait()
        changed.clear()
        now = time.monotonic()
        services = feed.take(zone).services
        decided.changed(services, now)
        plan = decided.plan(target.base, now)
        if plan.acts:
            target.push(decided, plan, now)
        for one in services:
            print(json.dumps({"name": one.name, "at": now}), flush=True)


def resident() -> float:
    """Return how much memory this process has now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


class Follower:
    """A process that follows."""

    def __init__(self, agent: RealAgent) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, "--follow", agent.address, str(agent.http_port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._hear, daemon=True).start()
        self.first = self.read()

    def read(self) -> dict[str, Any]:
        """Return the next line that it prints. Raises queue.Empty where there is none."""
        found: dict[str, Any] = json.loads(self._lines.get(timeout=PATIENCE_S))
        return found

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def took(self) -> dict[str, Any]:
        """Return what it has taken so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        while "cpu" not in (found := self.read()):
            pass
        return found

    def hears(self, name: str) -> float:
        """Return when it knew of a change of a service."""
        while (found := self.read()).get("name") != name:
            pass
        return float(found["at"])

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def registration(number: int, one: int, **fields: Any) -> Registration:
    """Return one instance of one service."""
    given: dict[str, Any] = {
        "node": f"node-{(INSTANCES * number + one) % NODES}",
        "service": f"service-{number}",
        "service_id": f"service-{number}-{one}",
        "service_address": f"10.{number >> 8 & 255}.{number & 255}.{one + 1}",
        "port": 8_000 + one,
        "tags": ["primary" if one == 0 else "replica"],
        "meta": {"version": "1.2.3"},
    }
    return Registration(**(given | fields))


def fill(cluster: RealCluster, services: int) -> None:
    """Register so many services."""
    nodes = [(f"node-{one}", f"10.200.{one >> 8}.{one & 255}") for one in range(NODES)]
    cluster.register_all([Registration(node, address=address) for node, address in nodes])
    every = (registration(number, one) for number in range(services) for one in range(INSTANCES))
    cluster.register_all(list(every))


def changes(cluster: RealCluster, services: int) -> Iterator[tuple[str, int, int, Change]]:
    """Yield kinds of changes: their name, at which services, how many, what makes one of them.

    Who changed is waited for from then on: each kind is at services of its own, if it can be.
    """

    def instance(number: int) -> tuple[str, str]:
        one = registration(number, 0)
        return one.node, one.service_id

    def put(one: Registration) -> None:
        cluster.http("PUT", "/v1/txn", one.operations())

    def drop(node: str, name: str) -> None:
        cluster.http("PUT", "/v1/catalog/deregister", {"Node": node, "ServiceID": name})

    yield "fails", 0, CHANGES, lambda one: cluster.set_health(*instance(one), "critical")
    yield "is well again", 0, CHANGES, lambda one: cluster.set_health(*instance(one), "passing")
    yield "new instance", 1, CHANGES, lambda one: put(registration(one, INSTANCES))
    yield "deregistered", 2, CHANGES, lambda one: drop(*instance(one))
    yield "registered again", 2, CHANGES, lambda one: put(registration(one, 0))
    yield "other tags", 3, CHANGES, lambda one: put(registration(one, 1, tags=["other"]))
    yield "another address", 4, CHANGES, lambda one: put(
        registration(one, 2, service_address="10.99.0.1")
    )
    yield "new service", 5, FEWER, lambda one: put(registration(services + one, 0))
    yield "service gone", 5, FEWER, lambda one: drop(
        registration(services + one, 0).node, registration(services + one, 0).service_id
    )


def measure(services: int) -> None:
    """Print the figures of one size."""
    binary = list(find_binaries().values())[-1]
    with (
        tempfile.TemporaryDirectory(prefix="zone-feed-") as folder,
        RealCluster(binary, [ADDRESS], workdir=Path(folder)) as cluster,
    ):
        began = time.monotonic()
        fill(cluster, services)
        print(f"\n{services:,} services of {INSTANCES} instances on {NODES} nodes, Consul"
              f" {cluster.version} (registered in {time.monotonic() - began:.0f} s)", flush=True)
        follower = Follower(cluster.servers[0])
        try:
            _measure(cluster, follower, services)
        finally:
            follower.close()


def _measure(cluster: RealCluster, follower: Follower, services: int) -> None:
    first = follower.first
    print(
        f"first plan: {first['seconds']:.1f} s ({first['known']:.1f} s of it until all is known),"
        f" {first['cpu']:.1f} s of CPU, {first['asked']:,} requests, {first['most']:.0f} MB at most"
        f" ({first['alone']:.0f} MB before the plan; {first['services']:,} services,"
        f" {first['acts']:,} RRsets, doubt: {first['doubt'] or 'none'})",
        flush=True,
    )
    # What was due while the plan was made is made up for, and seats are taken.
    time.sleep(SETTLE_S)
    before, began, consul = follower.took(), time.monotonic(), cpu_of(cluster.servers[0])
    time.sleep(IDLE_S)
    after, took = follower.took(), time.monotonic() - began
    idle = (after["cpu"] - before["cpu"]) / took
    consuls = (cpu_of(cluster.servers[0]) - consul) / took
    asked = (after["asked"] - before["asked"]) / took
    print(
        f"idle: {asked:.1f} requests/s, {100 * idle:.1f} % of a core, Consul {100 * consuls:.1f} %",
        flush=True,
    )
    print("| change | known after, median | worst | CPU each | Consul's | requests |")
    print("|---|---|---|---|---|---|")
    step = max(1, services // CHANGES)
    for what, offset, number, change in changes(cluster, services):
        times = []
        before, began, consul = follower.took(), time.monotonic(), cpu_of(cluster.servers[0])
        for one in range(number):
            service = one * step + offset
            change(service)
            known = time.monotonic()
            name = f"service-{services + service if what in ELSE else service}"
            times.append(max(follower.hears(name) - known, 0))
            time.sleep(APART_S)
        time.sleep(1.5)
        after, took = follower.took(), time.monotonic() - began
        cpu = (after["cpu"] - before["cpu"] - idle * took) / number
        other = (cpu_of(cluster.servers[0]) - consul - consuls * took) / number
        more = (after["asked"] - before["asked"] - asked * took) / number
        print(
            f"| {what} | {statistics.median(times) * 1e3:.0f} ms | {max(times) * 1e3:.0f} ms |"
            f" {cpu * 1e3:.1f} ms | {other * 1e3:.1f} ms | {more:.1f} |",
            flush=True,
        )
    print(f"in the end: {after['mb']:.0f} MB, {after['most']:.0f} MB at most", flush=True)


def cpu_of(agent: RealAgent) -> float:
    """Return the CPU time (seconds) that an agent has taken."""
    fields = Path(f"/proc/{agent.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str]) -> None:
    """Measure these sizes, or follow an agent."""
    if arguments[:1] == ["--follow"]:
        asyncio.run(follow(Agent(address=arguments[1], http_port=int(arguments[2]))))
        return
    for size in [int(one) for one in arguments] or SIZES:
        measure(size)


if __name__ == "__main__":
    main(sys.argv[1:])
