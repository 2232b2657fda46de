"""Two publishers and a BIND, each on a host of its own: who is cut from whom, and who writes then.

Consul's servers are on one network, BIND is on another: who is cut off from Consul may reach BIND
all the same, so that nothing but its own clock and Consul's word keep it from writing. The rows are
those of `docs/publish-one-writer.md`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster
from consulfwd.dev.real_catalog import health, unless_changed
from tests.integration.conftest import NEWEST
from tests.integration.namespaces import Network, network
from tests.integration.publishers import (
    CAUGHT,
    INSTANCES,
    KEYS,
    SHORT,
    TTL,
    Publishers,
    bounded,
    killed_s,
)
from tests.integration.pushing import STEPS
from tests.stalled import Stalls

BOTH = {"10.1.0.1", "10.1.0.2"}
ELECTION_S = 15.0
# What has Consul's word when it is cut off may be written at once; it takes so long (seconds).
AT_ONCE_S = 1.0
PLAN = {
    name: {"lan": f"10.81.0.{n}/24", "site": f"10.83.0.{n}/24"}
    for n, name in enumerate(("one", "other", "third"), 1)
} | {"far": {"lan": "10.81.0.9/24", "site": "10.83.0.9/24"}, "dns": {"site": "10.83.0.53/24"}}
SERVERS = ("one", "other", "third")
_number = itertools.count(1)

pytestmark = pytest.mark.timeout(300)


class Apart(NamedTuple):
    """Hosts, three with a server of Consul's, and one with BIND."""

    network: Network
    cluster: RealCluster

    def set_health(self, agent: RealAgent, status: str) -> None:
        """Have the first instance be this, by an agent that knows a leader."""
        change = health("node1", "app-1", status)

        def taken() -> bool:
            checks = agent.http("GET", "/v1/health/node/node1")
            (now,) = [one for one in checks if one["ServiceID"] == "app-1"]
            if now["Status"] != status:
                # One of before may come to the leader that is, from who was cut off.
                agent.http("PUT", "/v1/txn", [unless_changed(change, now["ModifyIndex"])])
            return True

        agent.wait_until(taken, "able to write")


