"""Agents on hosts of their own, as in production, and networks that fail between them and us.

Needs root, for network namespaces: see `namespaces`. Each agent's host is on two networks: one,
`cluster`, with the other agents, one, `clients`, with us. Off the host other rules hold than for
agents on loopback: random ports, and a receive buffer of 1232 octets.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.message
import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster
from tests.integration.asking import At, ask, facts
from tests.integration.conftest import NEWEST
from tests.integration.faulted import (
    DEADLINE_S,
    FAILED,
    QUESTIONS,
    RIGHT,
    STALE,
    STALL_S,
    Run,
    Tell,
    all_facts,
    run,
)
from tests.integration.load import Result
from tests.integration.namespaces import Network, network
from tests.integration.served import serve
from tests.integration.services import DEFINITIONS, fill

CLUSTER, CLIENTS = "cluster", "clients"
SERVERS = ("one", "two", "three")
PLAN = {
    name: {CLUSTER: f"10.77.0.{n}/24", CLIENTS: f"10.78.0.{n}/24"}
    for n, name in enumerate(SERVERS, 1)
} | {"us": {CLIENTS: "10.78.0.100/24"}}

BIG_SRV = ("big.service.consul", "SRV")
RATE = 300
SLOWEST_S = 1.0
# `rpc_hold_timeout`, and the looks before and after.
HOLD_S = 9.0
CALM_S, BACK_S = 0.5, 1.0


class Site:
    """Three servers, each on a host of its own, and the host of their client: `us`.

    `hosts` and `agents` are in the order in which they are to be asked.
    """

    def __init__(self, network: Network, cluster: RealCluster) -> None:
        self.network = network
        self.cluster = cluster
        self.us = network.hosts["us"]
        self.hosts = [network.hosts[name] for name in SERVERS]
        self.agents = list(cluster.servers)

    def put_first(self, *, leader: bool) -> None:
        """Let the leader be the first in order, or else the last."""
        leads = self.cluster.leader()
        found = sorted(
            zip(self.hosts, self.agents, strict=True),
            key=lambda pair: (pair[1] is leads) is not leader,
        )
        self.hosts, self.agents = [host for host, _ in found], [agent for _, agent in found]

    def at(self, number: int) -> At:
        """Where the DNS of an agent is for us."""
        return self.hosts[number].addresses[CLIENTS], self.agents[number].dns_port

    def consul(self, **more: Any) -> dict[str, Any]:
        """The `consul` section with all agents in their order; no watches, so that all is asked."""
        found = [
            {
                "address": host.addresses[CLIENTS],
                "dns_port": agent.dns_port,
                "http_port": agent.http_port,
            }
            for host, agent in zip(self.hosts, self.agents, strict=True)
        ]
        return {
            "agents": found,
            "reverse": ["10.0.0.0/8"],
            "watch": {"enabled": False},
            **more,
        }

    def wait_for_the_first(self, seconds: float = 40.0) -> float:
        """Return when nearly all queries go to the first agent again; how long that took."""
        begin = time.monotonic()
        before = self._asked()
        while time.monotonic() - begin < seconds:
            time.sleep(0.2)
            now = self._asked()
            first, *others = (after - then for after, then in zip(now, before, strict=True))
            if first > 9 * sum(others):
                return time.monotonic() - begin
            before = now
        pytest.fail("the first agent is not asked any more")

    def _asked(self) -> list[int]:
        """How many packets of ours have reached each agent's host."""
        return [self.network.received(host, CLIENTS) for host in self.hosts]

    def heal(self) -> None:
        """Plug everything in again, and wait for the cluster."""
        for host in self.network.hosts.values():
            self.network.mend(host)
        self.cluster.rejoin()
        self.cluster.wait_ready()


