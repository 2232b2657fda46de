"""What each benchmark consists of: its load, its agents, its servers, its cores.

What belongs here: what is found on the machine, and agents for a benchmark. What does not: what
is chosen (`choice`), the benchmarks (`runs`), options and printing (`__main__`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import idle, memory, veth
from benchmarks.asking import Load
from benchmarks.choice import (
    CACHED_TTL,
    KINDS,
    UNBOUND,
    Step,
    chosen,
    chosen_cases,
    chosen_rates,
    cores,
    takes_part,
    ttl_of,
)
from benchmarks.measure import Bench
from benchmarks.peers import FLOOR, OURS, consulfwd_version
from benchmarks.process import busy_share
from benchmarks.runs import RUNS, Job, Outcome
from benchmarks.sizes import RECORDS
from benchmarks.tools import require
from benchmarks.upstream import INSTANCES, Upstream, consul_binary, real, service_names, stub
from consulfwd.net.fastlane import fast


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
        self.peers = chosen(options.peers, options.beside)
        programs = [peer.program for peer in self.peers if peer.program]
        require(programs, "leave it out with --peers")
        chosen_cases(options.cases, options.harm)
        chosen_rates(options.rates, options.rate, CACHED_TTL)
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
            # Of this Python's consulfwd: a checkout has none until it is built there.
            "fast_lane": "compiled" if fast is not None else "Python alone",
            "server_core": self.core,
            "load_core": self.load_core,
            "busy_cores_before": round(self.busy, 2),
        }

    def run(self, step: Step) -> Outcome:
        """Start the agents, measure every server with them, end them."""
        kind, options = KINDS[step.name], self.options
        ttl = ttl_of(step, options.ttl)
        load = Load(
            names=service_names(self._names(step)),
            seconds=options.seconds or kind.seconds,
            clients=options.clients,
            outstanding=options.outstanding or kind.outstanding,
            rate=options.rate,
            edns=options.edns or step.name == "sizes",
            core=self.load_core,
        )
        # What is started inherits this. Servers under test are put on their own core, but where
        # nobody's CPU per answer is measured, nobody is to wait for a core.
        alone = step.name not in UNBOUND
        os.sched_setaffinity(0, self._allowed - {self.core} if alone else self._allowed)
        directory = self.directory / f"{step.name}-{step.upstream}"
        directory.mkdir(exist_ok=True)
        with self._upstream(step, directory / "agents", ttl) as upstream:
            bench = Bench(
                peers=takes_part(self.peers, step, ttl),
                upstream=upstream,
                directory=directory,
                programs=self.programs,
                consulfwd=options.consulfwd,
                versions=self.versions,
                core=self.core if alone else None,
                say=_saying(step),
            )
            job = Job(step, bench, load, options.rounds or kind.rounds, ttl, options, self._lasting)
            return RUNS[step.name](job)

    def _names(self, step: Step) -> int:
        least = {"idle": idle.WATCHES, "memory": memory.WATCHES}.get(step.name, 0)
        return max(least, int(self.options.names))

    def _lasting(
        self, directory: Path, records: Sequence[int] = (INSTANCES,)
    ) -> contextlib.AbstractContextManager[Upstream]:
        """Agents whose answers have a TTL, beside those without."""
        names = self.options.names
        core, ttl = self.load_core, CACHED_TTL
        return stub(directory, self.programs, core, names=names, ttl=ttl, records=records)

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
            stub(
                directory,
                self.programs,
                core,
                names=names,
                ttl=ttl,
                there=there,
                records=RECORDS if step.name == "sizes" else (INSTANCES,),
            ) as agents,
        ):
            yield agents


def _saying(step: Step) -> Callable[[str], None]:
    return lambda text: print(f"{step.name}, {step.upstream}: {text}", file=sys.stderr, flush=True)
