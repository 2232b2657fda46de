"""Agents of a real cluster fail under a steady load: what each server makes of it.

What belongs here: the three cases, what is done to the agents, and when. What does not: the
verdict on a reply (`judging`), printing (`report`). One server runs at a time, all on the same
cluster, which has to be well again before the next one starts.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from benchmarks.asking import READY_S, first_answer
from benchmarks.judging import (
    RIGHT,
    Figures,
    Judge,
    counting,
    figures,
    questions,
    said_by,
    wire,
    worst,
)
from benchmarks.measure import Bench, children_cpu_s
from benchmarks.peers import ADDRESS, FLOOR, OURS, Peer, Site, consulfwd_command
from benchmarks.process import Process, cpu_ns, machine_cpu_s
from benchmarks.upstream import Agent
from consulfwd.dev.real import RealAgent, RealCluster
from consulfwd.errors import StartError
from tests.integration.load import Load, Result
from tests.stolen import stolen_s

# How long to wait for the machine to be quiet before a round, in s, and how quiet, in cores: a
# stranger's burst is no fault of the server under test.
QUIET_S, QUIET = 30.0, 0.3
# A round of which the host of a virtual machine took more than this share of the cores' time tells
# of the host: it is told, and run again, this many times as many rounds as asked for at most.
DISTURBED, TRIES = 0.05, 3
CORES = os.cpu_count() or 1
RATE = 500
CALM_S, GONE_S, BACK_S = 1.0, 5.0, 3.0
COLD_S = 5.0
DARK_S, LIGHT_S = 10.0, 5.0
BLACK_HOLE = "127.0.0.10"
TURNS = ("freeze", "kill")

ROOT = Path(__file__).resolve().parent.parent
COUNTED = ROOT / "tests" / "integration" / "counted.py"

Phases = list[tuple[float, str]]


@dataclass
class Endured:
    """One server in one case: how it was started, and the figures of each round."""

    name: str
    version: str
    note: str = ""
    command: Sequence[str] = ()
    rounds: list[Figures] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Everything, with the worst of the rounds that count."""
        return {**asdict(self), "worst": asdict(worst(counting(self.rounds)))}


