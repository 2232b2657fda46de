"""Services change at random while readers ask all the time: no answer is older than it may be.

10,000 changes in 60 s, as many a second for as long as HISTORY_SECONDS says (default 5 s):

    HISTORY_SECONDS=60 python -m pytest tests/integration/test_freshness_history.py
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import dns.message
import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.coreless import Waits
from tests.integration.asking import At, data, question
from tests.integration.counted import lost_between, written
from tests.integration.freshly import PROGRAM, Tell, arrived
from tests.integration.history import OLD, Change, Fault, Read, Verdict, check
from tests.integration.load import Load, Result
from tests.integration.served import Served, at, consul, serve
from tests.load_lock import only_load
from tests.stalled import Stalls
from tests.stolen import stolen_s

SECONDS = float(os.environ.get("HISTORY_SECONDS", "5"))
RATE, BATCH = 10_000 / 60, 4
SERVICES, NODES = 100, ("history-1", "history-2")
# Agents learn of a change within 100 ms, and we with them; as much again is for us.
LAG_S = BOUND_S = 0.1
READS, CONTROL = 300, 150
LATE_S = 1.0
NAMES = [f"history{n}.service.consul" for n in range(SERVICES)]


def operations(service: int, version: int) -> list[dict[str, Any]]:
    """What makes both instances of a service be of a version: their addresses tell it."""
    return [
        {
            "Service": {
                "Verb": "set",
                "Node": node,
                "Service": {
                    "ID": f"history{service}",
                    "Service": f"history{service}",
                    "Address": f"10.{10 + n}.{version >> 8}.{version & 255}",
                    "Port": 80,
                },
            }
        }
        for n, node in enumerate(NODES)
    ]


@functools.cache
def versions(packet: bytes) -> frozenset[int]:
    """Which versions the instances in an answer are of; none if one is missing."""
    found = [[int(part) for part in one.split(".")] for one in data(_message(packet))]
    if sorted(one[1] for one in found) != [10, 11]:
        return frozenset()
    return frozenset(one[2] << 8 | one[3] for one in found)


def _message(packet: bytes) -> dns.message.Message:
    return dns.message.from_wire(b"\0\0" + packet)


class Writer:
    """Makes changes at an agent, a few in one transaction, and takes down when."""

    def __init__(self, agent: RealAgent, seed: int) -> None:
        self.changes: list[Change] = []
        self._rng = random.Random(seed)
        self._connection = http.client.HTTPConnection(agent.address, agent.http_port, timeout=10)
        self._version = Counter[int]()

    def run(self, seconds: float) -> None:
        """Change services at random, so many a second."""
        start = time.monotonic()
        number = 0
        while (now := time.monotonic()) < start + seconds:
            time.sleep(max(start + number * BATCH / RATE - now, 0.0))
            self._change(self._rng.sample(range(SERVICES), BATCH))
            number += 1

    def _change(self, services: Sequence[int]) -> None:
        self._version.update(services)
        body = [one for service in services for one in operations(service, self._version[service])]
        begin = time.monotonic()
        self._connection.request("PUT", "/v1/txn", json.dumps(body))
        response = self._connection.getresponse()
        text = response.read()
        end = time.monotonic()
        assert response.status == 200, text
        self.changes += [
            Change(service, self._version[service], begin, end) for service in services
        ]

    def close(self) -> None:
        self._connection.close()


@contextmanager
def registered(cluster: RealCluster) -> Iterator[None]:
    """All services in their version 0, for as long as the block lasts."""
    for node in NODES:
        cluster.register(node, address="10.9.9.9")
    for first in range(0, SERVICES, 30):
        body = [
            one for n in range(first, min(first + 30, SERVICES)) for one in operations(n, 0)
        ]
        cluster.http("PUT", "/v1/txn", body)
    cluster.settle()
    try:
        yield
    finally:
        for node in NODES:
            cluster.http("PUT", "/v1/catalog/deregister", {"Node": node})


def reads(results: list[Result]) -> list[Read]:
    return [
        Read(
            one.query,
            one.sent_at,
            arrived(one),
            None if one.took_s is None else versions(one.reply),
        )
        for one in results
    ]


def warm(served: Served) -> None:
    """Wait until every service is watched."""
    until = time.monotonic() + 10.0
    while not (lines := written(served.file)) or lines[-1]["watches"] < SERVICES:
        assert time.monotonic() < until, served.said()
        time.sleep(0.1)
    time.sleep(1.0)


class Reads:
    """What became of a load; complete when its block is over."""

    def __init__(self) -> None:
        self.results: list[Result] = []


@contextmanager
def load(where: At, rate: int) -> Iterator[Reads]:
    """Every name asked for in turn at a server, for as long as the block lasts."""
    running = Load(where, rate, [question(name).to_wire() for name in NAMES], held=True)
    running.go()
    made = Reads()
    try:
        yield made
    finally:
        made.results = running.stop()


def judged(
    results: list[Result],
    writer: Writer,
    bound: float,
    who: str,
    tell: Callable[[str], None],
) -> Verdict:
    """What the checker says of some reads, told too."""
    verdict = check(dict.fromkeys(range(SERVICES), 0.0), writer.changes, reads(results), bound)
    tell(
        f"{who:11} {len(writer.changes)} changes, {len(results)} reads:"
        f" {len(verdict.faults)} faults, {verdict.backwards} backwards,"
        f" oldest {verdict.oldest * 1000:.0f} ms"
    )
    return verdict


@pytest.mark.parametrize("source", ["agent", "leader"])
@pytest.mark.timeout(60 + 3 * SECONDS)
def test_every_read_is_explained(
    client_cluster: RealCluster, guard: Guard, tmp_path: Path, source: str, record_property: Tell
) -> None:
    cluster = client_cluster
    first = cluster.agents[-1]

    def tell(text: str) -> None:
        record_property("freshness", f"Consul {cluster.version:6} {source:6} {text}")

    settings = {"consul": consul(first, *cluster.servers, watch={"source": source})}
    with ExitStack() as stack:
        stack.enter_context(registered(cluster))
        stack.enter_context(only_load())
        served = stack.enter_context(serve(settings, tmp_path, guard, python=PROGRAM))
        ours = stack.enter_context(load(served.at, READS))
        warm(served)
        theirs = stack.enter_context(load(at(first), CONTROL))
        writer = stack.enter_context(closing(Writer(cluster.servers[1], seed=1)))
        stalls, others = Stalls(), Waits(first.pid, cluster.leader().pid)
        before, stolen = written(served.file)[-1], stolen_s()
        writer.run(SECONDS)
        after, stolen = written(served.file)[-1], stolen_s() - stolen
        time.sleep(1.0)
        stalled = stalls.seconds()
        others.end()
    found, control = ours.results, theirs.results
    # Enough to tell by, as far as the machine was there to make them.
    assert len(writer.changes) > RATE * SECONDS / 2 * max(0.1, 1 - stolen / SECONDS)
    # What the agents' own DNS was late by, for how long a disk held up a server of Consul, and the
    # machine us and those who tell us, between the change and the answer. How long we take
    # ourselves allows us nothing.
    lag = max(LAG_S, judged(control, writer, LATE_S, "agent's DNS", tell).oldest)
    lines = written(served.file)
    bound = lag + BOUND_S + stalled
    asked, sent = (after[key] - before[key] for key in ("queries", "upstream"))
    tell(f"  {1 - sent / asked:.0%} without asking an agent; may be {bound * 1000:.0f} ms old")
    faults = judged(found, writer, bound, "ours", tell).faults
    assert [one for one in faults if not allowed(one, bound, lines, others)] == []


def allowed(
    fault: Fault, bound: float, lines: Sequence[Mapping[str, float]], others: Waits
) -> bool:
    """Whether an answer is no older than by what the machine did not let go on who tells, or us."""
    since_then = fault.read.begin - fault.by, fault.read.end
    lost = lost_between(lines, *since_then) + others.seconds(*since_then)
    return fault.kind == OLD and fault.by <= bound + lost
