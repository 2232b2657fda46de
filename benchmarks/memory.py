"""Resident memory under load: answers of TTL 0, asked for long, each name watched by who watches.

What belongs here: loading one server after the other and reading what it holds. What does not:
printing (`tables`), memory of idle watches (`idle`), of a start (`startup`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.asking import Load, dnsperf, first_answer
from benchmarks.measure import Bench
from benchmarks.peers import Peer
from benchmarks.process import peak_mb, rss_mb, threads
from benchmarks.telling import told

WATCHES = 128
RATE = 500


@dataclass(frozen=True)
class Held:
    """Resident memory of one server in MB: at its first answer, after the load, and at most.

    `watches` is how many names it watched in the end, None of those that do not tell. `answers`
    is how many it gave.
    """

    name: str
    version: str
    note: str
    command: Sequence[str]
    load_command: Sequence[str]
    first_mb: float
    loaded_mb: float
    peak_mb: float
    threads: int
    watches: int | None
    answers: int
    lost: int

    def as_json(self) -> dict[str, object]:
        """Everything."""
        return asdict(self)


def run(bench: Bench, load: Load) -> list[Held]:
    """Load each server for as long as `load` says; one line each."""
    datafile = load.write(bench.directory / "queries")
    found = []
    for peer in bench.peers:
        bench.say(f"{peer.name}, {load.seconds} s")
        found.append(_measure(bench, load, peer, datafile))
    return found


def _measure(bench: Bench, load: Load, peer: Peer, datafile: Path) -> Held:
    site = bench.site(peer)
    process = bench.start(peer, site)
    try:
        first_answer(process, site.port, load.names[0])
        first_mb = rss_mb(process.pid)
        command = load.command(datafile, site.port)
        report = dnsperf(command)
        process.check()
        return Held(
            name=peer.name,
            version=bench.versions[peer.name],
            note=peer.note,
            command=process.command,
            load_command=command,
            first_mb=first_mb,
            loaded_mb=rss_mb(process.pid),
            peak_mb=peak_mb(process.pid),
            threads=threads(process.pid),
            watches=told(process, site.directory / "log").armed if peer.own else None,
            answers=report.answers,
            lost=report.lost,
        )
    finally:
        process.stop()
