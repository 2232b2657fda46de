"""What each benchmark consists of: its load, its agents, its servers, its cores.

What belongs here: defaults, the choice of servers and cores, the order of things. What does not:
options and printing (`__main__`), measuring (`measure`, `startup`), formatting (`report`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import failover, fresh, idle, measure, report, staleness, startup
from benchmarks.asking import Load
from benchmarks.peers import ALIASES, FLOOR, OURS, PEERS, UNWATCHED, Peer, consulfwd_version
from benchmarks.process import busy_share
from benchmarks.tools import require
from benchmarks.upstream import Upstream, consul_binary, real, service_names, stub
from consulfwd.errors import StartError, UsageError

CACHED_TTL = 60
# Rounds of `failover` for those it is not about.
PEER_ROUNDS = 1
HARMS = {"freeze": ("freeze",), "kill": ("kill",), "both": failover.TURNS}
CASES = ("turns", "cold", "dark")


@dataclass(frozen=True)
class Kind:
    """Defaults of one benchmark; `rounds` are starts for `startup`."""

    title: str
    seconds: int
    rounds: int
    outstanding: int
    ttl: int
    upstreams: tuple[str, ...]


KINDS = {
    "cached": Kind("cached A answers", 1, 14, 100, CACHED_TTL, ("stub",)),
    "miss": Kind("forwarded misses", 1, 10, 20, 0, ("stub", "real")),
    "startup": Kind("start and weight", 10, 5, 100, CACHED_TTL, ("stub",)),
    "failover": Kind("failing agents", 0, 5, 0, 0, ("real",)),
    "fresh": Kind("watched answers of TTL 0", 1, 10, 20, 0, ("real",)),
    "staleness": Kind("changes under load", 0, 12, 0, 0, ("real",)),
    "idle": Kind("watches while nobody asks", 66, 1, 20, 0, ("real",)),
}
# Light agents do not fail as Consul does, and serve no HTTP.
REAL_ONLY = ("failover", "fresh", "staleness", "idle")
# Where nothing is bound to a core, because it is times that count, or idleness.
UNBOUND = ("failover", "staleness", "idle")


@dataclass(frozen=True)
class Step:
    """One table: a benchmark against one sort of agents, "stub" or "real"."""

    name: str
    upstream: str


@dataclass(frozen=True)
class Outcome:
    """One table and what it was made of."""

    text: str
    as_json: dict[str, Any]


def plan(what: str, upstream: str | None) -> list[Step]:
    """The tables to make for one of KINDS or "all"; `upstream` "stub", "real", "both" or None.

    Raises UsageError when nothing is left to do: some can be done with real Consul only.
    """
    asked = {None: None, "both": ("stub", "real")}.get(upstream, (str(upstream),))
    names = list(KINDS) if what == "all" else [what]
    steps = [Step(name, kind) for name in names for kind in asked or KINDS[name].upstreams]
    steps = [step for step in steps if step.name not in REAL_ONLY or step.upstream == "real"]
    if not steps:
        raise UsageError(f"{what} needs real Consul: --upstream real, or leave it out")
    return steps


def chosen_cases(cases: str, harm: str) -> list[str]:
    """The methods of Failover to run; UsageError for a case that is not known."""
    names = [name for name in cases.replace(" ", "").split(",") if name]
    unknown = [name for name in names if name not in CASES]
    if unknown or not names:
        raise UsageError(
            f"--cases: {', '.join(unknown) or 'none'} is not one of {', '.join(CASES)}"
        )
    wanted = [name for name in CASES if name in names]
    return [one for name in wanted for one in (HARMS[harm] if name == "turns" else (name,))]


def chosen(text: str) -> list[Peer]:
    """The servers named; UsageError for one that is not known."""
    names = [ALIASES.get(name, name) for name in text.replace(" ", "").split(",") if name]
    unknown = [name for name in names if name not in PEERS]
    if unknown or not names:
        raise UsageError(
            f"--peers: {', '.join(unknown) or 'nobody'} is not one of {', '.join(PEERS)}"
        )
    return [PEERS[name] for name in dict.fromkeys(names)]


def cores(server: int | None, load: int | None) -> tuple[int, int]:
    """The server's core and the load's; StartError when there are not two."""
    allowed = sorted(os.sched_getaffinity(0))
    server = allowed[0] if server is None else server
    others = [core for core in allowed if core != server]
    load = load if load is not None or not others else others[0]
    if server not in allowed or load not in others:
        raise StartError(f"two different cores are needed; this process may use {allowed}")
    return server, load


@contextlib.contextmanager
def work_directory(kept: Path | None) -> Iterator[Path]:
    """`kept`, or a folder that is gone afterwards."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    # Servers may still be writing into it when they are told to end.
    with tempfile.TemporaryDirectory(prefix="consulfwd-bench-", ignore_cleanup_errors=True) as made:
        yield Path(made)


