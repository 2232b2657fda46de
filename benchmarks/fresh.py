"""What an answer of TTL 0 costs while a live watch covers it, beside the servers that must ask.

What belongs here: who takes part, and getting consulfwd warm. What does not: measuring
(`measure`), printing (`report`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks.asking import Load, dnsperf
from benchmarks.measure import Bench, Entry, run_all
from benchmarks.peers import OURS, Site, ours
from benchmarks.process import Process
from benchmarks.samples import Result
from benchmarks.telling import told
from benchmarks.upstream import Upstream

# Our own figure for answers that need no watch, from agents whose answers have a TTL.
CACHED = "cached"
# Each name is asked twice before it is hot, and again when a second is over.
WARM_S, HOT = 5.0, 0.95
# How often each name is asked to see whether all is hot.
LOOK = 100


def run(bench: Bench, load: Load, rounds: int, lasting: Upstream) -> list[Result]:
    """Each server for one slice in turn, `rounds` times over.

    consulfwd runs twice: watching the agents of `bench`, and as CACHED with those of `lasting`,
    whose answers have a TTL.
    """
    entries: list[Entry] = []
    for peer in bench.peers:
        if not peer.own:
            entries.append(Entry(bench, peer))
            continue
        entries.append(Entry(bench, peer, _warming(bench, load), tells=True))
        if peer is not OURS:
            continue
        versions = {**bench.versions, CACHED: bench.versions[OURS.name]}
        other = replace(bench, upstream=lasting, versions=versions)
        title = f"consulfwd with {lasting.title}"
        entries.append(Entry(other, ours(CACHED, title), tells=True))
    return run_all(entries, load, rounds)


def _warming(bench: Bench, load: Load) -> Callable[[Process, Site], None]:
    def ready(process: Process, site: Site) -> None:
        datafile = bench.directory / "queries"
        log = site.directory / "log"
        command = load.command(datafile, site.port, "-n", str(LOOK))
        begin = time.monotonic()
        share = 0.0
        while time.monotonic() < begin + WARM_S:
            before = told(process, log)
            dnsperf(command)
            share = told(process, log).hot_share(before)
            if share >= HOT:
                break
            time.sleep(0.1)
        took = time.monotonic() - begin
        bench.say(f"{share:.1%} hot after {took:.1f} s of warming up")

    return ready
