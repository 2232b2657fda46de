"""What watches cost while nobody asks: of the host, and of Consul's servers.

What belongs here: having names watched, waiting, reading clocks and memory. What does not:
printing (`report`). It is consulfwd alone: no other server watches.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.asking import Load, dnsperf, first_answer
from benchmarks.measure import Bench
from benchmarks.peers import OURS, Peer, ours
from benchmarks.process import Process, cpu_ns, machine_cpu_s, rss_mb, wakeups
from benchmarks.telling import told
from consulfwd.core.freshness import PROVE_FOR
from consulfwd.dev.real import RealCluster
from consulfwd.errors import StartError

WATCHES = 128
# Some watches first: what the first one needs is not the cost of one more.
FEW = 8
PATIENCE_S = 10.0
# Of the watches, how many must be there in the end.
KEPT = 0.95
# After the last query: what was asked meanwhile is over, and so is what Consul does for it; proofs
# go on until then.
CALM_S = PROVE_FOR + 1.0
STEP_S = 1.0


@dataclass(frozen=True)
class Idle:
    """One way to watch; CPU as shares of a core while idle, memory in MB.

    `busiest` is the worst ten seconds of `share`, `wakes` how often a second it was woken.
    `leader_share` and `others_share` are of Consul's leader, and of its other servers together.
    `few_mb` and `mb` are resident memory with `few` watches and with `watches`; `consul_mb` is
    Consul's, all servers.
    """

    name: str
    version: str
    command: Sequence[str]
    seconds: float
    watches: int
    share: float
    busiest: float
    wakes: float
    leader_share: float
    others_share: float
    few: int
    few_mb: float
    mb: float
    consul_mb: float
    other_load: float

    @property
    def per_watch_kb(self) -> float | None:
        """Resident memory per watch with the answer it covers, in kB; None without watches."""
        more = self.watches - self.few
        return (self.mb - self.few_mb) * 1024 / more if more else None

    def as_json(self) -> dict[str, object]:
        """Everything, with what one watch weighs."""
        return {**asdict(self), "per_watch_kb": self.per_watch_kb}


def run(bench: Bench, cluster: RealCluster, load: Load, rounds: int) -> list[Idle]:
    """Without watches, with the agents' word and with the leader's, in turn; one line each."""
    ways = [
        ours("without watches", enabled=False),
        ours("source: agent", source="agent"),
        ours("source: leader", source="leader"),
    ]
    found = []
    for number in range(rounds):
        for way in ways:
            bench.say(f"{way.name}, round {number + 1} of {rounds}")
            found.append(_measure(bench, cluster, load, way))
    return found


def _measure(bench: Bench, cluster: RealCluster, load: Load, way: Peer) -> Idle:
    site = bench.site(way)
    process = bench.start(way, site)
    log = site.directory / "log"
    names = load.names[:WATCHES]
    watching = way.name.startswith("source")
    try:
        first_answer(process, site.port, names[0])

        def watch(count: int) -> tuple[int, float]:
            """Have so many names watched; how many are, and the memory that takes."""
            datafile = site.directory / f"queries-{count}"
            datafile.write_text("".join(f"{name} A\n" for name in names[:count]))
            rate = ("-Q", str(10 * count), "-l", "1")
            armed, end = -1, time.monotonic() + PATIENCE_S
            while armed < (count if watching else 0):
                if time.monotonic() > end:
                    raise StartError(f"{armed} of {count} names are watched:\n{process.tail()}")
                dnsperf(load.command(datafile, site.port, *rate))
                armed = told(process, log).armed
            # Once more: what was asked while watches began was not kept.
            dnsperf(load.command(datafile, site.port, *rate))
            return armed, rss_mb(process.pid)

        few, few_mb = watch(FEW)
        armed, mb = watch(WATCHES)
        time.sleep(CALM_S)
        leader = cluster.leader()
        others = [one.pid for one in cluster.servers if one is not leader]
        ticks: list[float] = []
        began, machine, woken = time.monotonic(), machine_cpu_s(), wakeups(process.pid)
        used = _used(process, leader.pid, others)
        last = used[0]
        while time.monotonic() - began < load.seconds:
            time.sleep(STEP_S)
            ticks.append(cpu_ns(process.pid) / 1e9 - last)
            last += ticks[-1]
        seconds = time.monotonic() - began
        machine, woken = machine_cpu_s() - machine, wakeups(process.pid) - woken
        after = _used(process, leader.pid, others)
        spent = [now - then for now, then in zip(after, used, strict=True)]
        process.check()
        # One of them may just be on its way to another agent.
        if told(process, log).armed < KEPT * armed:
            raise StartError(f"watches ended meanwhile:\n{process.tail()}")
        consul_mb = sum(rss_mb(one.pid) for one in cluster.servers)
    finally:
        process.stop()
    ten = [sum(ticks[n : n + 10]) / (10 * STEP_S) for n in range(max(1, len(ticks) - 9))]
    return Idle(
        name=way.name,
        version=bench.versions[OURS.name],
        command=process.command,
        seconds=seconds,
        watches=armed,
        share=spent[0] / seconds,
        busiest=max(ten),
        wakes=woken / seconds,
        leader_share=spent[1] / seconds,
        others_share=spent[2] / seconds,
        few=few,
        few_mb=few_mb,
        mb=mb,
        consul_mb=consul_mb,
        other_load=max(0.0, (machine - sum(spent)) / seconds),
    )


def _used(process: Process, leader: int, others: Sequence[int]) -> list[float]:
    """CPU of the server, of Consul's leader and of its other servers so far, in s."""
    return [sum(map(cpu_ns, pids)) / 1e9 for pids in ([process.pid], [leader], others)]