@pytest.fixture(scope="module")
def built(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with network(PLAN) as made:
        by_address = {host.addresses.get(CLUSTER): host for host in made.hosts.values()}
        cluster = RealCluster(
            consul_binary,
            [made.hosts[name].addresses[CLUSTER] for name in SERVERS],
            workdir=tmp_path_factory.mktemp("apart"),
            definitions=DEFINITIONS,
            extra={"client_addr": "0.0.0.0"},
            within=lambda address: by_address[address].inside(),
        )
        with cluster:
            fill(cluster)
            yield Site(made, cluster)


@pytest.fixture
def site(built: Site) -> Iterator[Site]:
    yield built
    built.heal()


def test_off_host_answers_are_what_the_agent_says(
    site: Site, guard: Guard, tmp_path: Path
) -> None:
    with site.us.inside(), serve({"consul": site.consul()}, tmp_path, guard) as served:
        for name, rtype in [*QUESTIONS, BIG_SRV]:
            whole = facts(ask(site.at(0), name, rtype, tcp=True))
            assert facts(ask(served.at, name, rtype, tcp=True)) == whole
            assert facts(ask(served.at, name, rtype, edns=65000)) == whole


@NEWEST
def test_answers_that_lose_their_fragments(site: Site, guard: Guard, tmp_path: Path) -> None:
    # The SRV records are some 3600 octets over UDP, in three fragments.
    with site.us.inside(), serve({"consul": site.consul()}, tmp_path, guard) as served:
        whole = facts(ask(site.at(0), *BIG_SRV, tcp=True))
        with site.us.without_fragments():
            for _ in range(3):
                assert facts(ask(served.at, *BIG_SRV, edns=65000)) == whole


@contextmanager
def under_load(
    site: Site,
    tmp_path: Path,
    guard: Guard,
    questions: list[tuple[str, str]] = QUESTIONS,
    **more: Any,
) -> Iterator[Run]:
    """A server and its clients on the host `us`, all well for a moment."""
    with site.us.inside():
        expected = all_facts(site.at(1), questions)
        settings = {"consul": site.consul(**more)}
        with run(settings, tmp_path, guard, questions, expected, rate=RATE) as under:
            time.sleep(CALM_S)
            yield under


def answered_at(result: Result) -> float:
    """When a query had its answer, by the monotonic clock."""
    assert result.took_s is not None
    return result.sent_at + result.took_s


@NEWEST
def test_the_first_agents_host_is_cut_off(
    site: Site, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    site.put_first(leader=True)
    with under_load(site, tmp_path, guard) as under:
        under.mark("cut")
        site.network.cut(site.hosts[0])
        time.sleep(6.0)
        under.mark("back")
        site.network.mend(site.hosts[0])
        first = site.wait_for_the_first()
        time.sleep(BACK_S)
    under.tell(record_property, f"{site.cluster.version}, leader's host cut off")
    assert under.other(RIGHT) == []
    assert under.slowest() <= SLOWEST_S + under.stall()
    assert under.hedges_are_few()
    record_property("failover", f"  first in order again after {first:.1f} s")


@NEWEST
def test_the_first_agents_link_limps(
    site: Site, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    with under_load(site, tmp_path, guard) as under:
        under.mark("limping")
        with site.network.limping(site.hosts[0], CLIENTS, loss=0.3, delay_s=0.15):
            time.sleep(4.0)
        under.mark("well")
        first = site.wait_for_the_first()
        time.sleep(BACK_S)
    under.tell(record_property, f"{site.cluster.version}, 30 % loss, 300 ms delay")
    assert under.other(RIGHT) == []
    assert under.slowest() <= SLOWEST_S + under.stall()
    assert under.hedges_are_few()
    record_property("failover", f"  first in order again after {first:.1f} s")


@NEWEST
@pytest.mark.parametrize(("where", "seconds"), [("at the agents", 5.0), ("here", 2.0)])
def test_nobody_is_reached(
    site: Site, guard: Guard, tmp_path: Path, where: str, seconds: float, record_property: Tell
) -> None:
    with under_load(site, tmp_path, guard) as under:
        under.mark("cut")
        if where == "here":
            site.us.ip(f"link set {CLIENTS} down")
        else:
            for host in site.hosts:
                site.network.cut(host, CLIENTS)
        time.sleep(seconds)
        back = under.mark("back")
        if where == "here":
            site.us.ip(f"link set {CLIENTS} up")
        else:
            for host in site.hosts:
                site.network.mend(host, CLIENTS)
        time.sleep(1.5)
    under.tell(record_property, f"{site.cluster.version}, all links cut {where}")
    right = [answered_at(one) for one in under.results if under.verdict(one) == RIGHT]
    other = [answered_at(one) for one in under.results if under.verdict(one) != RIGHT]
    fresh = min(at for at in right if at > back) - back
    record_property(
        "failover",
        f"  first fresh answer after {fresh:.3f} s,"
        f" last other one after {max(other) - back:.3f} s",
    )
    assert under.other(RIGHT, STALE, FAILED) == []
    assert under.slowest() <= DEADLINE_S + STALL_S
    assert fresh < 1.0 + under.stall()
    assert {under.verdict(one) for one in under.results if one.sent_at > back + 1.0} == {RIGHT}


@pytest.mark.parametrize(
    ("first", "every", "watch"),
    [("follower", 0, False), ("follower", 1, True), ("leader", 1, False)],
)
def test_the_first_agent_is_cut_off_from_the_others(
    site: Site,
    guard: Guard,
    tmp_path: Path,
    first: str,
    every: float,
    watch: bool,
    record_property: Tell,
) -> None:
    """It answers on, from what it knew when it was cut off. Looking at it by HTTP shows that."""
    cluster = site.cluster
    for n in (1, 2, 3):
        cluster.register(f"leaving{n}", "leaving", address=f"10.0.95.{n}")
    questions = [("leaving.service.consul", "A"), *QUESTIONS]
    site.put_first(leader=first == "leader")
    alone, writer, _ = site.agents
    times: dict[str, float] = {}

    def done(what: str, happened: bool) -> None:
        if happened:
            times.setdefault(what, time.monotonic())

    def both() -> bool:
        """It has noticed that it is alone, and the others know what it does not."""
        done("alone", not alone.knows_leader())
        if "changed" not in times:
            path = "/v1/catalog/deregister"
            done("changed", writer.http("PUT", path, {"Node": "leaving3"}, timeout_s=0.5))
        return len(times) == 2

    more = {"quality": {"every": every}, "watch": {"enabled": watch}}
    with under_load(site, tmp_path, guard, questions, **more) as under:
        (before,) = all_facts(site.at(0), questions[:1])
        cut = under.mark("cut off")
        site.network.cut(site.hosts[0], CLUSTER)
        writer.wait_until(both, "able to write")
        time.sleep(3.0)
        (after,) = all_facts(site.at(1), questions[:1])
        mended = under.mark("mended")
        site.network.mend(site.hosts[0])
        writer.wait_until(lambda: all_facts(site.at(0), questions[:1]) == [after], "joined again")
        joined = under.mark("joined")
        time.sleep(STALL_S + 0.2)
    title = f"{first} first and isolated, looked at every {every} s, watches {watch}"
    under.tell(record_property, f"{cluster.version}, {title}")
    said = {
        one: facts(dns.message.from_wire(b"\0\0" + one.reply))
        for one in under.results
        if one.query == 0 and one.took_s is not None
    }
    old = [answered_at(one) for one in said if said[one] == before]
    apart = max(at for at in old if at < mended)
    record_property(
        "failover",
        f"  s after the cut: the catalog changed {times['changed'] - cut:.1f}, the agent knew no"
        f" leader {times['alone'] - cut:.1f}, our last old answer {apart - cut:.1f}, mended"
        f" {mended - cut:.1f}, the agent caught up {joined - cut:.1f};"
        f" {sum(at >= mended for at in old)} old answers since the mending",
    )
    assert all(one in (before, after) for one in said.values())
    assert [one for one in under.other(RIGHT) if "leaving" not in one] == []
    assert under.slowest() <= SLOWEST_S + under.stall()
    assert under.hedges_are_few()
    if every:
        # A look a second, at most an eighth later; two have to agree, and one may hang for as long
        # as Consul waits for a leader.
        assert apart <= max(times["changed"], times["alone"] + HOLD_S) + STALL_S
    # The election that it causes when it is back may leave all without a leader for a moment:
    # then it is first again, before it has caught up.
    assert max(old) <= joined + 2 * STALL_S
