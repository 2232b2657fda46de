"""An agent dies, or hangs, under load: no query is lost, none is answered wrongly, none waits.

All three agents in turn, so that the first in order and the leader are among them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.integration.faulted import (
    DEADLINE_S,
    QUESTIONS,
    RIGHT,
    Tell,
    all_facts,
    consul,
    run,
)
from tests.integration.served import at

RATE = 500
# Gone for longer than a query may take.
CALM_S, GONE_S, BACK_S = 0.5, DEADLINE_S + 0.5, 1.0
NOTEWORTHY_S = 0.050


def kill(cluster: RealCluster, agent: RealAgent) -> None:
    agent.kill()
    time.sleep(GONE_S)
    agent.start()
    cluster.wait_ready()


def freeze(cluster: RealCluster, agent: RealAgent) -> None:
    agent.freeze()
    time.sleep(GONE_S)
    agent.thaw()
    cluster.wait_ready()


@pytest.mark.parametrize("harm", [kill, freeze])
@pytest.mark.timeout(180)
def test_no_query_suffers(
    cluster: RealCluster,
    guard: Guard,
    tmp_path: Path,
    harm: Callable[[RealCluster, RealAgent], None],
    record_property: Tell,
) -> None:
    expected = all_facts(at(cluster.servers[0]), QUESTIONS)
    settings = {"consul": consul(*cluster.servers, reverse=["10.0.0.0/8"])}
    labels = []
    with run(settings, tmp_path, guard, QUESTIONS, expected, rate=RATE) as under:
        for agent in cluster.servers:
            leads = ", leader" if agent is cluster.leader() else ""
            labels.append(f"{harm.__name__} {agent.name}{leads}")
            under.mark(labels[-1])
            time.sleep(CALM_S)
            harm(cluster, agent)
            time.sleep(BACK_S)
    under.tell(record_property, f"Consul {cluster.version}, {harm.__name__} each")
    for label in labels:
        within = under.within(label)
        slow = sum((one.took_s or 0) > NOTEWORTHY_S for one in within)
        record_property(
            "failover",
            f"  {label}: {len(within)} queries, slowest {under.slowest(label) * 1000:.1f} ms,"
            f" {slow} over {NOTEWORTHY_S * 1000:.0f} ms;"
            f" queries sent at most {max(one.late_s for one in within) * 1000:.1f} ms late",
        )
    sent = sum(len(under.within(label)) for label in labels)
    assert sent > 0.95 * RATE * (under.begun("end") - under.begun(labels[0]))
    assert under.other(RIGHT) == []
    assert under.late() == []
    assert under.hedges_are_few()
