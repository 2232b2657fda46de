"""What consulfwd asks of real Consul when that is busy: connections, looks, the leader's word."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks import asked, hosts
from consulfwd.config import Agent, Settings
from consulfwd.consul.belief import BURST
from consulfwd.consul.seats import NEAR
from consulfwd.core.carriers import MOST_CARRIED
from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster, Registration
from tests.integration.asking import ask
from tests.integration.conftest import NEWEST
from tests.integration.own_words import own_words
from tests.integration.places import addresses
from tests.integration.served import SERVE, consul, serve
from tests.integration.test_render import RENDER, rendering, wait_until
from tests.integration.test_render_known import connections
from tests.integration.watched import Front, at
from tests.stalled import Stalls

NETWORK = 66
# How long (seconds) something changes all the time, and how many times a second.
SECONDS, CHANGES = 8.0, 20
MANY = 90
# Within so long (seconds) both have as many connections as they may have, on a busy machine.
FULL_S = 60.0
# Of a whole catalog, and what a template of all may take (kB).
SERVICES, INSTANCES, MEMORY_KB = 2000, 5, 200_000
# So many hosts lose their leader; half of them have a template, and a file of generate's.
FLEET = hosts.Fleet(20, 10, 10, 5)
NAMES = 6
# After its death, and after its return (seconds).
AFTERWARDS_S = 15.0


@pytest.fixture
def keys(cluster: RealCluster) -> Iterator[Callable[[int, object], None]]:
    """Writes keys under load/, by number; they are gone afterwards."""
    yield lambda number, value: cluster.http("PUT", f"/v1/kv/load/{number:03}", value)
    cluster.http("DELETE", "/v1/kv/load/?recurse")


def test_what_changes_all_the_time_is_looked_at_once_a_second(
    cluster: RealCluster, guard: Guard, keys: Callable[[int, object], None], tmp_path: Path
) -> None:
    template, dest = tmp_path / "a.tpl", tmp_path / "a"
    template.write_text("{{ key('load/000') }}\n")
    keys(0, "begin")
    cluster.settle()
    agent = cluster.servers[0]
    front = Front(agent.dns_port, target=at(agent))
    try:
        # Of an agent no more is wanted than where it is.
        there = cast(RealAgent, front.at)
        with rendering(tmp_path, guard, [there], f"{template}:{dest}"):
            wait_until(lambda: dest.exists() and "begin" in dest.read_text(), "written")
            stalls, begin, number = Stalls(), time.monotonic(), 0
            while time.monotonic() < begin + SECONDS:
                number += 1
                keys(0, number)
                time.sleep(1 / CHANGES)
            looks = [one for one in front.asked if one.at >= begin and one.blocking]
            # While the disk keeps Consul from writing nothing changes.
            assert SECONDS / 2 - stalls.seconds() <= len(looks) <= SECONDS + BURST
            wait_until(lambda: dest.read_text() == f"{number}\n", "up to date")
    finally:
        front.stop()


def enough(has: tuple[int, int], may: tuple[int, int]) -> bool:
    """Whether each of both has as many as it may have."""
    return has[0] >= may[0] and has[1] >= may[1]


@NEWEST
def test_serve_and_render_on_one_host_have_few_connections(
    cluster: RealCluster, guard: Guard, keys: Callable[[int, object], None], tmp_path: Path
) -> None:
    agent = cluster.servers[0]

    def register(address: str) -> None:
        cluster.register_all([Registration("load", f"load{n:03}", address) for n in range(MANY)])

    register("10.8.1.1")
    for number in range(MANY):
        keys(number, 1)
    cluster.settle()
    template, dest = tmp_path / "a.tpl", tmp_path / "a"
    keyed = f"{{% for n in range({MANY}) %}}{{{{ key('load/%03d' % n) }}}} {{% endfor %}}"
    served_too = "{% for n in range(30) %}{{ service('load%03d' % n) | length }}{% endfor %}"
    template.write_text(f"{keyed}{served_too}\n")
    may = MOST_CARRIED, NEAR.waiting
    try:
        with (
            serve({"consul": consul(agent)}, tmp_path / "serve", guard, python=SERVE) as served,
            rendering(tmp_path, guard, [agent], f"{template}:{dest}") as child,
        ):
            most, turn, has = 0, 0, (0, 0)
            ends = time.monotonic() + FULL_S
            # Each is to have what it may have, or that would prove nothing.
            while turn < 8 or (not enough(has, may) and time.monotonic() < ends):
                for number in range(MANY):
                    ask(served.at, f"load{number:03}.service.consul")
                    if number % 10 == turn % 10:
                        keys(number, turn)
                turn += 1
                register(f"10.8.1.{turn % 200 + 1}")
                now = connections(served.pid, agent), connections(child.pid, agent)
                most = max(most, sum(now))
                has = max(has[0], now[0]), max(has[1], now[1])
            assert enough(has, may), has
            assert most < 100
    finally:
        cluster.deregister("load")


@NEWEST
def test_a_loop_over_a_whole_catalog(consul_binary: Path, tmp_path: Path) -> None:
    template, dest, config = tmp_path / "a.tpl", tmp_path / "a", tmp_path / "consulfwd.yml"
    loop = "{% for one in service(each.name) %}{{ one.name }} {{ one.host }}\n{% endfor %}"
    template.write_text(f"{{% for each in services() %}}{loop}{{% endfor %}}")
    with RealCluster(
        consul_binary, addresses(NETWORK, 21), workdir=tmp_path / "cluster", extra=asked.LOGGING
    ) as cluster:
        nodes = [f"n{node}" for node in range(INSTANCES)]
        cluster.register_all([Registration(one, address="10.8.2.1") for one in nodes])
        cluster.register_all(
            [Registration(node, f"s{n:04}") for n in range(SERVICES) for node in nodes]
        )
        config.write_text(json.dumps({"consul": consul(*cluster.servers)}))
        meter = asked.Meter(cluster.servers)
        meter.requests()
        command = [*RENDER, "-c", str(config), f"{template}:{dest}"]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen([str(one) for one in command], stderr=log)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert (process.returncode, own_words((tmp_path / "log").read_text())) == (0, "")
        # Consul's own service beside these.
        assert len(dest.read_text().splitlines()) == SERVICES * INSTANCES + 1
        # Each service once, and the list of all.
        requests = [one for one in meter.requests() if one.mode != "stale"]
        assert SERVICES < len(requests) <= SERVICES + 2
        assert used.ru_maxrss < MEMORY_KB


@NEWEST
def test_a_leader_that_dies_is_not_followed_by_a_herd(consul_binary: Path, tmp_path: Path) -> None:
    places = addresses(NETWORK, 11, 12, 13)
    names = [f"web{number:03}.service.consul" for number in range(NAMES)]
    services = [name.partition(".")[0] for name in names]
    services += [f"job{number:03}" for number in range(FLEET.facts)]
    extra = {**asked.LOGGING, "limits": {"http_max_conns_per_client": 1000}}
    folder = tmp_path / "cluster"
    with RealCluster(consul_binary, places, workdir=folder, extra=extra) as cluster:
        cluster.register_all([Registration("n1", one, "10.0.0.1", port=80) for one in services])
        before, dead, back = asyncio.run(_lose_the_leader(cluster, names, tmp_path))
    assert before
    for requests in (dead, back):
        assert requests
        # What generates wants the leader's word of a server that came back, within some seconds;
        # where that says nothing in time, as on a busy machine, it is asked once more. If those
        # who only answer did so as well, there would be as many more as hosts.
        of_leader = [one for one in requests if one.mode != "stale"]
        assert len(of_leader) <= (2 * FLEET.generate if requests is back else 0), of_leader
        _, most = asked.peak(requests)
        # What waited ends and is asked for at another one, once; the rest is proofs, and looks at
        # agents.
        waited = FLEET.hosts * NAMES + FLEET.render * FLEET.facts
        assert sum(most.values()) <= 2 * waited + 5 * FLEET.hosts


async def _lose_the_leader(
    cluster: RealCluster, names: list[str], folder: Path
) -> list[list[asked.Request]]:
    """Return what is asked before the leader is killed, after that, and once it is back."""
    leader = await asyncio.to_thread(cluster.leader)
    given: dict[str, Any] = {
        "listen": ["127.0.0.1:0"],
        "resolv_conf": "/nonexistent/resolv.conf",
        "consul": {
            "agents": [
                Agent(address=one.address, dns_port=one.dns_port, http_port=one.http_port)
                for one in sorted(cluster.servers, key=lambda one: one is not leader)
            ]
        },
    }
    meter = asked.Meter(cluster.servers)
    found = []
    async with hosts.running(FLEET, Settings(**given), names, folder) as running:
        await running.watch()
        for act in (None, leader.kill, leader.start):
            if act is not None:
                await asyncio.to_thread(meter.requests)
                act()
                await asyncio.sleep(AFTERWARDS_S)
            found.append(await asyncio.to_thread(meter.requests))
    return found
