"""What watches cost while nobody asks: processor and memory; and memory once many ask."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

from consulfwd.core.freshness import PROVE_FOR
from consulfwd.dev.child import PATIENCE_S, Guard
from consulfwd.dev.real import RealCluster, Registration
from consulfwd.net.ticks import CALM
from tests.integration.asking import ask
from tests.integration.conftest import VERSIONS
from tests.integration.freshly import Tell
from tests.integration.served import SERVE, Served, consul, serve

FEW, MANY = 8, 128
SECONDS = 5.0
# What is promised is 1 % of a core while proofs go on; other things run on this machine.
CORE, KIB = 0.02, 40
# And once they are over 0.2 %, and to be woken up five times a second. A look at an agent, of which
# there is one in a quarter of a minute, is half a dozen.
AT_REST_S, REST, WAKES = 10.0, 0.002, 4.0
# What is promised of all its memory is 45; it has 31 to 32 at first, and 34 in the end.
FIRST_MIB, MIB = 36, 40
ROUNDS = 10


def used(served: Served) -> tuple[float, int]:
    """Processor time so far, in seconds, and resident memory in KiB (Linux only)."""
    folder = Path("/proc") / str(served.pid)
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    (resident,) = (
        line for line in (folder / "status").read_text().splitlines() if "VmRSS" in line
    )
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK"), int(resident.split()[1])


def woken(served: Served) -> tuple[int, float]:
    """How often any of its threads went to sleep so far, and their processor time in seconds."""
    wakes, spent = 0, 0.0
    for task in (Path("/proc") / str(served.pid) / "task").iterdir():
        told = (task / "status").read_text()
        wakes += sum(map(int, re.findall(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)", told, re.M)))
        spent += int((task / "schedstat").read_text().split()[0]) / 1e9
    return wakes, spent


def armed(served: Served) -> int:
    """How many watches would tell of a change, by what it logs when it is asked to."""
    said = len(served.said())
    os.kill(served.pid, signal.SIGUSR1)
    # The servers come behind all watches.
    last = f" agent {last_of(served)}: "
    served.wait_until(lambda: last in served.said()[said:], "reporting")
    return len(re.findall(r" watch of .*: armed ", served.said()[said:]))


def last_of(served: Served) -> str:
    """The name of the agent that is last in its settings."""
    agent = json.loads(served.file.read_text())["consul"]["agents"][-1]
    return f"{agent['address']}:{agent['dns_port']}"


def watch(served: Served, names: list[str], total: int) -> None:
    """Ask for each name as often as it takes to be watched."""
    for _ in range(3):
        for name in names:
            ask(served.at, name)
        time.sleep(0.3)
    until = time.monotonic() + PATIENCE_S
    while (found := armed(served)) != total:
        assert time.monotonic() < until, found
    time.sleep(1.0)


def at_rest(served: Served) -> tuple[float, float]:
    """How often in a second it wakes up once proofs are over, and the share of a core it takes."""
    time.sleep(PROVE_FOR + CALM - SECONDS)
    wakes, spent = woken(served)
    time.sleep(AT_REST_S)
    more, later = woken(served)
    return (more - wakes) / AT_REST_S, (later - spent) / AT_REST_S


def test_idle_watches(
    client_cluster: RealCluster, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    cluster = client_cluster
    cluster.register_all(
        [
            Registration(f"idle{n}", f"idle{n}", address=f"10.6.{n}.{k}", service_id=f"idle{n}-{k}")
            for n in range(MANY)
            for k in range(3)
        ]
    )
    names = [f"idle{n}.service.consul" for n in range(MANY)]
    settings = {"consul": consul(cluster.agents[-1], *cluster.servers)}
    with serve(settings, tmp_path, guard, python=SERVE) as served:
        ask(served.at, names[0])
        _, first = used(served)
        watch(served, names[:FEW], FEW)
        _, before = used(served)
        watch(served, names[FEW:], MANY)
        begin, resident = used(served)
        time.sleep(SECONDS)
        end, _ = used(served)
        rested = at_rest(served) if cluster.version == VERSIONS[-1] else None
        for _ in range(ROUNDS):
            for name in names:
                ask(served.at, name)
        _, loaded = used(served)
        watches = armed(served)
    core = (end - begin) / SECONDS
    each = (resident - before) / (MANY - FEW)
    record_property(
        "freshness",
        f"Consul {cluster.version:6} idle with {watches} watches: {core:.2%} of a core,"
        f" {each:.1f} KiB a watch; {first / 1024:.1f} MiB at first, {loaded / 1024:.1f} in the end",
    )
    if rested is not None:
        record_property("freshness", f"at rest: {rested[0]:.1f} wake-ups a second, {rested[1]:.3%}")
        assert rested[0] < WAKES
        assert rested[1] < REST
    assert watches == MANY
    assert core < CORE
    assert each < KIB
    assert first < FIRST_MIB * 1024
    assert loaded < MIB * 1024
