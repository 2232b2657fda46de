"""What happens to whole clusters of real Consul under load: elections, pauses, restarts, rights
that are lost. Where Consul can answer, no query is lost, none is answered wrongly, none waits.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import DNS_RULES, RealAgent, RealCluster
from consulfwd.errors import StartError
from tests.integration.asking import ask, data, question, rcode
from tests.integration.conftest import NEWEST
from tests.integration.faulted import (
    DEADLINE_S,
    FAILED,
    QUESTIONS,
    RIGHT,
    STALE,
    STALL_S,
    Tell,
    all_facts,
    answered_at,
    consul,
    run,
    verdict,
)
from tests.integration.load import Load
from tests.integration.served import at, serve

RATE = 200
CALM_S = 0.5
FROZEN_S = 6.0
FLAPS = 5


def section(*agents: RealAgent) -> dict[str, Any]:
    return {"consul": consul(*agents, reverse=["10.0.0.0/8"])}


def kill(agent: RealAgent) -> None:
    agent.kill()


def freeze(agent: RealAgent) -> None:
    agent.freeze()


@NEWEST
@pytest.mark.parametrize("harm", [kill, freeze])
def test_the_leader_fails(
    cluster: RealCluster,
    guard: Guard,
    tmp_path: Path,
    harm: Callable[[RealAgent], None],
    record_property: Tell,
) -> None:
    leader = cluster.leader()
    others = [one for one in cluster.servers if one is not leader]
    expected = all_facts(at(leader), QUESTIONS)
    with run(section(leader, *others), tmp_path, guard, QUESTIONS, expected, rate=RATE) as under:
        time.sleep(CALM_S)
        under.mark("election")
        harm(leader)
        others[0].wait_until(lambda: led_by(others, cluster), "led by another")
        under.mark("return")
        cluster.heal()
        time.sleep(1.0)
    under.tell(record_property, f"Consul {cluster.version}, leader: {harm.__name__}")
    assert under.other(RIGHT) == []
    assert under.late() == []
    assert under.hedges_are_few()


def led_by(servers: list[RealAgent], cluster: RealCluster) -> bool:
    try:
        return cluster.leader() in servers
    except StartError:
        return False


def test_all_are_frozen_and_released(
    cluster: RealCluster, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    expected = all_facts(at(cluster.servers[0]), QUESTIONS)
    cold = [question(f"cold{number}.service.consul").to_wire() for number in range(5)]
    settings = section(*cluster.servers)
    with run(settings, tmp_path, guard, QUESTIONS, expected, rate=RATE) as under:
        time.sleep(CALM_S)
        frozen = under.mark("frozen")
        for agent in cluster.servers:
            agent.freeze()
        time.sleep(1.0)
        # A busy machine may take seconds to start it.
        load = Load(under.served.at, 10, cold, held=True)
        load.go()
        time.sleep(2.0)
        never_asked = load.stop()
        time.sleep(max(frozen + FROZEN_S - time.monotonic(), 0))
        released = under.mark("released")
        for agent in cluster.servers:
            agent.thaw()
        time.sleep(2.0)
    fresh = min(
        answered_at(one) - released
        for one in under.results
        if under.verdict(one) == RIGHT and answered_at(one) > released
    )
    asked = under.counted("upstream", released, released + 1.0)
    queries = under.counted("queries", released, released + 1.0)
    under.tell(record_property, f"Consul {cluster.version}, all frozen")
    record_property(
        "failover",
        f"  the first fresh answer {fresh * 1000:.0f} ms after release;"
        f" {asked} upstream queries for {queries} of clients in the second after it",
    )
    assert under.other(RIGHT, STALE, FAILED) == []
    assert under.given_up() == []
    assert under.slowest() < DEADLINE_S + STALL_S
    assert {verdict(one.reply, []) for one in never_asked} == {FAILED}
    assert max(one.took_s or 0.0 for one in never_asked) < DEADLINE_S + STALL_S
    assert fresh < 1.0 + under.stall()
    assert asked < 1.5 * queries + 50
    assert under.hedges_are_few()


def test_the_whole_cluster_is_restarted(
    cluster: RealCluster, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    expected = all_facts(at(cluster.servers[0]), QUESTIONS)
    settings = section(*cluster.servers)
    with run(settings, tmp_path, guard, QUESTIONS, expected, rate=RATE) as under:
        time.sleep(CALM_S)
        under.mark("killed")
        for agent in cluster.servers:
            agent.kill()
        time.sleep(0.5)
        cluster.heal()
        under.mark("back")
        time.sleep(1.5)
    under.tell(record_property, f"Consul {cluster.version}, all restarted")
    assert under.other(RIGHT, STALE, FAILED) == []
    assert under.given_up() == []
    assert under.slowest() < DEADLINE_S + STALL_S
    assert under.hedges_are_few()


@NEWEST
def test_one_hangs_every_other_second(
    cluster: RealCluster, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    first = cluster.servers[0]
    expected = all_facts(at(first), QUESTIONS)
    settings = section(*cluster.servers)
    with run(settings, tmp_path, guard, QUESTIONS, expected, rate=RATE) as under:
        for _ in range(FLAPS):
            time.sleep(1.0)
            first.freeze()
            time.sleep(1.0)
            first.thaw()
    under.tell(record_property, f"Consul {cluster.version}, flapping")
    assert under.other(RIGHT) == []
    assert under.late() == []
    assert under.hedges_are_few()


def blind(cluster: RealCluster, agent: RealAgent) -> None:
    """Let an agent's DNS read all that it could before but one service."""
    rules = f'{DNS_RULES}\nservice "web" {{ policy = "deny" }}'
    give(agent, cluster.create_token(rules))


