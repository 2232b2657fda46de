"""Servers under load: dnsperf on one core, the server on another, CPU per answer.

What belongs here: starting the servers of one benchmark, the rounds, and what one slice of load
yields. What does not: the load (`asking`), printing (`report`), configurations (`peers`).

All servers run at the same time and are loaded in turn, A B C A B C: when the machine grows
slower or faster during the run, it does so for all alike.
"""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

from benchmarks.asking import Load, dnsperf, first_answer
from benchmarks.peers import ADDRESS, Peer, Site
from benchmarks.process import Process, cpu_ns, free_port, machine_cpu_s, received_datagrams
from benchmarks.telling import Told, told
from benchmarks.upstream import Upstream
from consulfwd.errors import StartError

# Cores that others may use during a slice before it counts as disturbed.
QUIET = 0.1
# A figure from fewer undisturbed slices than this is luck: seen off by a third from one.
FEWEST = 4
Say = Callable[[str], None]
T = TypeVar("T")


def enough(quiet: Sequence[T], everything: Sequence[T]) -> Sequence[T]:
    """`quiet` when that is all there is or at least FEWEST, else `everything`."""
    return quiet if len(quiet) >= min(FEWEST, len(everything)) else everything


@dataclass(frozen=True)
class Sample:
    """One slice. CPU in us per answer, latencies in ms, `reply_bytes` the mean DNS message.

    `core_share` is how busy the server kept its core; `other_load` is what took part in no
    measurement, in cores (1.0 = one). `errors` are answers other than NOERROR. `hot_share` is the
    share of the queries answered from the hot tables, where the server tells.
    """

    answers: int
    cpu_us: float
    rate: float
    latency_ms: float
    slowest_ms: float
    lost: int
    errors: int
    reply_bytes: int
    core_share: float
    other_load: float
    upstream_cpu_us: float | None = None
    upstream_queries: float | None = None
    hot_share: float | None = None

    @property
    def whole_us(self) -> float:
        """CPU per answer with the agents', in us."""
        return self.cpu_us + (self.upstream_cpu_us or 0.0)

    @property
    def quiet(self) -> bool:
        """Whether others left the machine alone meanwhile."""
        return self.other_load <= QUIET


@dataclass
class Result:
    """All slices of one server, with what repeats it."""

    name: str
    version: str
    command: Sequence[str]
    load_command: Sequence[str]
    note: str = ""
    samples: list[Sample] = field(default_factory=list)

    @property
    def quiet(self) -> list[Sample]:
        """The slices that nothing else on the machine disturbed."""
        return [sample for sample in self.samples if sample.quiet]

    def ratios(self, other: Result, column: str = "cpu_us") -> list[float]:
        """Our CPU per answer divided by the other's, round by round.

        Slices of one round lie seconds apart, so this moves less than the figures themselves.
        `column` "whole_us" counts the agents' CPU too.
        """
        pairs = list(zip(self.samples, other.samples, strict=True))
        quiet = [(ours, its) for ours, its in pairs if ours.quiet and its.quiet]
        used = enough(quiet, pairs)
        return [getattr(ours, column) / getattr(its, column) for ours, its in used]

    def used(self) -> Sequence[Sample]:
        """The slices that make the figures: the quiet ones, or all when those are too few."""
        return enough(self.quiet, self.samples)

    def of(self, column: str) -> list[float]:
        """The values of one field in the slices used, where it was counted."""
        values = [getattr(sample, column) for sample in self.used()]
        return [value for value in values if value is not None]

    def middle(self, column: str) -> float | None:
        """Median of `of`, None when it was not counted."""
        values = self.of(column)
        return median(values) if values else None

    def as_json(self) -> dict[str, object]:
        """Everything, with the medians beside the samples."""
        columns = [column for column in Sample.__dataclass_fields__ if self.of(column)]
        medians = {column: self.middle(column) for column in columns}
        return {**asdict(self), "quiet": len(self.quiet), "median": medians}


@dataclass(frozen=True)
class Bench:
    """What one benchmark needs to start servers."""

    peers: Sequence[Peer]
    upstream: Upstream
    directory: Path
    programs: Path
    consulfwd: Sequence[str]
    versions: dict[str, str]
    core: int | None
    say: Say

    def site(self, peer: Peer) -> Site:
        """A fresh port and the server's own folder."""
        directory = self.directory / peer.name
        directory.mkdir(parents=True, exist_ok=True)
        agents = self.upstream.agents
        return Site(directory, free_port(ADDRESS), agents, self.programs, self.consulfwd)

    def start(self, peer: Peer, site: Site) -> Process:
        """The server, started on its core if it has one; it may not answer yet."""
        return Process(peer.command(site), self.core, site.directory / "log", site.directory)