class Failover:
    """The cases, for the servers of `bench` on `cluster`. `rounds` says how many each runs."""

    def __init__(self, bench: Bench, cluster: RealCluster, rounds: Callable[[Peer], int]) -> None:
        self._bench = bench
        self._cluster = cluster
        self._rounds = rounds
        services = bench.upstream.services
        self._first = services[0]
        asked = questions(services)
        self._judge = Judge(asked, said_by(bench.upstream.agents[0], asked))
        self._floor = Judge(asked, None)
        self._queries = [wire(one) for one in asked]

    def freeze(self) -> list[Endured]:
        """Each agent in turn is stopped (SIGSTOP) for GONE_S, then goes on."""
        return self._all("freeze", lambda peer, into: self._turns(peer, into, _freeze))

    def kill(self) -> list[Endured]:
        """Each agent in turn is killed, and started again after GONE_S."""
        return self._all("kill", lambda peer, into: self._turns(peer, into, _kill))

    def cold(self) -> list[Endured]:
        """The first agent never answers, and the server has just been started."""
        return self._all("cold", self._cold)

    def dark(self) -> list[Endured]:
        """All agents stop at once for DARK_S, then go on."""
        return self._all("dark", self._dark)

    def _all(self, case: str, run: Callable[[Peer, Endured], Figures]) -> list[Endured]:
        # The floor asks nobody: it shows, in turn with the others, what the machine does.
        peers = [peer for peer in self._bench.peers if peer is not FLOOR or case in TURNS]
        found = [Endured(p.name, self._bench.versions[p.name], p.note) for p in peers]
        while wanting := [one for one in zip(peers, found, strict=True) if self._wants(*one)]:
            for peer, into in wanting:
                self._bench.say(f"{case}: {peer.name}, round {len(into.rounds) + 1}")
                self._cluster.wait_ready()
                self._quiet()
                into.rounds.append(self._round(functools.partial(run, peer, into)))
                for line in into.rounds[-1].told[:1]:
                    self._bench.say(line)
        return found

    def _wants(self, peer: Peer, into: Endured) -> bool:
        """Whether this server is to run once more."""
        rounds = self._rounds(peer)
        quiet = sum(not one.disturbed for one in into.rounds)
        return quiet < rounds and len(into.rounds) < TRIES * rounds

    def _round(self, run: Callable[[], Figures]) -> Figures:
        """Run once, and tell what the machine did besides."""
        began, machine, ours = self._busy()
        stolen = stolen_s()
        try:
            figures_now = run()
        finally:
            self._cluster.heal()
        ended, machine_now, ours_now = self._busy()
        took, stolen = ended - began, stolen_s() - stolen
        others = (machine_now - machine) - (ours_now - ours)
        return replace(
            figures_now,
            other_load=max(0.0, others / took),
            stolen_ms=stolen * 1e3,
            disturbed=stolen > DISTURBED * took * CORES,
        )

    def _turns(
        self, peer: Peer, into: Endured, harm: Callable[[RealCluster, RealAgent], None]
    ) -> Figures:
        with self._started(peer, into) as (process, site):
            first_answer(process, site.port, self._first)
            load, phases = self._load(site), [(time.monotonic(), "the start")]
            with _stopping(load) as results:
                for agent in self._cluster.servers:
                    leads = " (leader)" if agent is self._cluster.leader() else ""
                    time.sleep(CALM_S)
                    phases.append((time.monotonic(), f"the failure of {agent.name}{leads}"))
                    harm(self._cluster, agent)
                    phases.append((time.monotonic(), f"the return of {agent.name}{leads}"))
                    time.sleep(BACK_S)
            process.check()
        judge = self._floor if peer is FLOOR else self._judge
        return figures(judge, results, phases, extra=_extra(site))

    def _cold(self, peer: Peer, into: Endured) -> Figures:
        others = self._bench.upstream.agents[1:]
        with black_hole(others[0]) as hole, self._started(peer, into, [hole, *others]) as started:
            process, site = started
            load = self._load(site, held=True)
            _listening(process, site.port)
            load.go()
            with _stopping(load) as results:
                time.sleep(COLD_S)
            process.check()
        answered = [one for one in results if one.took_s is not None]
        first = min(answered, key=_answered_at, default=None)
        more = {"first_ms": None if first is None else (first.took_s or 0) * 1e3}
        phases = [(results[0].sent_at, "the first query")]
        after = [one for one in results if one is not first]
        return figures(self._judge, after, phases, extra=_extra(site), more=more)

    def _dark(self, peer: Peer, into: Endured) -> Figures:
        agents = self._cluster.servers
        with self._started(peer, into) as (process, site):
            first_answer(process, site.port, self._first)
            load, phases = self._load(site), [(time.monotonic(), "the start")]
            with _stopping(load) as results:
                time.sleep(CALM_S)
                phases.append((time.monotonic(), "the failure of all"))
                for agent in agents:
                    agent.freeze()
                time.sleep(DARK_S)
                released = time.monotonic()
                for agent in agents:
                    agent.thaw()
                phases.append((released, "the return of all"))
                time.sleep(LIGHT_S)
            process.check()
        right = [one for one in results if self._judge.verdict(one) == RIGHT]
        fresh = [at for at in map(_answered_at, right) if at > released]
        later = [one for one in results if one.sent_at > released]
        others = [one for one in later if self._judge.verdict(one) != RIGHT]
        more = {
            "fresh_ms": (min(fresh) - released) * 1e3 if fresh else None,
            "all_fresh_ms": _since(released, later, others),
        }
        asked = [one for one in results if phases[1][0] <= one.sent_at <= released]
        return figures(self._judge, asked, phases, extra=_extra(site), more=more)

    @contextlib.contextmanager
    def _started(
        self, peer: Peer, into: Endured, agents: Sequence[Agent] | None = None
    ) -> Iterator[tuple[Process, Site]]:
        site = self._bench.site(peer)
        if agents is not None:
            site = replace(site, agents=agents)
        process = self._bench.start(self._counting(peer), site)
        into.command = process.command
        try:
            yield process, site
        finally:
            process.stop()

    def _counting(self, peer: Peer) -> Peer:
        """Ours, unless it is another build, run so that it tells what it has asked."""
        if peer is not OURS or self._bench.consulfwd != consulfwd_command():
            return peer

        def command(site: Site) -> list[str]:
            with contextlib.suppress(FileNotFoundError):
                _counters(site).unlink()
            path = f"PYTHONPATH={ROOT}"
            return ["env", path, sys.executable, str(COUNTED), peer.command(site)[-1]]

        return replace(peer, command=command)

    def _load(self, site: Site, *, held: bool = False) -> Load:
        return Load((ADDRESS, site.port), RATE, self._queries, held=held)

    def _quiet(self) -> None:
        """Return when others leave the machine alone, or when it is no use to wait for that."""
        end = time.monotonic() + QUIET_S
        while time.monotonic() < end:
            began, machine, ours = self._busy()
            time.sleep(1)
            ended, machine_now, ours_now = self._busy()
            if (machine_now - machine) - (ours_now - ours) <= QUIET * (ended - began):
                return

    def _busy(self) -> tuple[float, float, float]:
        """The time now; CPU spent by the whole machine, and by what takes part, in s so far."""
        agents = sum(cpu_ns(one.pid) for one in self._cluster.servers) / 1e9
        ours = agents + children_cpu_s() + time.process_time()
        return time.monotonic(), machine_cpu_s(), ours


