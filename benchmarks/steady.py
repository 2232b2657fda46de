"""What an answer costs at the rates hosts really have: far from what a server can do.

What belongs here: who takes part, in which turns, what comes before what is measured. What does
not: measuring (`measure`), counting system calls (`calls`), printing (`steady_tables`).

A host asks some hundred queries a second, one datagram to a wake-up. So the lead-in to a slice has
the rate of the slice: answers that are ready only under more load are not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks import calls
from benchmarks.asking import Load, dnsperf
from benchmarks.measure import Bench, Entry, Running, measured, started
from benchmarks.peers import KEEPS, Site
from benchmarks.process import Process
from benchmarks.samples import Result
from benchmarks.telling import told
from consulfwd.core.freshness import PROVE_FOR
from consulfwd.errors import StartError

# One slice (seconds), longer where there are few answers in a second.
SLICE_S, SLOW_S, SLOW = 1, 3, 500
# Rounds: where slices are long, and of TTL 0, where consulfwd's are; and of the others.
FEW, MANY = 3, 4
LEAD_S = 0.5
# Of TTL 0: consulfwd asks for each name anew after ten seconds, and for proofs each second. A slice
# as long as that has its share of either, on a host that runs for hours as in this one.
PERIOD_S = 10
# What Consul uses when nobody asks: at the start, and before each round.
REST_S, BREATH_S = 5, 2
WARM_RATE, WARM_S = 1000, 10.0
# After watches are armed: what was asked meanwhile has settled.
CALM_S = 2.0


@dataclass(frozen=True)
class Paced:
    """All servers at one rate. `rest_share` is what the agents used when nobody asked, in cores."""

    rate: int
    results: list[Result]
    rest_share: float | None

    def as_json(self) -> dict[str, object]:
        """Everything; `keeps_ttl_0` are those whose answers of TTL 0 are from a cache."""
        servers = [{**one.as_json(), "keeps_ttl_0": one.note == KEEPS} for one in self.results]
        return {"rate": self.rate, "rest_share": self.rest_share, "servers": servers}


def slice_s(rate: int, seconds: int | None, *, watched: bool) -> int:
    """How long a slice is; `seconds` is what was asked for, `watched` who has a PERIOD_S."""
    chosen = seconds or (SLOW_S if rate < SLOW else SLICE_S)
    return max(chosen, PERIOD_S) if watched else chosen


def rounds_of(rate: int, given: int | None, *, misses: bool) -> int:
    """How many rounds; `given` is the option. Slices of many answers are as steady when short."""
    return given or (FEW if misses or rate < SLOW else MANY)


def lead_passes(rate: int, names: int) -> int:
    """How often all names are asked before a slice, at its rate: once, and for LEAD_S, at least."""
    return max(1, math.ceil(rate * LEAD_S / names))


def run(
    bench: Bench,
    load: Load,
    rates: Sequence[int],
    rounds: int | None,
    seconds: int | None,
    by: str,
) -> Iterator[Paced]:
    """Each server at each rate, its slices in turn; then its system calls, counted `by`.

    With real Consul behind them consulfwd watches. `rounds` and `seconds` are as asked for.
    """
    watching = bench.upstream.cluster is not None
    datafile = load.write(bench.directory / "queries")
    ready = _watched(bench, load) if watching else None
    entries = [
        Entry(bench, peer, ready, tells=True) if peer.own else Entry(bench, peer)
        for peer in bench.peers
    ]
    with started(entries, load) as servers:
        rest = Rest(bench.upstream.cpu_ns) if watching else None
        # Ours first, then the floor: what Consul still does for us then is in the floor's line.
        order = sorted(range(len(servers)), key=lambda number: not servers[number].peer.own)

        def lead_in(load: Load, one: Running) -> None:
            dnsperf(load.command(datafile, one.port, "-n", str(load.passes)))

        def over(one: Running) -> None:
            if rest is not None and one.peer.own:
                rest.disturbed()

        for number in order:
            lead_in(replace(load, rate=WARM_RATE, passes=5), servers[number])
            over(servers[number])
        for rate in rates:
            at_rate = replace(load, rate=rate, passes=lead_passes(rate, len(load.names)))
            results = [_result(one, at_rate, seconds, datafile, watching) for one in servers]
            turns = rounds_of(rate, rounds, misses=watching)
            for turn in range(turns):
                bench.say(f"{rate}/s, round {turn + 1} of {turns}")
                share = rest.share() if rest is not None else None
                for number in order:
                    one, result = servers[number], results[number]
                    lead_in(at_rate, one)
                    result.samples.append(measured(one, result.load_command, share))
                    over(one)
            if by:
                bench.say(f"{rate}/s, system calls, by {by}")
                briefly = replace(at_rate, seconds=SLICE_S)
                for number in order:
                    lead_in(at_rate, servers[number])
                    results[number].calls = _calls(by, servers[number], briefly, datafile)
                    over(servers[number])
            yield Paced(rate, results, rest.median if rest is not None else None)


class Rest:
    """What the agents use when nobody asks: the median of all looks so far.

    At low rates it is as much as what the queries cause, and changes from second to second.
    """

    def __init__(
        self,
        cpu_ns: Callable[[], int],
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cpu_ns = cpu_ns
        self._pause = pause
        self._clock = clock
        self._looks: list[float] = []
        self._calm_at = clock()

    def disturbed(self) -> None:
        """Note that consulfwd was asked right now: it asks for proofs for some time after."""
        self._calm_at = self._clock() + PROVE_FOR + 1.0

    def share(self) -> float:
        """Look again, once proofs have ended; what is known now, in cores."""
        if (left := self._calm_at - self._clock()) > 0.0:
            self._pause(left)
        for _ in range(BREATH_S if self._looks else REST_S):
            began, before = self._clock(), self._cpu_ns()
            self._pause(1.0)
            used = (self._cpu_ns() - before) / 1e9
            self._looks.append(used / (self._clock() - began))
        return self.median

    @property
    def median(self) -> float:
        """What is known, in cores."""
        return median(self._looks)


def _result(
    one: Running, load: Load, seconds: int | None, datafile: Path, watching: bool
) -> Result:
    watched = watching and one.peer.own
    assert load.rate is not None
    chosen = replace(load, seconds=slice_s(load.rate, seconds, watched=watched))
    return one.result(chosen.command(datafile, one.port))


def _calls(by: str, one: Running, load: Load, datafile: Path) -> calls.Calls | None:
    command = load.command(datafile, one.port)
    try:
        return calls.count(by, one.process.pid, command, one.bench.directory)
    except StartError as error:
        # What was measured is not lost for that.
        one.process.check()
        one.bench.say(f"{one.peer.name}: system calls not counted: {error}")
        return None


def _watched(bench: Bench, load: Load) -> Callable[[Process, Site], None]:
    """Has all names watched before anything is measured: on a host they are."""

    def ready(process: Process, site: Site) -> None:
        datafile, log = bench.directory / "queries", site.directory / "log"
        command = replace(load, rate=WARM_RATE).command(datafile, site.port, "-n", "5")
        begin, armed = time.monotonic(), 0
        while armed < len(load.names) and time.monotonic() < begin + WARM_S:
            dnsperf(command)
            armed = told(process, log).armed
        time.sleep(CALM_S)
        bench.say(f"{armed} of {len(load.names)} names are watched")

    return ready