def run(bench: Bench, load: Load, rounds: int) -> list[Result]:
    """Load each server for one slice, `rounds` times over; one result per server, in order."""
    return run_all([Entry(bench, peer) for peer in bench.peers], load, rounds)


@dataclass(frozen=True)
class Entry:
    """A server in the rounds, with the agents of its own `bench`.

    `ready` is called once it answers, before the first round. With `tells` it logs its counters
    on SIGUSR1, as consulfwd does.
    """

    bench: Bench
    peer: Peer
    ready: Callable[[Process, Site], None] | None = None
    tells: bool = False


@dataclass(frozen=True)
class _Running:
    upstream: Upstream
    process: Process
    port: int
    log: Path | None

    def told(self) -> Told | None:
        return None if self.log is None else told(self.process, self.log)


def run_all(entries: Sequence[Entry], load: Load, rounds: int) -> list[Result]:
    """As `run`, for servers whose agents are not the same."""
    datafile = entries[0].bench.directory / "queries"
    datafile.write_text("".join(f"{name} A\n" for name in load.names))
    with contextlib.ExitStack() as stack:
        running: list[tuple[Result, _Running]] = []
        for entry in entries:
            bench, peer = entry.bench, entry.peer
            site = bench.site(peer)
            process = bench.start(peer, site)
            stack.callback(process.stop)
            first_answer(process, site.port, load.names[0])
            command = load.command(datafile, site.port)
            version = bench.versions[peer.name]
            result = Result(peer.name, version, process.command, command, peer.note)
            log = site.directory / "log" if entry.tells else None
            running.append((result, _Running(bench.upstream, process, site.port, log)))
            if entry.ready is not None:
                entry.ready(process, site)
        for number in range(rounds):
            entries[0].bench.say(f"round {number + 1} of {rounds}")
            for result, one in running:
                dnsperf(load.command(datafile, one.port, "-n", "20"))
                result.samples.append(_slice(one, result))
        return [result for result, _ in running]


def _slice(one: _Running, result: Result) -> Sample:
    upstream, process = one.upstream, one.process
    process.check()
    said = one.told()
    asked, upstream_cpu = upstream.queries(), upstream.cpu_ns()
    machine, children = machine_cpu_s(), children_cpu_s()
    datagrams = received_datagrams()
    began, cpu = time.monotonic(), cpu_ns(process.pid)
    report = dnsperf(result.load_command)
    cpu = cpu_ns(process.pid) - cpu
    seconds = time.monotonic() - began
    datagrams = received_datagrams() - datagrams
    machine, children = machine_cpu_s() - machine, children_cpu_s() - children
    upstream_cpu = upstream.cpu_ns() - upstream_cpu
    other = machine - children - (cpu + upstream_cpu) / 1e9
    upstream_cpu -= int(upstream.idle_share * seconds * 1e9)
    process.check()
    answers = report.answers
    if answers == 0:
        raise StartError(f"{result.name} answered nothing:\n{process.tail()}")
    now, more = upstream.queries(), one.told()
    if now is not None and asked is not None:
        queries = float(now - asked)
    elif said is not None and more is not None:
        queries = float(more.upstream - said.upstream)
    else:
        # A query and its reply, each received once by the server and once by who asks it.
        queries = max(0.0, datagrams / 2 - answers)
    return Sample(
        answers=answers,
        cpu_us=cpu / 1e3 / answers,
        rate=report.rate,
        latency_ms=report.latency_ms,
        slowest_ms=report.slowest_ms,
        lost=report.lost,
        errors=answers - report.good,
        reply_bytes=report.reply_bytes,
        core_share=cpu / 1e9 / seconds,
        other_load=max(0.0, other / seconds),
        upstream_cpu_us=max(0.0, upstream_cpu / 1e3 / answers),
        upstream_queries=queries / answers,
        hot_share=None if said is None or more is None else more.hot_share(said),
    )


def children_cpu_s() -> float:
    """CPU time of dnsperf, and of whatever else was started here and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
