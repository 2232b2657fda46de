"""Each benchmark run on its agents and its servers, and told: as text and for machines.

What belongs here: the order of things, and the line above a table. What does not: measuring
(`measure`, `steady`, ...), columns (`report`, `steady_tables`, `tables`), agents (`suite`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import (
    calls,
    failover,
    fresh,
    idle,
    measure,
    memory,
    report,
    sizes,
    staleness,
    startup,
    steady,
    steady_tables,
    tables,
)
from benchmarks.asking import Load
from benchmarks.choice import KINDS, PEER_ROUNDS, Step, chosen_cases, chosen_rates
from benchmarks.peers import FLOOR, OURS, Peer
from benchmarks.samples import Result
from benchmarks.upstream import Upstream
from consulfwd.dev.real import RealCluster


@dataclass(frozen=True)
class Outcome:
    """One table and what it was made of."""

    text: str
    as_json: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What one benchmark is run with. `lasting` starts agents whose answers have a TTL."""

    step: Step
    bench: measure.Bench
    load: Load
    rounds: int
    ttl: int
    options: argparse.Namespace
    lasting: Callable[..., AbstractContextManager[Upstream]]

    @property
    def title(self) -> str:
        """What is measured, in words."""
        return KINDS[self.step.name].title

    @property
    def cluster(self) -> RealCluster:
        """The real Consul behind the servers: for those that have it only."""
        assert self.bench.upstream.cluster is not None
        return self.bench.upstream.cluster

    def outcome(self, head: str, table: str, commands: str, servers: Any, **more: Any) -> Outcome:
        """The whole of it."""
        text = f"{self.title}: {head}\n\n{table}\n\n{commands}\n"
        settings = {"ttl": self.ttl, "rounds": self.rounds, "upstream": self.bench.upstream.title}
        settings |= {**_settings(self.load), **more}
        return Outcome(
            text, {"benchmark": self.step.name, "settings": settings, "servers": servers}
        )

    def loaded(self, table: str, results: Sequence[Result]) -> Outcome:
        """Of servers that were loaded in turn."""
        title = self.bench.upstream.title
        head = f"3 A records, {title}; {_words(self.load)}; {self.rounds} rounds"
        return self.outcome(head, table, report.commands(results), _json(results))


def _answers(job: Job) -> Outcome:
    results = measure.run(job.bench, job.load, job.rounds)
    return job.loaded(report.loaded(results, misses=not job.ttl), results)


def _fresh(job: Job) -> Outcome:
    with job.lasting(job.bench.directory / "lasting") as lasting:
        results = fresh.run(job.bench, job.load, job.rounds, lasting)
    return job.loaded(report.fresh(results), results)


def _startup(job: Job) -> Outcome:
    found = startup.run(job.bench, job.load, job.rounds)
    head = f"{job.rounds} starts, then {job.load.seconds} s of load; {job.bench.upstream.title}"
    return job.outcome(head, report.weighed(found), report.commands(found), _json(found))


def _idle(job: Job) -> Outcome:
    found = idle.run(job.bench, job.cluster, job.load, job.rounds)
    head = f"{job.bench.upstream.title}; {job.load.seconds} s each, {job.rounds} rounds"
    return job.outcome(head, report.idle(found), report.commands(found), _json(found))


def _failover(job: Job) -> Outcome:
    """One table for each case, on one cluster."""
    given = job.options.rounds

    def rounds(peer: Peer) -> int:
        return int(given or (job.rounds if peer in (OURS, FLOOR) else PEER_ROUNDS))

    run = failover.Failover(job.bench, job.cluster, rounds)
    texts: list[str] = []
    servers: dict[str, list[dict[str, object]]] = {}
    seen: dict[str, failover.Endured] = {}
    for case in chosen_cases(job.options.cases, job.options.harm):
        endured = getattr(run, case)()
        if not endured:
            continue
        texts.append(report.endured(case, endured))
        servers[case] = [one.as_json() for one in endured]
        seen |= {one.name: one for one in endured}
    title = job.bench.upstream.title
    head = f"{job.title}: {title}; {failover.RATE} queries/s"
    text = "\n\n".join([head, *texts, report.started(seen.values())])
    settings = {"upstream": title, "rate": failover.RATE}
    return Outcome(text, {"benchmark": "failover", "settings": settings, "servers": servers})


def _staleness(job: Job) -> Outcome:
    rows = staleness.run(job.bench, job.cluster, job.rounds)
    title = job.bench.upstream.title
    rate = f"{staleness.RATE} queries/s of one name"
    head = f"{job.title}: {job.rounds} changes each; {title}; {rate}"
    text = f"{head}\n\n{report.staleness(rows)}\n\n{report.started(rows)}"
    settings = {"upstream": title, "rate": staleness.RATE, "changes": job.rounds}
    return Outcome(text, {"benchmark": "staleness", "settings": settings, "servers": _json(rows)})


def _steady(job: Job) -> Outcome:
    """One table for each rate."""
    counter = calls.counter()
    options = job.options
    rates = chosen_rates(options.rates, options.rate, job.ttl)
    rounds, seconds = options.rounds, options.seconds
    found = [*steady.run(job.bench, job.load, rates, rounds, seconds, counter)]
    texts = [steady_tables.steady(one, misses=not job.ttl) for one in found]
    title = job.bench.upstream.title
    load = f"{len(job.load.names)} names, {job.load.clients} clients"
    head = f"3 A records, {title}; {load}"
    last = report.commands(found[-1].results)
    servers = [one.as_json() for one in found]
    more = {"rates": rates, "calls": counter}
    return job.outcome(head, "\n\n".join(texts), last, servers, **more)


def _sizes(job: Job) -> Outcome:
    with job.lasting(job.bench.directory / "lasting", sizes.RECORDS) as lasting:
        found = sizes.run(job.bench, job.load, job.rounds, lasting)
    head = f"light agents, {_words(job.load)}; {job.rounds} rounds"
    every = [result for one in found for result in one.results]
    servers = [one.as_json() for one in found]
    return job.outcome(head, tables.sizes(found), report.commands(every), servers)


def _memory(job: Job) -> Outcome:
    load = replace(job.load, rate=job.load.rate or memory.RATE)
    found = memory.run(job.bench, load)
    head = f"{job.bench.upstream.title}; {_words(load)} each"
    return job.outcome(head, tables.memory(found), report.commands(found), _json(found))


RUNS: Mapping[str, Callable[[Job], Outcome]] = {
    "cached": _answers,
    "miss": _answers,
    "startup": _startup,
    "failover": _failover,
    "fresh": _fresh,
    "staleness": _staleness,
    "idle": _idle,
    "steady": _steady,
    "sizes": _sizes,
    "memory": _memory,
}


def _json(results: Sequence[Any]) -> list[dict[str, object]]:
    return [one.as_json() for one in results]


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
