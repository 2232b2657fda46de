"""`consulfwd.api.backends` on real Consul: whatever is killed, the set is what Consul says."""

from __future__ import annotations

import asyncio
import functools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from consulfwd.api import Backend, Change, Settings, backends, sync_backends
from consulfwd.dev.real import RealCluster
from consulfwd.dev.real_agent import ApiError
from consulfwd.dev.real_catalog import Operation, Registration, health
from tests.integration.conftest import generation
from tests.integration.served import consul

SERVICES = 16
# Of each service: a thousand in all; fewer where what follows them takes simpler ways.
CHANGES = {"modern": 63, "debian": 12}
PATIENCE_S = 60.0
# So long an agent is dead, and alive before the next one dies.
DEAD_S, ALIVE_S = 0.5, 2.0
# The pace at which programs look at what changes all the time is not what is tested here.
RATE = 1000.0

Row = tuple[str, str, str, int, int, str, tuple[str, ...]]


def row(one: Backend) -> Row:
    return one.node, one.id, one.address, one.port, one.weight, one.status, one.tags


def truth(cluster: RealCluster, service: str) -> set[Row]:
    """What Consul says at this moment, by the leader's consistent word."""

    def ask() -> Any:
        return cluster.http("GET", f"/v1/health/service/{service}?consistent")

    found = set()
    for entry in insist(ask):
        said, node = entry["Service"], entry["Node"]
        states = {one["Status"] for one in entry["Checks"]}
        if "critical" in states:
            continue
        status = "warning" if "warning" in states else "passing"
        weight = said["Weights"]["Warning" if status == "warning" else "Passing"]
        at = said["Address"] or node["Address"]
        tags = tuple(said["Tags"] or ())
        found.add((node["Node"], said["ID"], at, said["Port"], weight, status, tags))
    return found


def insist(ask: Callable[[], Any]) -> Any:
    """What an agent answers, once one does: leaders are killed, too."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except (ApiError, OSError, StopIteration):
            assert time.monotonic() < end, "Consul does not answer"
            time.sleep(0.05)


def next_change(rng: random.Random, service: str, there: dict[str, str]) -> list[Operation]:
    """Any change of a service: one comes, goes, moves, fails, is well again."""
    act = rng.random()
    names = sorted(there)
    if not names or (act < 0.2 and len(names) < 12):
        name = next(f"{service}-{n}" for n in range(50) if f"{service}-{n}" not in there)
        there[name] = "passing"
        return registered(rng, service, name)
    name = rng.choice(names)
    if act < 0.3:
        del there[name]
        return [{"Node": {"Verb": "delete", "Node": {"Node": name}}}]
    if act < 0.5:
        there[name] = "passing"
        return registered(rng, service, name)
    there[name] = rng.choice(sorted({"passing", "warning", "critical"} - {there[name]}))
    return [health(name, service, there[name])]


def registered(rng: random.Random, service: str, name: str) -> list[Operation]:
    weights = rng.randint(1, 9), 1
    at, port = f"10.7.0.{rng.randint(1, 250)}", rng.randint(1, 9999)
    return Registration(name, service, at, port, weights=weights).operations()


@contextmanager
def killing(cluster: RealCluster) -> Iterator[list[str]]:
    """Agents are killed and come back, one after the other, for as long as the block lasts."""
    over, killed = threading.Event(), list[str]()

    def kill() -> None:
        while not over.wait(ALIVE_S):
            agent = cluster.servers[len(killed) % len(cluster.servers)]
            agent.kill()
            killed.append(agent.address)
            over.wait(DEAD_S)
            agent.start()
            agent.wait_serving(len(cluster.servers))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


class Program:
    """What a program makes of what it is told: in a thread, or in an event loop of its own."""

    def __init__(self, service: str, settings: Settings, *, in_loop: bool) -> None:
        self.known: dict[tuple[str, str], Backend] = {}
        self.told = 0
        self.wrong: list[str] = []
        make = backends if in_loop else sync_backends
        self.set = make(service, settings=settings, rate=RATE)
        self._thread = threading.Thread(target=self._loop if in_loop else self._iterate)
        self._thread.start()

    def take(self, change: Change) -> None:
        self.told += 1
        for one in change.removed:
            if self.known.pop(one.key, None) != one:
                self.wrong.append(f"removed, and not there: {one}")
        for one in change.added:
            if one.key in self.known:
                self.wrong.append(f"added, and there: {one}")
            self.known[one.key] = one
        self.known.update((one.key, one) for one in change.updated)
        if set(self.known.values()) != set(change.backends):
            self.wrong.append(f"does not add up: {change}")

    def close(self) -> None:
        self.set._close()
        self._thread.join()

    def _iterate(self) -> None:
        for change in self.set:  # type: ignore[union-attr]
            self.take(change)

    def _loop(self) -> None:
        async def follow() -> None:
            async for change in self.set:  # type: ignore[union-attr]
                self.take(change)

        asyncio.run(follow())


def changed(cluster: RealCluster, program: Program, service: str, times: int, seed: int) -> None:
    """Make changes, and wait after each until the set is what Consul says."""
    rng, there = random.Random(seed), dict[str, str]()
    current = program.set
    for n in range(times):
        operations = next_change(rng, service, there)
        insist(functools.partial(cluster.http, "PUT", "/v1/txn", operations))
        expected = truth(cluster, service)
        end = time.monotonic() + PATIENCE_S
        while {row(one) for one in current.current} != expected:
            assert time.monotonic() < end, f"change {n}: {operations}, {current.stale}"
            time.sleep(0.002)
        picked = current.pick()
        assert (row(picked) in expected) if picked is not None else not expected


def test_the_set_is_what_consul_says_while_agents_are_killed(cluster: RealCluster) -> None:
    sections: dict[str, Any] = {"consul": consul(*cluster.servers)}
    settings = Settings(**sections)
    names = [f"set{n}" for n in range(SERVICES)]
    programs = {
        name: Program(name, settings, in_loop=bool(n % 2)) for n, name in enumerate(names)
    }
    failed: list[BaseException] = []
    times = CHANGES[generation(cluster.version)]

    def change(n: int, name: str) -> None:
        try:
            changed(cluster, programs[name], name, times, n)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=change, args=each) for each in enumerate(names)]
    begun = time.monotonic()
    try:
        with killing(cluster) as killed:
            for one in threads:
                one.start()
            for one in threads:
                one.join()
        took = time.monotonic() - begun
        print(f"{times * SERVICES} changes in {took:.1f} s, {len(killed)} kills")
        assert failed == []
        # How many fit into the time is up to the machine.
        assert len(killed) >= min(times // 12, 2)
        for name, program in programs.items():
            end = time.monotonic() + PATIENCE_S
            while {row(one) for one in program.known.values()} != truth(cluster, name):
                assert time.monotonic() < end
                time.sleep(0.01)
            assert program.wrong == []
            assert program.told > times / 4
    finally:
        for program in programs.values():
            program.close()
        clear(cluster, names)


def clear(cluster: RealCluster, names: list[str]) -> None:
    for node in insist(lambda: cluster.http("GET", "/v1/catalog/nodes")):
        if node["Node"].partition("-")[0] in names:
            with suppress(ApiError):
                cluster.http("PUT", "/v1/catalog/deregister", {"Node": node["Node"]})
