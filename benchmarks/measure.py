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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.asking import Load, dnsperf, first_answer
from benchmarks.peers import ADDRESS, Peer, Site
from benchmarks.process import (
    Process,
    cpu_ns,
    free_port,
    machine_cpu_s,
    received_datagrams,
    wakeups,
)
from benchmarks.samples import Result, Sample
from benchmarks.telling import Told, told
from benchmarks.upstream import Upstream
from consulfwd.errors import StartError

Say = Callable[[str], None]


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
class Running:
    """A server that answers, with what asks it."""

    bench: Bench
    peer: Peer
    process: Process
    port: int
    log: Path | None

    def told(self) -> Told | None:
        """Its counters, None of one that does not tell."""
        return None if self.log is None else told(self.process, self.log)

    def result(self, load_command: Sequence[str]) -> Result:
        """Room for what will be found of it."""
        version = self.bench.versions[self.peer.name]
        command = self.process.command
        return Result(self.peer.name, version, command, load_command, self.peer.note)


def run_all(entries: Sequence[Entry], load: Load, rounds: int) -> list[Result]:
    """As `run`, for servers whose agents are not the same."""
    datafile = load.write(entries[0].bench.directory / "queries")
    with started(entries, load) as servers:
        results = [one.result(load.command(datafile, one.port)) for one in servers]
        for number in range(rounds):
            entries[0].bench.say(f"round {number + 1} of {rounds}")
            for result, one in zip(results, servers, strict=True):
                dnsperf(load.command(datafile, one.port, "-n", str(load.passes)))
                result.samples.append(measured(one, result.load_command))
        return results


@contextlib.contextmanager
def started(entries: Sequence[Entry], load: Load) -> Iterator[list[Running]]:
    """All servers, each of which answers, and is ready; ended afterwards."""
    with contextlib.ExitStack() as stack:
        running: list[Running] = []
        for entry in entries:
            bench, peer = entry.bench, entry.peer
            site = bench.site(peer)
            process = bench.start(peer, site)
            stack.callback(process.stop)
            first_answer(process, site.port, load.names[0])
            log = site.directory / "log" if entry.tells else None
            running.append(Running(bench, peer, process, site.port, log))
            if entry.ready is not None:
                entry.ready(process, site)
        yield running


def measured(
    one: Running, load_command: Sequence[str], idle_share: float | None = None
) -> Sample:
    """One slice of load; `idle_share` is what the agents use when nobody asks, if known better."""
    upstream, process = one.bench.upstream, one.process
    if idle_share is None:
        idle_share = upstream.idle_share
    process.check()
    said = one.told()
    asked, upstream_cpu = upstream.queries(), upstream.cpu_ns()
    machine, children = machine_cpu_s(), children_cpu_s()
    datagrams = received_datagrams()
    wakes = wakeups(process.pid)
    began, cpu = time.monotonic(), cpu_ns(process.pid)
    report = dnsperf(load_command)
    cpu = cpu_ns(process.pid) - cpu
    seconds = time.monotonic() - began
    wakes = wakeups(process.pid) - wakes
    datagrams = received_datagrams() - datagrams
    machine, children = machine_cpu_s() - machine, children_cpu_s() - children
    upstream_cpu = upstream.cpu_ns() - upstream_cpu
    other = machine - children - (cpu + upstream_cpu) / 1e9
    upstream_cpu -= int(idle_share * seconds * 1e9)
    process.check()
    answers = report.answers
    if answers == 0:
        raise StartError(f"{one.peer.name} answered nothing:\n{process.tail()}")
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
        wakes=wakes / answers,
        armed=None if more is None else more.armed,
    )


def children_cpu_s() -> float:
    """CPU time of dnsperf, and of whatever else was started here and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
