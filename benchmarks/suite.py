"""What each benchmark consists of: its load, its agents, its servers, its cores.

What belongs here: the order of things. What does not: what is chosen (`choice`), options and
printing (`__main__`), measuring (`measure`, `startup`), formatting (`report`).
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

from benchmarks import failover, fresh, idle, measure, report, staleness, startup, veth
from benchmarks.asking import Load
from benchmarks.choice import (
    CACHED_TTL,
    KINDS,
    PEER_ROUNDS,
    UNBOUND,
    Kind,
    Step,
    chosen,
    chosen_cases,
    cores,
)
from benchmarks.peers import FLOOR, OURS, UNWATCHED, Peer, consulfwd_version
from benchmarks.process import busy_share
from benchmarks.tools import require
from benchmarks.upstream import Upstream, consul_binary, real, service_names, stub


@dataclass(frozen=True)
class Outcome:
    """One table and what it was made of."""

    text: str
    as_json: dict[str, Any]


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
        require(["ip"] if options.veth else [])
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

    @contextlib.contextmanager
    def _upstream(self, step: Step, directory: Path, ttl: int) -> Iterator[Upstream]:
        names = self._names(step)
        if step.upstream == "real":
            with real(directory, self.options.consul, names=names, ttl=ttl) as cluster:
                yield cluster
            return
        spare = sorted(os.sched_getaffinity(0) - {self.load_core})
        core = spare[0] if spare else self.load_core
        apart = veth.apart() if self.options.veth else contextlib.nullcontext(veth.here)
        with (
            apart as there,
            stub(directory, self.programs, core, names=names, ttl=ttl, there=there) as agents,
        ):
            yield agents


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
