"""A server that is behind the others: what a watch has seen go is not given out on its word.

Consul's raft is told that it is a member no more, so that it hears of no change and answers from
what it knew. A disk that stalls does the same for a while.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.integration.asking import At, ask, data
from tests.integration.served import at, consul, serve

NAME = "behind.service.consul"
OLD, NEW = {"10.7.0.1", "10.7.0.2"}, {"10.7.0.3", "10.7.0.4"}
# What follows a change is looked at for so long: several times what it takes to settle.
LOOK_S = 2.5


def operations(addresses: set[str]) -> list[dict[str, object]]:
    """What lets the service have these instances and no other."""
    found: list[dict[str, object]] = []
    for number, address in enumerate(sorted(addresses)):
        node = {"Node": f"behind{number}", "Address": address}
        service = {"ID": "behind", "Service": "behind", "Port": 80}
        found.append({"Node": {"Verb": "set", "Node": node}})
        found.append({"Service": {"Verb": "set", "Node": node["Node"], "Service": service}})
    return found


@contextmanager
def left_behind(cluster: RealCluster, follower: RealAgent) -> Iterator[None]:
    """A follower hears of no change, for as long as the block lasts."""
    peer = f"{follower.address}:{follower.server_port}"
    cluster.leader().http("DELETE", f"/v1/operator/raft/peer?address={peer}")
    try:
        yield
    finally:
        follower.kill()
        cluster.heal()


def asked(where: At, seconds: float) -> Iterator[set[str]]:
    """What is answered, again and again."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        yield set(data(ask(where, NAME)))


def test_what_left_is_given_out_on_nobodys_word(
    cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    leader = cluster.leader()
    follower, *others = sorted(cluster.servers, key=lambda one: one is leader)
    cluster.http("PUT", "/v1/txn", operations(OLD))
    cluster.settle()
    settings = {"consul": consul(follower, *others, watch={"source": "leader"})}
    try:
        with serve(settings, tmp_path, guard) as served:
            # Asked so often, it is watched, and proofs are wanted.
            assert all(found == OLD for found in asked(served.at, 2.0)), served.said()
            with left_behind(cluster, follower):
                leader.http("PUT", "/v1/txn", operations(NEW))
                answers = [frozenset(found) for found in asked(served.at, LOOK_S)]
                # It is behind, and it is asked: that the leader's word counts is what shows.
                assert set(data(ask(at(follower), NAME))) == OLD
            assert set(answers) <= {frozenset(OLD), frozenset(NEW)}
            told = answers.index(frozenset(NEW))
            assert answers[told:].count(frozenset(OLD)) == 0
    finally:
        for number in range(2):
            cluster.http("PUT", "/v1/catalog/deregister", {"Node": f"behind{number}"})
