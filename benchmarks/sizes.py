"""What an answer costs by its size: from the cache, passed on, and large ones over TCP.

What belongs here: who is asked what, in which turns. What does not: measuring (`measure`),
printing (`tables`).

From the cache, but not ready as bytes: each name is asked in ever new spellings, as by clients that
vary its case to be safe from forgery, so that no datagram comes twice. `hot` tells whether any was
answered without being looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.asking import Load, dnsperf
from benchmarks.measure import Bench, Entry, Running, measured, started
from benchmarks.peers import FLOOR, unwatched
from benchmarks.samples import Result
from benchmarks.upstream import Upstream

# Records of an answer over UDP, and over TCP; names have these in turn.
UDP_RECORDS, TCP_RECORDS = (3, 5, 10, 30), 500
RECORDS = (*UDP_RECORDS, TCP_RECORDS)
CACHED, PASSED_ON, TCP = "cached, each time in another spelling", "passed on", "cached, over TCP"
# So many different queries of one size in each slice: more than are answered in it.
QUERIES = 200_000
# What comes before a slice: each name so often, as it is.
PASSES = 20


@dataclass(frozen=True)
class Sized:
    """All servers with answers of one size, asked for in one way."""

    way: str
    records: int
    results: list[Result]

    def as_json(self) -> dict[str, object]:
        """Everything."""
        servers = [one.as_json() for one in self.results]
        return {"way": self.way, "records": self.records, "servers": servers}


@dataclass(frozen=True)
class _Way:
    """One size asked for in one way, of servers that keep answers or of those that pass on."""

    way: str
    load: Load
    names: Path
    queries: Path
    sized: Sized
    servers: Sequence[Running]

    def round(self, number: int) -> None:
        """One slice for each server."""
        load = self.load
        if load.spellings > 1:
            replace(load, first_spelling=1 + number * load.spellings).write(self.queries)
        for result, one in zip(self.sized.results, self.servers, strict=True):
            dnsperf(load.command(self.names, one.port, "-n", str(PASSES)))
            result.samples.append(measured(one, result.load_command))


def names_of(names: Sequence[str], records: int) -> list[str]:
    """Those names that have so many records."""
    return list(names[RECORDS.index(records) :: len(RECORDS)])


def run(bench: Bench, load: Load, rounds: int, lasting: Upstream) -> list[Sized]:
    """Each server with each size in each way, `rounds` slices in turn.

    The agents of `bench` have a TTL of 0, those of `lasting` one that lets their answers be kept.
    """
    peers = [peer for peer in bench.peers if peer is not FLOOR]
    keeping = replace(bench, upstream=lasting, directory=bench.directory / "keeping")
    kept = [Entry(keeping, peer, tells=peer.own) for peer in peers]
    passing = [unwatched(peer) if peer.own else peer for peer in peers]
    passed = [Entry(bench, peer, tells=peer.own) for peer in passing]
    with started(kept, load) as keepers, started(passed, load) as passers:
        ways = []
        for records in UDP_RECORDS:
            spellings = QUERIES // len(names_of(load.names, records))
            ways += [_way(bench, CACHED, replace(load, spellings=spellings), records, keepers)]
        ways += [_way(bench, PASSED_ON, load, records, passers) for records in UDP_RECORDS]
        ways += [_way(bench, TCP, replace(load, tcp=True), TCP_RECORDS, keepers)]
        for number in range(rounds):
            bench.say(f"round {number + 1} of {rounds}")
            for one in ways:
                one.round(number)
    return [one.sized for one in ways]


def _way(bench: Bench, way: str, load: Load, records: int, servers: Sequence[Running]) -> _Way:
    load = replace(load, names=names_of(load.names, records))
    names = replace(load, spellings=1).write(bench.directory / f"names-{records}")
    queries = bench.directory / f"queries-{records}" if load.spellings > 1 else names
    results = [one.result(load.command(queries, one.port)) for one in servers]
    return _Way(way, load, names, queries, Sized(way, records, results), servers)
