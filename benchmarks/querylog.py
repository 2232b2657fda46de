"""What it costs to log queries and to tell a collector of dnstap.

`python -m benchmarks.querylog` loads servers in turn, as fast as they answer: without, with a line
for so many queries, with dnstap for so many. `--before COMMAND` has another build beside.

What belongs here: these servers and tables. What does not: agents, load, slices (`measure`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.asking import Load
from benchmarks.choice import CACHED_TTL, cores
from benchmarks.measure import Bench, run
from benchmarks.peers import ADDRESS, Peer, Site, consulfwd_command
from benchmarks.samples import Result
from benchmarks.suite import work_directory
from benchmarks.tools import path_of, require
from benchmarks.upstream import service_names, stub
from tests.load_lock import only_load

RATES = (0.01, 1.0)
COLLECTOR = "fstrm_capture"
Settings = dict[str, Any]


def capture(folder: Path) -> subprocess.Popen[bytes]:
    """Start a collector that writes what it is sent into a file."""
    path = folder / "dnstap.sock"
    command = [path_of(COLLECTOR), "-t", "protobuf:dnstap.Dnstap", "-u", str(path)]
    with (folder / "collector.log").open("ab") as log:
        found = subprocess.Popen([*command, "-w", str(folder / "taken.fstrm")], stderr=log)
    while not path.exists():
        time.sleep(0.01)
    return found


def lines(site: Site, sample: float) -> Settings:
    """Settings for lines in a file."""
    return {
        "log": {"queries": True},
        "querylog": {"file": str(site.directory / "queries.log"), "sample": sample},
    }


def tapped(site: Site, sample: float) -> Settings:
    """Settings for dnstap."""
    return {"dnstap": {"socket": str(site.directory / "dnstap.sock"), "sample": sample}}


def peer(
    name: str,
    more: Callable[[Site], Settings] = lambda site: {},
    command: Sequence[str] | None = None,
) -> Peer:
    """consulfwd with more settings, or another build of it."""

    def written(site: Site) -> list[str]:
        agents = [
            {"address": one.address, "dns_port": one.port, "http_port": one.http_port}
            for one in site.agents
        ]
        settings = {
            "listen": [f"{ADDRESS}:{site.port}"],
            "consul": {"agents": agents, "watch": {"enabled": False}},
            "recursors": [f"{one.address}:{one.port}" for one in site.agents],
            **more(site),
        }
        config = site.write("consulfwd.json", json_text(settings))
        return [*(command or site.consulfwd), "serve", "-c", config]

    return Peer(name, None, written)


def json_text(settings: Settings) -> str:
    """Return settings as a file has them."""
    return json.dumps(settings, indent=2) + "\n"


def cost(on: Bench, load: Load, rounds: int, before: Sequence[str] | None) -> str:
    """Return a table of CPU per answer."""
    peers = [peer("off")]
    if before:
        peers.append(peer("before", command=before))
    for rate in RATES:
        peers.append(peer(f"lines-{rate:g}", lambda site, rate=rate: lines(site, rate)))  # type: ignore[misc]
        peers.append(peer(f"dnstap-{rate:g}", lambda site, rate=rate: tapped(site, rate)))  # type: ignore[misc]
    with contextlib.ExitStack() as stack:
        for one in peers:
            if one.name.startswith("dnstap"):
                folder = on.directory / one.name
                folder.mkdir(parents=True, exist_ok=True)
                stack.callback(stopped, capture(folder))
        made = Bench(
            peers, on.upstream, on.directory, on.programs, on.consulfwd,
            {one.name: "-" for one in peers}, on.core, on.say,
        )  # fmt: skip
        results = run(made, load, rounds)
    return _costs(results)


def _costs(results: Sequence[Result]) -> str:
    off = results[0]
    rows = ["| server | us of CPU per answer | answers/s | x off | lost |", "|---|---|---|---|---|"]
    for one in results:
        ratio = median(one.ratios(off))
        lost = sum(sample.lost for sample in one.samples)
        cpu, rate = one.middle("cpu_us") or 0, one.middle("rate") or 0
        rows.append(f"| {one.name} | {cpu:.2f} | {rate:,.0f} | {ratio:.2f} | {lost} |")
    return "\n".join(rows)


def stopped(collector: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        collector.send_signal(signal.SIGCONT)
    collector.terminate()
    collector.wait()


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.querylog")
    options.add_argument("--rounds", type=int, default=10, help="slices of each server (10)")
    options.add_argument("--ttl", type=int, default=CACHED_TTL, help="0 has all asked for anew")
    options.add_argument("--before", type=shlex.split, help="how to start another build")
    options.add_argument("--dir", type=Path, help="keep configurations and logs here")
    given = options.parse_args()
    require(["taskset", "dnsperf", "cc", COLLECTOR])
    with on_a_core(given.dir, given.ttl) as (on, load_core):
        open_at_once = 100 if given.ttl else 20
        load = Load(service_names(100), 1, 4, open_at_once, None, False, load_core)
        print(cost(on, load, given.rounds, given.before))


@contextlib.contextmanager
def on_a_core(folder: Path | None, ttl: int) -> Iterator[tuple[Bench, int]]:
    """What a measurement of our servers on one core needs, the peers left out; and the load's."""
    core, load_core = cores(None, None)
    with only_load(), work_directory(folder) as directory:
        programs = directory / "programs"
        programs.mkdir(exist_ok=True)
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, allowed - {core})
        with stub(directory / "agents", programs, load_core, names=100, ttl=ttl) as upstream:
            yield (
                Bench(
                    (), upstream, directory, programs, consulfwd_command(), {}, core,
                    lambda text: print(text, flush=True),
                ),
                load_core,
            )  # fmt: skip


if __name__ == "__main__":
    main()
