"""How soon a change of one instance is in the served zone: real Consul, the publisher, real BIND.

`python -m benchmarks.zone_push [SERVICES ...]` does so for 100 and 10,000 services of three
instances each: at one Consul server, with `consulfwd zone watch` as it is set by default.

What belongs here: from Consul's answer to what BIND answers, and the CPU of the publisher. The
parts by themselves are in `zone_feed` and `zones`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import dns.exception
import dns.message
import dns.query

from benchmarks.process import Process, cpu_ns, rss_mb
from benchmarks.zone_feed import INSTANCES, fill, registration
from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster, find_binaries
from tests.integration.primaries import KEY_NAME, ORIGIN, SECRET, Primary, start_bind

SIZES = (100, 10_000)
ADDRESS, HOST = "127.77.0.2", "127.0.0.1"
# Changes, each back again, and how long (seconds) before the next: the interval is over by then.
CHANGES, APART = 10, 6.0
IDLE_S = 30.0
PATIENCE_S = 1_200.0


def settings(folder: Path, cluster: RealCluster, bind: Primary) -> Path:
    """Write what the publisher is told: all as it is by default, but without a delay of removal."""
    (folder / "key").write_text(SECRET)
    agent = cluster.servers[0]
    target = {
        "servers": [f"{bind.address}:{bind.port}"],
        "key_name": KEY_NAME,
        "key_file": str(folder / "key"),
    }
    zone = {"origin": ORIGIN, "removal_delay": 0, "targets": [{"rfc2136": target}]}
    asked = {"address": agent.address, "dns_port": agent.dns_port, "http_port": agent.http_port}
    file = folder / "consulfwd.yml"
    told = {"consul": {"agents": [asked]}, "zones_state": str(folder / "state"), "zones": [zone]}
    file.write_text(json.dumps(told))
    return file


def number_of(bind: Primary, service: str) -> int:
    """Return how many addresses BIND answers for a service."""
    query = dns.message.make_query(f"{service}.{ORIGIN}", "A")
    try:
        reply = dns.query.udp(query, bind.address, 2.0, bind.port)
    except (OSError, dns.exception.DNSException):
        return 0
    return sum(len(one) for one in reply.answer)


def until(bind: Primary, service: str, number: int, publisher: Process) -> float:
    """Wait until BIND answers with so many addresses; return how long that took (seconds)."""
    began = time.monotonic()
    while number_of(bind, service) != number:
        publisher.check()
        if time.monotonic() - began > PATIENCE_S:
            raise TimeoutError(f"{service} never had {number} addresses:\n{publisher.tail()}")
        time.sleep(0.005)
    return time.monotonic() - began


def measure(services: int) -> None:
    """Print the figures of one size."""
    binary = list(find_binaries().values())[-1]
    guard = Guard()
    with (
        tempfile.TemporaryDirectory(prefix="zone-push-") as name,
        RealCluster(binary, [ADDRESS], workdir=Path(name) / "consul") as cluster,
    ):
        folder = Path(name)
        fill(cluster, services)
        bind = start_bind(folder, guard, HOST)
        try:
            _measure(folder, cluster, bind, services)
        finally:
            bind.kill()
            guard.close()


def _measure(folder: Path, cluster: RealCluster, bind: Primary, services: int) -> None:
    words = ["-m", "consulfwd", "zone", "watch", "-c", str(settings(folder, cluster, bind))]
    began = time.monotonic()
    publisher = Process([sys.executable, *words], None, folder / "watch.log", Path.cwd())
    try:
        until(bind, f"service-{services - 1}", INSTANCES, publisher)
        # All of it is there once the publisher says so.
        while "added (" not in publisher.tail():
            time.sleep(0.1)
        first, cpu = time.monotonic() - began, cpu_ns(publisher.pid) / 1e9
        print(
            f"\n{services:,} services of {INSTANCES} instances, Consul {cluster.version}: in the"
            f" zone {first:.1f} s after the start, by {cpu:.1f} s of CPU,"
            f" {rss_mb(publisher.pid):.0f} MB",
            flush=True,
        )
        time.sleep(APART)
        print("| change | in the zone after, median | worst |\n|---|---|---|")
        busy_ns = busy_s = 0.0
        for health, number in (("critical", INSTANCES - 1), ("passing", INSTANCES)):
            times, used, at = [], cpu_ns(publisher.pid), time.monotonic()
            for one in range(CHANGES):
                changed = registration(one * max(1, services // CHANGES), 0)
                cluster.set_health(changed.node, changed.service_id, health)
                times.append(until(bind, changed.service, number, publisher))
                time.sleep(APART)
            busy_ns += cpu_ns(publisher.pid) - used
            busy_s += time.monotonic() - at
            median = statistics.median(times)
            print(f"| {health} | {median:.2f} s | {max(times):.2f} s |", flush=True)
        used, at = cpu_ns(publisher.pid), time.monotonic()
        time.sleep(IDLE_S)
        idle = (cpu_ns(publisher.pid) - used) / (time.monotonic() - at)
        each = (busy_ns - idle * busy_s) / (2 * CHANGES)
        print(f"{each / 1e6:.1f} ms of CPU each; idle {idle / 1e7:.1f} % of a core", flush=True)
    finally:
        publisher.stop()


def main(arguments: Sequence[str]) -> None:
    """Measure these sizes."""
    for size in [int(one) for one in arguments] or SIZES:
        measure(size)


if __name__ == "__main__":
    main(sys.argv[1:])
