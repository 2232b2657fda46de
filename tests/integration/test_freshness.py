"""Answers of TTL 0 are reused, and yet what Consul changes is served as soon as agents serve it.

The name in question is asked for every two milliseconds meanwhile, and before each change
almost nothing of that reaches an agent.
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster, Registration
from tests.integration.conftest import generation
from tests.integration.freshly import (
    CALM_S,
    NOISE_S,
    NXDOMAIN,
    RATE,
    Answer,
    Course,
    Tell,
    course,
)
from tests.integration.served import consul

LAG_S, MEDIAN_S = 0.100 + NOISE_S, 0.020 + NOISE_S / 2
# With the leader's word: after the change itself, whatever agents' DNS says.
LEFT_S = 0.010 + NOISE_S / 2
# How long a node that is gone is named where nobody tells: asked for each second, plus the lag.
UNTOLD_S = 1.2
# How long an empty list is doubted, and the answers of its service asked for each time.
DOUBTED_S = 1.5
NONE: Mapping[str, float] = MappingProxyType({})
_numbers = itertools.count(1)


class Service:
    """A service of two instances an agent looks after, and a third on a node outside Consul.

    Each method makes one change and returns when Consul has taken it.
    """

    def __init__(self, cluster: RealCluster, agent: RealAgent) -> None:
        number = next(_numbers)
        self.cluster = cluster
        self.agent = agent
        self.name = f"fresh{number}"
        self.node = f"outside{number}"
        self.address = {n: f"10.9.{number}.{n}" for n in (1, 2, 3)}
        for n in (1, 2):
            self.register(n)
        self.place(self.address[3])
        cluster.settle()

    def at(self, *numbers: int) -> Answer:
        """The answer with these instances."""
        return frozenset(self.address[n] for n in numbers) or NXDOMAIN

    def register(self, n: int, address: str = "", tag: str = "blue") -> None:
        instance = f"{self.name}-{n}"
        body = {
            "ID": instance,
            "Name": self.name,
            "Address": address or self.address[n],
            "Port": 80,
            "Tags": [tag],
            "Check": {"CheckID": f"{instance}-ttl", "TTL": "600s", "Status": "passing"},
        }
        self.agent.http("PUT", "/v1/agent/service/register", body)

    def deregister(self, n: int) -> None:
        self.agent.http("PUT", f"/v1/agent/service/deregister/{self.name}-{n}")

    def maintenance(self, n: int, enable: str) -> None:
        path = f"/v1/agent/service/maintenance/{self.name}-{n}?enable={enable}"
        self.agent.http("PUT", path)

    def check(self, n: int, status: str) -> None:
        """`status` is pass, warn or fail."""
        self.agent.http("PUT", f"/v1/agent/check/{status}/{self.name}-{n}-ttl")

    def place(self, address: str) -> None:
        """Register the third instance, or give its node another address."""
        placed = Registration(self.node, self.name, address=address, port=80, tags=("blue",))
        self.cluster.http("PUT", "/v1/txn", placed.operations())

    def node_health(self, status: str) -> None:
        # Not `serfHealth`: a node with that and no agent is taken for one that was reaped, and the
        # leader takes it away, with all that is on it, when it next compares (each minute).
        check = {"Node": self.node, "CheckID": "alive", "Name": "alive", "Status": status}
        self.cluster.http("PUT", "/v1/txn", [{"Check": {"Verb": "set", "Check": check}}])

    def remove_node(self) -> None:
        self.cluster.http("PUT", "/v1/catalog/deregister", {"Node": self.node})

    def remove(self) -> None:
        self.remove_node()
        for n in (1, 2):
            self.deregister(n)


@pytest.fixture
def service(client_cluster: RealCluster) -> Iterator[Service]:
    service = Service(client_cluster, client_cluster.servers[1])
    yield service
    service.remove()


def through_client(cluster: RealCluster, source: str) -> dict[str, Any]:
    """Settings that ask the client agent first, then the servers."""
    assert cluster.client is not None
    return {"consul": consul(cluster.client, *cluster.servers, watch={"source": source})}


def judge(run: Course, label: str, tell: Tell, slow: Mapping[str, float] = NONE) -> list[float]:
    """No query suffered, and every change was served in time; the lags, told one by one.

    `slow` are changes that may take so long. What the machine was stopped for is allowed besides.
    """
    changes = run.changes[1:]
    lags = [run.lag(one) for one in changes]
    for change, lag in zip(changes, lags, strict=True):
        known = (change.known_at - change.begin) * 1000
        left = (run.old_until(change) - change.taken) * 1000
        tell(
            "freshness",
            f"{label} {change.label:16} in agents' DNS {known:4.0f} ms after it began; old answers"
            f" until {lag * 1000:6.1f} ms after that, {left:6.1f} ms after Consul had taken it",
        )
    assert run.wrong() == []
    late = [
        (change.label, lag)
        for change, lag in zip(changes, lags, strict=True)
        if lag > slow.get(change.label, LAG_S) + run.stolen_meanwhile(change)
    ]
    assert late == []
    # In calm no watch is lost, whatever the headers of streaming say.
    assert "no watches there" not in run.served.said()
    return lags


def stolen(run: Course) -> float:
    """For how long (seconds) the machine was stopped during a change; the median."""
    return statistics.median(map(run.stolen_meanwhile, run.changes[1:]))


def test_every_kind_of_change(
    client_cluster: RealCluster,
    service: Service,
    guard: Guard,
    tmp_path: Path,
    record_property: Tell,
) -> None:
    first = client_cluster.agents[-1]
    at, moved, node_moved = service.at, frozenset({"10.99.0.1"}), frozenset({"10.99.0.2"})
    name = f"{service.name}.service.consul"
    by_agent, by_leader = (through_client(client_cluster, one) for one in ("agent", "leader"))
    with (
        course(by_agent, tmp_path / "agent", guard, name, first) as run,
        course(by_leader, tmp_path / "leader", guard, name, first) as led,
    ):
        led.changes = run.changes
        for label, do, answer in [
            ("maintenance", lambda: service.maintenance(1, "true"), at(2, 3)),
            ("maintenance over", lambda: service.maintenance(1, "false"), at(1, 2, 3)),
            ("critical", lambda: service.check(2, "fail"), at(1, 3)),
            ("passing", lambda: service.check(2, "pass"), at(1, 2, 3)),
            ("deregistered", lambda: service.deregister(2), at(1, 3)),
            ("registered", lambda: service.register(2), at(1, 2, 3)),
            ("address", lambda: service.register(2, *moved), at(1, 3) | moved),
            ("node's address", lambda: service.place(*node_moved), at(1) | moved | node_moved),
            ("node failed", lambda: service.node_health("critical"), at(1) | moved),
            ("node back", lambda: service.node_health("passing"), at(1) | moved | node_moved),
            ("node left", service.remove_node, at(1) | moved),
        ]:
            made = run.change(label, do, answer, first)
            led.wait_watched(CALM_S, made.known_at)
            # A server whose disk stalls has the last change later than the next one is begun.
            client_cluster.settle()
    label = f"Consul {client_cluster.version:6}"
    lags = judge(run, f"{label} agent ", record_property)
    assert statistics.median(lags) < MEDIAN_S + stolen(run)
    judge(led, f"{label} leader", record_property)
    soon = statistics.median(led.old_until(one) - one.taken for one in led.changes[1:])
    record_property(
        "freshness",
        f"{label} median: {statistics.median(lags) * 1000:.1f} ms after agents' DNS;"
        f" with the leader's word {soon * 1000:.1f} ms after Consul had taken it",
    )
    assert soon < LEFT_S + stolen(led)


def test_names_of_a_tag_a_new_service_and_a_node(
    client_cluster: RealCluster,
    service: Service,
    guard: Guard,
    tmp_path: Path,
    record_property: Tell,
) -> None:
    cluster = client_cluster
    first, agents = cluster.agents[-1], cluster.agents
    new = Service(cluster, cluster.servers[1])
    new.remove()
    cluster.settle()
    moved, settling = "10.99.0.3", threading.Lock()

    def make(run: Course, label: str, do: Callable[[], object], answer: Answer) -> None:
        # A denial wants a second opinion, of an agent that may learn of it later.
        where = agents if answer == NXDOMAIN else [first]
        run.change(label, do, answer, *where, watched_within=CALM_S + DOUBTED_S)
        # As above; of several at once, each would write over what the others wait to see.
        with settling:
            cluster.settle()

    def tags(run: Course) -> None:
        make(run, "first of a tag", lambda: service.register(1, tag="green"), service.at(1))
        make(run, "another", lambda: service.register(2, tag="green"), service.at(1, 2))
        make(run, "tag taken away", lambda: service.register(1, tag="blue"), service.at(2))

    def appears(run: Course) -> None:
        assert run.changes[0].answer == NXDOMAIN
        make(run, "appears", lambda: new.register(1), new.at(1))
        make(run, "goes", lambda: new.deregister(1), NXDOMAIN)
        make(run, "appears again", lambda: new.register(2), new.at(2))

    def node(run: Course) -> None:
        make(run, "node's address", lambda: service.place(moved), frozenset({moved}))
        # Consul 1.8 does not tell who waits for a node that it is gone.
        run.change("node left", service.remove_node, NXDOMAIN, *agents, watched_within=0)
        time.sleep(UNTOLD_S)
        make(run, "node appears", lambda: service.place(moved), frozenset({moved}))

    scripts = {
        f"green.{service.name}.service.consul": tags,
        f"{new.name}.service.consul": appears,
        f"{service.node}.node.consul": node,
    }
    settings = through_client(cluster, "agent")
    with ExitStack() as stack:
        runs = [
            stack.enter_context(course(settings, tmp_path / name, guard, name, first, RATE // 2))
            for name in scripts
        ]
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda script, run: script(run), scripts.values(), runs))
    new.deregister(2)
    slow = {"node left": UNTOLD_S} if generation(cluster.version) == "debian" else NONE
    for run in runs:
        judge(run, f"Consul {cluster.version:6} names ", record_property, slow)