def _freeze(cluster: RealCluster, agent: RealAgent) -> None:
    agent.freeze()
    time.sleep(GONE_S)
    agent.thaw()
    cluster.wait_ready()


def _kill(cluster: RealCluster, agent: RealAgent) -> None:
    agent.kill()
    time.sleep(GONE_S)
    agent.start()
    cluster.wait_ready()


@contextlib.contextmanager
def _stopping(load: Load) -> Iterator[list[Result]]:
    """A list that holds every query's result when the block is over."""
    results: list[Result] = []
    try:
        yield results
    finally:
        results += load.stop()


@contextlib.contextmanager
def black_hole(like: Agent) -> Iterator[Agent]:
    """An agent whose ports are bound and where nothing is ever read or accepted."""
    with contextlib.ExitStack() as stack:
        for port in (like.port, like.http_port):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                opened = stack.enter_context(socket.socket(socket.AF_INET, kind))
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    opened.bind((BLACK_HOLE, port))
                except OSError as error:
                    raise StartError(f"cannot use {BLACK_HOLE}:{port}: {error}") from error
                if kind is socket.SOCK_STREAM:
                    opened.listen(1)
        yield Agent(BLACK_HOLE, like.port, like.http_port)


def _listening(process: Process, port: int) -> None:
    """Return when somebody has bound the UDP port; asking would be an early query."""
    wanted = f"0100007F:{port:04X}"
    while time.monotonic() < process.started + READY_S:
        process.check()
        lines = Path("/proc/net/udp").read_text().splitlines()[1:]
        if any(line.split()[1] == wanted for line in lines):
            return
        time.sleep(0.002)
    raise StartError(f"{' '.join(process.command)} does not listen:\n{process.tail()}")


def _answered_at(result: Result) -> float:
    return result.sent_at + (result.took_s or 0)


def _since(released: float, later: Sequence[Result], others: Sequence[Result]) -> float | None:
    """After how many ms a query was sure of a fresh answer; None for never."""
    if not later or (others and others[-1] is later[-1]):
        return None
    return (others[-1].sent_at - released) * 1e3 if others else 0.0


def _counters(site: Site) -> Path:
    return site.directory / "counters"


def _extra(site: Site) -> int | None:
    """Queries to agents beyond one per query passed on; None where nobody counts them."""
    lines = _counters(site).read_text().splitlines() if _counters(site).exists() else []
    if not lines:
        return None
    said = json.loads(lines[-1])
    return int(said["upstream"] - said["forwarded"])