def give(agent: RealAgent, secret: str) -> None:
    agent.http("PUT", "/v1/agent/token/default", {"Token": secret})


@contextmanager
def seeing_again(cluster: RealCluster, agent: RealAgent) -> Iterator[None]:
    """Give an agent all rights of DNS back, whatever happens in the block."""
    try:
        yield
    finally:
        give(agent, cluster.create_token(DNS_RULES))
        agent.wait_until(lambda: data(ask(at(agent), "web.service.consul")), "seeing again")


def test_the_first_loses_the_right_to_a_service(
    acl_cluster: RealCluster, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    first, *others = acl_cluster.servers
    expected = all_facts(at(others[0]), QUESTIONS)
    settings = section(*acl_cluster.servers)
    with (
        seeing_again(acl_cluster, first),
        run(settings, tmp_path, guard, QUESTIONS, expected, rate=RATE) as under,
    ):
        time.sleep(CALM_S)
        under.mark("lost")
        blind(acl_cluster, first)
        first.wait_until(lambda: denies(first), "denied the service")
        time.sleep(3.0)
    under.tell(record_property, f"Consul {acl_cluster.version}, denied by ACL")
    assert under.other(RIGHT) == []
    assert under.late() == []
    assert under.hedges_are_few()
    assert under.counted("second_opinions") >= 1
    assert f"{first.address}:{first.dns_port} is suspect" in under.served.said()


def denies(agent: RealAgent) -> bool:
    return rcode(ask(at(agent), "web.service.consul")) == "NXDOMAIN"


def test_from_a_cold_start_the_first_is_believed(
    acl_cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    first = acl_cluster.servers[0]
    with seeing_again(acl_cluster, first):
        blind(acl_cluster, first)
        first.wait_until(lambda: denies(first), "denied the service")
        with serve(section(*acl_cluster.servers), tmp_path, guard) as served:
            assert rcode(ask(served.at, "web.service.consul")) == "NXDOMAIN"
            # Nothing speaks against it; that the agents differ is there to be seen.
            command = ["-m", "consulfwd.cli.main", "resolve", "--compare", "-c", str(served.file)]
            done = subprocess.run(
                [sys.executable, *command, "web.service.consul"],
                capture_output=True, text=True, check=False, timeout=20,
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (1, "")