class Suite:
    """One invocation: the options with what was found on this machine.

    Raises UsageError or StartError at once when a server, program, core or Consul that the
    steps need is missing.
    """

    def __init__(self, options: argparse.Namespace, directory: Path, steps: Sequence[Step]) -> None:
        self.options = options
        self.directory = directory
        self.peers = chosen(options.peers)
        programs = [peer.program for peer in self.peers if peer.program]
        require(programs, "leave it out with --peers")
        self.cases = chosen_cases(options.cases, options.harm)
        loaded = any(step.name not in ("failover", "staleness") for step in steps)
        require(["taskset", "dnsperf", "cc"] if loaded else [])
        if FLOOR in self.peers:
            require(["cc"])
        if any(step.upstream == "real" for step in steps):
            consul_binary(options.consul)
        self.core, self.load_core = cores(options.server_core, options.load_core)
        self._allowed = os.sched_getaffinity(0)
        self.versions = {peer.name: peer.version() for peer in self.peers if peer is not OURS}
        if OURS in self.peers:
            self.versions[OURS.name] = consulfwd_version(options.consulfwd)
        self.busy = busy_share(1.0)
        self.programs = directory / "programs"
        self.programs.mkdir(exist_ok=True)

    def machine(self) -> dict[str, Any]:
        """What the figures depend on."""
        models = [
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        return {
            "cpu": models[0] if models else platform.machine(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "server_core": self.core,
            "load_core": self.load_core,
            "busy_cores_before": round(self.busy, 2),
        }

    def run(self, step: Step) -> Outcome:
        """Start the agents, measure every server with them, end them."""
        kind, options = KINDS[step.name], self.options
        rounds = options.rounds or kind.rounds
        ttl = kind.ttl if options.ttl is None else options.ttl
        load = Load(
            names=service_names(self._names(step)),
            seconds=options.seconds or kind.seconds,
            clients=options.clients,
            outstanding=options.outstanding or kind.outstanding,
            rate=options.rate,
            edns=options.edns,
            core=self.load_core,
        )
        # What is started inherits this. Servers under test are put on their own core, but where
        # nobody's CPU per answer is measured, nobody is to wait for a core.
        alone = step.name not in UNBOUND
        os.sched_setaffinity(0, self._allowed - {self.core} if alone else self._allowed)
        directory = self.directory / f"{step.name}-{step.upstream}"
        directory.mkdir(exist_ok=True)
        # The floor asks nobody, so there is nothing of it to compare a miss with; where agents
        # fail it shows what the machine does to a server.
        keeps_floor = ttl or step.name == "failover"
        peers = [peer for peer in self.peers if keeps_floor or peer is not FLOOR]
        if step.name == "miss":
            peers = [UNWATCHED if peer is OURS else peer for peer in peers]
        body: Sequence[measure.Result] | Sequence[startup.Weight] | Sequence[idle.Idle]
        with self._upstream(step, directory / "agents", ttl) as upstream:
            bench = measure.Bench(
                peers=peers,
                upstream=upstream,
                directory=directory,
                programs=self.programs,
                consulfwd=options.consulfwd,
                versions=self.versions,
                core=self.core if alone else None,
                say=_saying(step),
            )
            if step.name == "failover":
                return self._failover(kind, bench)
            if step.name == "staleness":
                return self._staleness(kind, bench, rounds)
            if step.name == "idle":
                assert upstream.cluster is not None
                body = idles = idle.run(bench, upstream.cluster, load, rounds)
                table = report.idle(idles)
                head = f"{upstream.title}; {load.seconds} s each, {rounds} rounds"
            elif step.name == "fresh":
                with self._lasting(directory / "lasting") as lasting:
                    body = results = fresh.run(bench, load, rounds, lasting)
                table = report.fresh(results)
                head = f"3 A records, {upstream.title}; {_words(load)}; {rounds} rounds"
            elif step.name == "startup":
                body = weights = startup.run(bench, load, rounds)
                table = report.weighed(weights)
                head = f"{rounds} starts, then {load.seconds} s of load; {upstream.title}"
            else:
                body = results = measure.run(bench, load, rounds)
                table = report.loaded(results, misses=not ttl)
                head = f"3 A records, {upstream.title}; {_words(load)}; {rounds} rounds"
        text = f"{kind.title}: {head}\n\n{table}\n\n{report.commands(body)}\n"
        settings = {"ttl": ttl, "rounds": rounds, "upstream": upstream.title, **_settings(load)}
        servers = [one.as_json() for one in body]
        return Outcome(text, {"benchmark": step.name, "settings": settings, "servers": servers})

    def _failover(self, kind: Kind, bench: measure.Bench) -> Outcome:
        """One table for each case, on one cluster."""
        given = self.options.rounds

        def rounds(peer: Peer) -> int:
            return int(given or (kind.rounds if peer in (OURS, FLOOR) else PEER_ROUNDS))

        assert bench.upstream.cluster is not None
        run = failover.Failover(bench, bench.upstream.cluster, rounds)
        texts: list[str] = []
        servers: dict[str, list[dict[str, object]]] = {}
        seen: dict[str, failover.Endured] = {}
        for case in self.cases:
            endured = getattr(run, case)()
            if not endured:
                continue
            texts.append(report.endured(case, endured))
            servers[case] = [one.as_json() for one in endured]
            seen |= {one.name: one for one in endured}
        head = f"{kind.title}: {bench.upstream.title}; {failover.RATE} queries/s"
        text = "\n\n".join([head, *texts, report.started(seen.values())])
        settings = {"upstream": bench.upstream.title, "rate": failover.RATE}
        return Outcome(text, {"benchmark": "failover", "settings": settings, "servers": servers})

    def _staleness(self, kind: Kind, bench: measure.Bench, changes: int) -> Outcome:
        assert bench.upstream.cluster is not None
        rows = staleness.run(bench, bench.upstream.cluster, changes)
        title = bench.upstream.title
        rate = f"{staleness.RATE} queries/s of one name"
        head = f"{kind.title}: {changes} changes each; {title}; {rate}"
        text = f"{head}\n\n{report.staleness(rows)}\n\n{report.started(rows)}"
        settings = {"upstream": title, "rate": staleness.RATE, "changes": changes}
        servers = [one.as_json() for one in rows]
        return Outcome(text, {"benchmark": "staleness", "settings": settings, "servers": servers})

    def _names(self, step: Step) -> int:
        least = idle.WATCHES if step.name == "idle" else 0
        return max(least, int(self.options.names))

    def _lasting(self, directory: Path) -> contextlib.AbstractContextManager[Upstream]:
        """Agents whose answers have a TTL, beside the real ones: for our own cached figure."""
        names = self.options.names
        return stub(directory, self.programs, self.load_core, names=names, ttl=CACHED_TTL)

    def _upstream(
        self, step: Step, directory: Path, ttl: int
    ) -> contextlib.AbstractContextManager[Upstream]:
        names = self._names(step)
        if step.upstream == "real":
            return real(directory, self.options.consul, names=names, ttl=ttl)
        spare = sorted(os.sched_getaffinity(0) - {self.load_core})
        core = spare[0] if spare else self.load_core
        return stub(directory, self.programs, core, names=names, ttl=ttl)


def _settings(load: Load) -> dict[str, Any]:
    return {
        "names": len(load.names),
        "seconds": load.seconds,
        "clients": load.clients,
        "outstanding": load.outstanding,
        "rate": load.rate,
        "edns": load.edns,
    }


def _words(load: Load) -> str:
    speed = "no rate limit" if load.rate is None else f"{load.rate} queries/s"
    return (
        f"{len(load.names)} names, {load.clients} clients, {load.outstanding} outstanding,"
        f" {speed}, {load.seconds} s"
    )


def _saying(step: Step) -> Callable[[str], None]:
    return lambda text: print(f"{step.name}, {step.upstream}: {text}", file=sys.stderr, flush=True)
