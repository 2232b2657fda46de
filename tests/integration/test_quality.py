"""Agents whose data is old, or who lost their leader, on real Consul: who is asked later, when."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.message
import pytest

from consulfwd.config import Agent
from consulfwd.consul.client import Client
from consulfwd.consul.quality import fault
from consulfwd.consul.reply import Reply
from consulfwd.dev.child import PATIENCE_S, Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.integration.asking import ask, data, rcode
from tests.integration.conftest import generation
from tests.integration.served import Served, consul, serve
from tests.integration.services import GALERA
from tests.stalled import Stalls

NAME = "galeradb.service.consul"
EVERY_S = 1.0
# The first look comes within a turn, Raft notices within a second (raft_multiplier 1), then two
# looks tell; doubled for a busy machine.
NOTICED_S = 2 * (1.0 + 3 * EVERY_S * 9 / 8)
# Consul elects a leader and is in step; then one look.
GOOD_AGAIN_S = 15.0
# What Consul says when a server misses its leader, and how often a test may be tried for that.
ELECTION, TRIES = "starting election", 3
# Who was slow to reply is told of as well, which on a busy machine is as it is.
SLOW = re.compile(r" agent \S+ is (suspect|down|probing|up), was ")


@contextmanager
def looked_at(
    folder: Path, guard: Guard, *agents: RealAgent, **more: Any
) -> Iterator[Served]:
    """A server that looks at these agents each second."""
    section = consul(*agents, quality={"every": EVERY_S}, **more)
    with serve({"consul": section}, folder, guard) as served:
        yield served


def told(served: Served, agent: RealAgent, what: str) -> int:
    """How often the log says this of an agent."""
    named = re.escape(f"agent {agent.address}:{agent.dns_port} ")
    return len(re.findall(f"{named}.*{what}", served.said()))


def until(served: Served, condition: Callable[[], object], patience_s: float) -> None:
    """Ask, so that agents are in use, until a condition holds; every answer must be right."""
    for reply in asked_until(served, condition, patience_s):
        assert (rcode(reply), data(reply)) == ("NOERROR", GALERA)


def asked_until(
    served: Served, condition: Callable[[], object], patience_s: float
) -> Iterator[dns.message.Message]:
    """Each answer, until a condition holds; what the disk held up Consul is allowed besides."""
    stalls, ends = Stalls(), time.monotonic() + patience_s
    while not condition():
        late = time.monotonic() - ends
        assert late < 0 or late < stalls.seconds(), served.said()
        yield ask(served.at, NAME)
        time.sleep(0.05)


def ask_for(served: Served, seconds: float) -> None:
    """The same, for so long."""
    ends = time.monotonic() + seconds
    until(served, lambda: time.monotonic() > ends, seconds + 10.0)


@pytest.mark.parametrize("which", ["a follower", "the leader"])
def test_a_server_that_lost_the_others_is_told_so(
    cluster: RealCluster,
    guard: Guard,
    tmp_path: Path,
    which: str,
) -> None:
    leader = cluster.leader()
    follower = next(one for one in cluster.servers if one is not leader)
    left = leader if which == "the leader" else follower
    others = [one for one in cluster.servers if one is not left]
    with looked_at(tmp_path, guard, *cluster.servers) as served:
        for other in others:
            other.freeze()
        until(served, lambda: told(served, left, "knows no leader"), NOTICED_S)
        for other in others:
            other.thaw()
        until(served, lambda: told(served, left, "its data is good again"), GOOD_AGAIN_S)
        assert told(served, left, "knows no leader") == 1
        assert "cannot be asked" not in served.said()


def test_a_client_agent_is_as_good_as_its_server(
    client_cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    client = client_cluster.client
    assert client is not None
    with looked_at(tmp_path, guard, client) as served:
        # The leader goes, and one more: nobody is elected.
        leader = client_cluster.leader()
        gone = [leader, next(one for one in client_cluster.servers if one is not leader)]
        for one in gone:
            one.kill()
        # A query may find the connection to the dead server first.
        wait(served, lambda: told(served, client, "knows no leader"), PATIENCE_S)
        for one in gone:
            one.start()
        wait(served, lambda: told(served, client, "its data is good again"), GOOD_AGAIN_S)


def wait(served: Served, condition: Callable[[], object], patience_s: float) -> None:
    """As `until`, whatever the answers."""
    for _ in asked_until(served, condition, patience_s):
        pass


def test_nothing_is_said_of_agents_that_are_well(
    client_cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    for _ in range(TRIES):
        client_cluster.wait_ready()
        before = elections(client_cluster)
        with looked_at(tmp_path, guard, *client_cluster.agents, policy="round_robin") as served:
            ask_for(served, 4.0)
            lines = [line for line in served.said().splitlines() if not SLOW.search(line)]
        found = [line for line in lines if "ranked" in line or "WARNING agent" in line]
        # A busy machine may have cost them their leader: that is told, and right.
        if not found or elections(client_cluster) == before:
            break
    assert found == []


def elections(cluster: RealCluster) -> int:
    """How often a server looked for a leader so far, by what their logs say."""
    return sum(one.log.read_text(errors="replace").count(ELECTION) for one in cluster.servers)


async def get(agent: RealAgent, **params: str) -> Reply:
    client = Client(Agent(address=agent.address, http_port=agent.http_port))
    try:
        return await client.get("/v1/health/service/consul", params, timeout=PATIENCE_S)
    finally:
        await client.close()


async def test_streaming_replies_say_nothing_of_leaders(client_cluster: RealCluster) -> None:
    streams = generation(client_cluster.version) == "modern"
    # A host that stops the machine may have cost it its leader.
    client_cluster.wait_ready()
    for agent in client_cluster.agents:
        plain = await get(agent, stale="")
        assert (plain.streaming, plain.known_leader, plain.filtered_by_acls) == (False, True, False)
        assert plain.last_contact is not None
        # In seconds, and of now: on a busy machine a heartbeat may be late.
        assert plain.last_contact < 5
        assert plain.index is not None
        waited = await get(agent, stale="", index=str(plain.index), wait="100ms")
        assert waited.streaming == streams
        assert waited.known_leader == (None if streams else True)
        assert fault(waited, 5.0) == ""


def test_a_token_that_is_refused_is_told_once_and_costs_no_answer(
    acl_cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("00000000-0000-4000-8000-000000000000")
    section = consul(acl_cluster.servers[0], quality={"every": EVERY_S}, watch={"enabled": False})
    section["agents"][0]["token_file"] = str(file)
    with serve({"consul": section}, tmp_path, guard) as served:
        first = acl_cluster.servers[0]
        until(served, lambda: told(served, first, "refuses the token of .*: HTTP 403"), 8.0)
        ask_for(served, 4.0)
        assert told(served, first, "refuses the token") == 1
        assert told(served, first, "cannot be asked") == 0
        assert told(served, first, "ranked") == 0
        assert file.read_text() not in served.said()
