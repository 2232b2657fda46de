"""What an honest client goes through beside a flood, and what that takes of the server.

`python -m benchmarks.flood [SECONDS [RATE]]` starts one Consul server and `consulfwd serve` with
the limits of other hosts for this one (`limits.own_host`), an honest client that asks 100 times a
second for names that are there, and 200 more that flood, for 60 seconds and at 20,000 datagrams a
second. Then the same with the limits this host has by default, and without any.

What belongs here: what became of each of the honest client's queries. What does not: how the flood
is made (`tests.integration.flooding`).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster, find_binaries
from tests.integration.flooding import Flood, Seen, look
from tests.integration.load import Load
from tests.integration.served import SERVE, consul, serve
from tests.load_lock import only_load
from tests.net.messages import question

SOURCES, HONEST = 200, 100
EXAMPLES = Path(__file__).parents[1] / "examples" / "consul.d"
ADDRESS = "127.77.0.1"
NAMES = ("galeradb.service.consul", "web.service.consul", "consul.service.consul")
# Before it begins, and how often it is looked how the server is (seconds).
CALM_S, LOOK_S = 1.0, 0.25
# A client asks again after so long (seconds) at the soonest: what takes longer is lost to it. It is
# more than half the deadline, when a stale answer is given where agents have no processor.
PATIENCE_S = 1.2


@dataclass(frozen=True)
class Came:
    """What became of `asked` queries beside a flood of so many datagrams.

    `lost` says what is wrong with each that was; times are in seconds.
    """

    asked: int
    lost: list[str]
    flood: int
    median_s: float
    worst_s: float
    seen: Seen
    cpu_s: float


def flooded(at: tuple[str, int], pid: int, seconds: float, rate: int) -> Came:
    """Return what becomes of an honest client while a server is flooded for so long.

    Where that is permitted the server goes before whatever else this machine runs: what a flood
    does is measured, not what is left of a processor.
    """
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))
    queries = [question(name, ident=0) for name in NAMES]
    load = Load(at, HONEST, queries)
    flood = None
    try:
        time.sleep(CALM_S)
        flood = Flood(at, SOURCES, rate)
        cpu, ends, seen = _cpu_s(pid), time.monotonic() + seconds, look(pid)
        while time.monotonic() < ends:
            time.sleep(LOOK_S)
            seen = look(pid, seen)
        cpu = _cpu_s(pid) - cpu
        sent = flood.stop()
        results = load.stop()
    finally:
        load.kill()
        if flood is not None:
            flood.kill()
    lost, took = [], []
    for one in results:
        fault = "no reply" if one.took_s is None else ""
        if one.took_s is not None:
            took.append(one.took_s)
            # The ID is left out: flags, then counts.
            if one.reply[1] & 15 or not int.from_bytes(one.reply[4:6], "big"):
                fault = f"no answer in {one.reply[:10].hex()}"
            elif one.took_s > PATIENCE_S:
                fault = f"after {one.took_s:.2f} s"
        if fault:
            lost.append(f"{NAMES[one.query]}: {fault}")
    return Came(len(results), lost, sent, statistics.median(took), max(took), seen, cpu)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def measure(seconds: float, rate: int) -> None:
    """Print what a server with limits comes to, and one without."""
    with tempfile.TemporaryDirectory() as folder:
        guard = Guard()
        binary = list(find_binaries().values())[-1]
        workdir = Path(folder) / "consul"
        cluster = RealCluster(binary, [ADDRESS], workdir=workdir, definitions=EXAMPLES)
        try:
            cluster.start()
            for what, limits in (
                ("as other hosts", {"own_host": True}),
                ("this host", {}),
                ("unlimited", {"unknown": 0}),
            ):
                settings: dict[str, Any] = {"consul": consul(*cluster.servers), "limits": limits}
                with serve(settings, Path(folder) / what, guard, python=SERVE) as served:
                    print(what, _said(flooded(served.at, served.pid, seconds, rate), seconds))
        finally:
            cluster.stop()
            guard.close()


def _said(came: Came, seconds: float) -> str:
    flood = came.flood / seconds
    return (
        f"{came.asked} queries beside {flood:,.0f} datagrams/s: lost {len(came.lost)},"
        f" median {came.median_s * 1000:.2f} ms, worst {came.worst_s * 1000:.0f} ms;"
        f" RSS {came.seen.rss_mb:.0f} MB, sockets {came.seen.sockets},"
        f" {came.cpu_s / seconds:.0%} of a core"
    )


if __name__ == "__main__":
    _given = sys.argv[1:]
    with only_load():
        measure(
            float(_given[0]) if _given else 60.0,
            int(_given[1]) if len(_given) > 1 else 20_000,
        )
