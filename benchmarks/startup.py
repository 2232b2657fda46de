"""How soon a server answers after it was started, and what it weighs once it has worked.

What belongs here: the repeated starts and the one long load. What does not: printing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

from benchmarks.asking import Load, dnsperf, first_answer
from benchmarks.measure import Bench
from benchmarks.process import cpu_ns, rss_mb, threads


@dataclass
class Weight:
    """One server: times to the first answer and CPU spent until then, in ms, per start.

    `resident_mb` (VmRSS with children) and `threads` are read right after the load.
    """

    name: str
    version: str
    command: Sequence[str] = ()
    load_command: Sequence[str] = ()
    first_answer_ms: list[float] = field(default_factory=list)
    start_cpu_ms: list[float] = field(default_factory=list)
    idle_mb: float = 0.0
    resident_mb: float = 0.0
    threads: int = 0

    def as_json(self) -> dict[str, object]:
        """Everything, with the medians beside the single starts."""
        medians = {
            "first_answer_ms": median(self.first_answer_ms),
            "start_cpu_ms": median(self.start_cpu_ms),
        }
        return {**asdict(self), "median": medians}


def run(bench: Bench, load: Load, starts: int) -> list[Weight]:
    """Start each server `starts` times in turn, the last time with the load on it."""
    datafile = bench.directory / "queries"
    datafile.write_text("".join(f"{name} A\n" for name in load.names))
    weights = [Weight(p.name, bench.versions[p.name]) for p in bench.peers]
    for number in range(starts):
        last = number == starts - 1
        bench.say(f"start {number + 1} of {starts}" + (", then load" if last else ""))
        for peer, weight in zip(bench.peers, weights, strict=True):
            site = bench.site(peer)
            process = bench.start(peer, site)
            try:
                weight.first_answer_ms.append(first_answer(process, site.port, load.names[0]) * 1e3)
                weight.start_cpu_ms.append(cpu_ns(process.pid) / 1e6)
                if last:
                    weight.command = process.command
                    weight.load_command = load.command(datafile, site.port)
                    weight.idle_mb = rss_mb(process.pid)
                    dnsperf(weight.load_command)
                    weight.resident_mb = rss_mb(process.pid)
                    weight.threads = threads(process.pid)
            finally:
                process.stop()
    return weights