@pytest.fixture(scope="module")
def apart(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    with network(PLAN) as made:
        by_address = {made.hosts[name].addresses["lan"]: made.hosts[name] for name in SERVERS}
        cluster = RealCluster(
            consul_binary,
            list(by_address),
            workdir=tmp_path_factory.mktemp("apart"),
            extra={"client_addr": "0.0.0.0", "session_ttl_min": "1s"},
            within=lambda address: by_address[address].inside(),
        )
        with cluster:
            cluster.register_all(INSTANCES)
            yield Apart(made, cluster)


def among(
    apart: Apart, folder: Path, guard: Guard, zones: dict[str, str], *on: str, **more: Any
) -> Publishers:
    """Publishers on two hosts."""
    hosts = {who: apart.network.hosts[name] for who, name in zip(KEYS, on, strict=True)}
    return Publishers(
        folder,
        guard,
        zones,
        hosts=hosts,
        bind_host=apart.network.hosts["dns"],
        primaries={who: host.addresses["site"] for who, host in hosts.items()},
        **more,
    )


@pytest.fixture
def pair(apart: Apart, guard: Guard, tmp_path: Path) -> Iterator[Publishers]:
    """One is active, and the other one waits, on a host without a server.

    It may lose its session at any time: that is none of what it waits for.
    """
    # What Consul remembers of one pair is not another one's.
    zone = f"pair-{next(_number)}.example"
    folder, locks = tmp_path / "pair", (CAUGHT, SHORT)
    found = among(apart, folder, guard, {zone: "updated"}, "one", "far", locks=locks)
    try:
        found.start("one", apart.cluster.servers[:2])
        found.wait_hold(BOTH)
        found.start("other", apart.cluster.servers[1:])
        found.wait_backup("other")
        yield found
    finally:
        found.close()
        apart.set_health(apart.cluster.servers[2], "passing")


def test_cut_off_at_every_step(apart: Apart, guard: Guard, tmp_path: Path) -> None:
    """One from Consul, though not from BIND; one from all others."""
    hosts, servers = apart.network.hosts, apart.cluster.servers
    every = {f"{step}.{kind}.cut": kind for kind, steps in STEPS.items() for step in steps}
    some = {f"{step}.far": "updated" for step in ("ask-1", "write-1", "ask-2", "verify")}
    cut = among(apart, tmp_path / "cut", guard, every, "one", "other")
    far = among(apart, tmp_path / "far", guard, some, "far", "other")
    try:
        # Each has agents of both sides: being alone, none of them is of use.
        cut.start("one", servers[:2], hold=True)
        far.start("one", servers[1:], hold=True)
        for group in (cut, far):
            group.wait_held("one")
            group.start("other", servers[1:])
            group.wait_backup("other")
        apart.network.cut(hosts["one"], "lan")
        apart.network.cut(hosts["far"])
        begun, at, stalls = time.time(), time.monotonic(), Stalls()
        # As soon as it may go on: it has no word of Consul's any more, and its own clock goes on.
        for group in (cut, far):
            group.release()
        apart.set_health(servers[2], "critical")
        most = killed_s() + ELECTION_S
        for group, whom in ((cut, "Consul"), (far, "all")):
            took = group.wait_active("other", begun)
            bounded(4, f"cut off from {whom}, until the next one is active", took, most,
                    stalls.seconds(), ends=CAUGHT)  # fmt: skip
            group.wait_hold({"10.1.0.2"})
            assert group.children["one"].running
            for zone in group.zones:
                ((active_at, number),) = group.active("other", zone)
                # By its own clock it had stopped long before.
                assert (active_at - begun > TTL, number) == (True, 2), zone
        for group, soon in ((cut, AT_ONCE_S), (far, 0.1)):
            # BIND takes what came before once the disk has what came before that.
            ends = begun + stalls.after(at, soon) - at
            assert [one for one in group.bind.writes() if one.who == "one" and one.at > ends] == []
        apart.network.mend(hosts["one"], "lan")
        apart.network.mend(hosts["far"])
        for group in (cut, far):
            group.wait_backup("one", of="other")
            for zone in group.zones:
                group.writes_as_active(zone)
            group.never_two()
    finally:
        apart.network.mend(hosts["one"])
        apart.network.mend(hosts["far"])
        cut.close()
        far.close()
        apart.cluster.rejoin()
        apart.cluster.wait_ready()
        apart.set_health(servers[2], "passing")


@NEWEST
def test_a_backup_that_is_cut_off_changes_nothing(apart: Apart, pair: Publishers) -> None:
    hosts, servers = apart.network.hosts, apart.cluster.servers
    (zone,) = pair.zones
    apart.network.cut(hosts["far"])
    try:
        time.sleep(SHORT["ttl"] + 1.0)
        apart.set_health(servers[2], "critical")
        stalls = Stalls()
        took = pair.wait_hold({"10.1.0.2"})
        bounded(8, "a backup is cut off: a change is in the zone all the same", took, 5.0,
                stalls.seconds())  # fmt: skip
        assert pair.numbers(zone) == [1]
        assert "no longer active" not in pair.log("one")
    finally:
        apart.network.mend(hosts["far"])
    apart.set_health(servers[2], "passing")
    pair.wait_hold(BOTH)
    assert pair.turns(zone) == ["one"]


@NEWEST
def test_publishers_cut_off_from_the_target_go_on_trying(apart: Apart, pair: Publishers) -> None:
    """Whoever has the lock keeps it: another one would be no better off."""
    hosts, servers = apart.network.hosts, apart.cluster.servers
    (zone,) = pair.zones
    apart.network.cut(hosts["dns"])
    try:
        apart.set_health(servers[2], "critical")
        pair.wait(lambda: "updates of" in pair.log("one").partition("ERROR")[2], "its push fails")
        # For longer than a session lasts that nobody renews.
        time.sleep(TTL + 1.0)
        assert pair.numbers(zone) == [1]
        assert "no longer active" not in pair.log("one")
    finally:
        apart.network.mend(hosts["dns"])
    stalls = Stalls()
    took = pair.wait_hold({"10.1.0.2"})
    bounded(11, "cut off from the target, until it has all after that", took, 30.0,
            stalls.seconds())  # fmt: skip
    assert (pair.turns(zone), pair.numbers(zone)) == (["one"], [1])
