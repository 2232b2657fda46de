"""Two publishers on real Consul and real BIND: caught at every step of a push, never two of them.

What becomes of them is played side by side, as Consul takes its time, and judged afterwards: whose
updates a zone took is in BIND's log. The session of who is caught lives for 10 s here, unless it is
said otherwise, and that of the other one for longer. The rows are those of
`docs/publish-one-writer.md`; faults of the network are in `test_one_writer_cut`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from consulfwd.config import Agent
from consulfwd.consul.campaign import Campaign, Form
from consulfwd.consul.several import Several
from consulfwd.consul.term import Term
from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster
from consulfwd.zones.orders import Pause
from consulfwd.zones.shared import Shared
from tests.coreless import HeldUp
from tests.integration.conftest import CONSUL, NEWEST
from tests.integration.places import addresses
from tests.integration.publishers import (
    CAUGHT,
    DELAY,
    INSTANCES,
    KEYS,
    LASTING,
    PATIENCE_S,
    SHORT,
    TTL,
    USUAL,
    Publishers,
    bounded,
    killed_s,
    publishers,
)
from tests.integration.pushing import STEPS, Note, notes
from tests.stalled import Stalls

NETWORK = 73
BOTH = {"10.1.0.1", "10.1.0.2"}
EVERY_STEP = {
    f"{step}.{kind}.example": kind for kind, steps in STEPS.items() for step in steps
}
RULES = """
node_prefix "" { policy = "read" }
service_prefix "" { policy = "read" }
session_prefix "" { policy = "write" }
key_prefix "consulfwd/zones/" { policy = "write" }
"""
ELECTION_S = 15.0
# Long enough for an election meanwhile, on a machine that stands still, too.
LONGER = {**CAUGHT, "ttl": 15.0}
KEY = "/v1/kv/consulfwd/zones/{}/"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def servers(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """Three servers and a client agent, and sessions as short as tests need them."""
    with RealCluster(
        consul_binary,
        addresses(NETWORK, 11, 12, 13),
        client_address=addresses(NETWORK, 14)[0],
        workdir=tmp_path_factory.mktemp("writers"),
        extra={"session_ttl_min": "1s"},
    ) as cluster:
        cluster.register_all(INSTANCES)
        yield cluster


class Played(NamedTuple):
    """Who was caught, how long each takeover took (seconds), and the disk was stalled meanwhile.

    From `thawed` on the one that stood still went on; until it `leaves` the other one was active.
    """

    killed: Publishers
    killed_took: float
    stopped: Publishers
    stopped_took: float
    stalled: float
    thawed: float
    leaves: float
    order: Publishers
    order_took: list[tuple[float, float]]


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest,
    servers: RealCluster,
    guard: Guard,
    tmp_path_factory: pytest.TempPathFactory,
) -> Played:
    """One is killed, one stopped, and two take turns meanwhile."""
    if servers.binary == [*CONSUL.values()][-1]:
        # What takes longest begins.
        for name in ("usual", "guarded"):
            request.getfixturevalue(name)
    folder = tmp_path_factory.mktemp("played")
    assert servers.client is not None
    at = {"one": [servers.client, *servers.servers], "other": servers.servers}
    with contextlib.ExitStack() as stack:

        def among(name: str, zones: dict[str, str], **more: Any) -> Publishers:
            return stack.enter_context(publishers(folder / name, guard, zones, **more))

        killed, stopped = (
            among(name, {zone.replace("example", name): kind for zone, kind in EVERY_STEP.items()})
            for name in ("killed", "stopped")
        )
        zones = {"a.order": "updated", "b.order": "primary"}
        order = among("order", zones, locks=(LASTING, LASTING))
        for group in (killed, stopped):
            group.start("one", at["one"], hold=True)
        order.start("one", at["one"])
        for group in (killed, stopped):
            group.wait_held("one")
            group.start("other", at["other"])
        order.start("other", at["other"])
        for group in (killed, stopped, order):
            group.wait_backup("other")
        begun, stalls = time.time(), Stalls()
        killed.children["one"].kill()
        stopped.children["one"].freeze()
        servers.set_health("node1", "app-1", "critical")
        took = [*_turns(order, at)]
        killed_took = killed.wait_active("other", begun)
        stopped_took = stopped.wait_active("other", begun)
        stalled = stalls.seconds()
        stopped.wait_hold({"10.1.0.2"})
        killed.wait_hold({"10.1.0.2"})
        # Where it stands it knows of neither this change nor the one before.
        servers.set_health("node1", "app-1", "passing")
        stopped.wait_hold(BOTH)
        thawed = time.time()
        stopped.release()
        stopped.children["one"].thaw()
        stopped.wait_backup("one", of="other")
        leaves = time.time()
        stopped.children["other"].terminate()
        stopped.wait_active("one", leaves)
        servers.set_health("node1", "app-1", "critical")
        for group in (killed, stopped, order):
            group.wait_hold({"10.1.0.2"})
        assert stopped.children["one"].running
    servers.set_health("node1", "app-1", "passing")
    return Played(killed, killed_took, stopped, stopped_took, stalled, thawed, leaves, order, took)


def _turns(
    order: Publishers, at: dict[str, Sequence[RealAgent]]
) -> Iterator[tuple[float, float]]:
    """Let two publishers take turns, each ended in order.

    How long each takeover took, and the disk was stalled meanwhile.
    """
    for leaves, follows in (("one", "other"), ("other", "one"), ("one", "other")):
        began, stalls = time.time(), Stalls()
        order.children[leaves].terminate()
        yield order.wait_active(follows, began), stalls.seconds()
        order.start(leaves, at[leaves])
        order.wait_backup(leaves)


def test_killed_at_every_step(played: Played) -> None:
    killed = played.killed
    bounded(2, "killed, until the next one is active", played.killed_took, killed_s(),
            played.stalled, ends=CAUGHT)  # fmt: skip
    killed.never_two()
    for zone in killed.zones:
        assert killed.turns(zone) in (["other"], ["one", "other"]), zone
        assert killed.numbers(zone)[-1] == 2


def test_stopped_at_every_step(played: Played) -> None:
    """It goes on where it stood, after another one has begun, and finds out before it writes."""
    stopped = played.stopped
    bounded(3, "standing still, until the next one is active", played.stopped_took, killed_s(),
            played.stalled, ends=CAUGHT)  # fmt: skip
    late = [
        one for one in stopped.bind.writes()
        if one.who == "one" and played.thawed < one.at < played.leaves
    ]  # fmt: skip
    assert late == []
    # A primary's journal is of its host alone.
    served = {
        one.zone for one in notes(stopped.folder)
        if one[1::2] == ("one", "served") and played.thawed < one.at < played.leaves
    }  # fmt: skip
    assert served <= {"write-1.primary.stopped"}
    for zone in stopped.zones:
        turns = stopped.turns(zone)
        assert turns in (["other", "one"], ["one", "other", "one"]), (zone, turns)
    stopped.never_two()
    # What was sent on Consul's word all the same BIND refuses: the zone is another one by now.
    refused = (stopped.bind.folder / "updates.log").read_text()
    for zone in ("write-1.updated.stopped", "write-2.updated.stopped"):
        assert f"updating zone '{zone}/IN': update unsuccessful" in refused


def test_in_order_within_two_seconds(played: Played) -> None:
    took, stalled = max(played.order_took, key=lambda one: one[0] - one[1])
    bounded(1, "ended in order, until the next one is active", took, 2.0, stalled)
    played.order.never_two()
    assert {len(played.order.numbers(zone)) for zone in played.order.zones} == {4}


@pytest.fixture(scope="module")
def rows(
    servers: RealCluster, guard: Guard, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Publishers]:
    """Two publishers of zones whose locks and memories are tampered with."""
    zones = {
        f"{name}.rows": "updated" for name in ("destroyed", "deleted", "overtaken", "disk")
    }
    folder = tmp_path_factory.mktemp("rows") / "site"
    with publishers(folder, guard, zones, locks=(LASTING, LASTING)) as found:
        found.start("one", servers.servers)
        found.wait_active("one")
        found.start("other", servers.servers[1:])
        found.wait_backup("other")
        found.wait_hold(BOTH)
        yield found


def entry(servers: RealCluster, zone: str, key: str = ".lock") -> dict[str, Any]:
    """A key of a zone."""
    (found,) = servers.http("GET", KEY.format(zone) + f"{key}?consistent")
    assert isinstance(found, dict)
    return found


def next_active(found: Publishers, zone: str, since: float) -> tuple[float, int]:
    """Wait for the next to be active; return how long that took, and its number."""

    def later() -> list[tuple[float, int]]:
        return [one for who in KEYS for one in found.active(who, zone) if one[0] > since]

    found.wait(later, f"somebody is active in {zone}")
    at, number = min(later())
    return at - since, number


def test_a_session_that_is_destroyed_leaves_the_delay(
    servers: RealCluster, rows: Publishers
) -> None:
    """Its own clock has nothing to do with it: Consul says so at once."""
    zone = "destroyed.rows"
    session = entry(servers, zone)["Session"]
    since, stalls = time.time(), Stalls()
    servers.http("PUT", f"/v1/session/destroy/{session}")
    took, number = next_active(rows, zone, since)
    bounded(12, "its session is destroyed, until the next one is active", took, DELAY + 4.0,
            stalls.seconds())  # fmt: skip
    assert took > DELAY - 0.2
    assert number == 2
    rows.never_two()
    # Of the dead session nothing more is tried: whoever had it is there again with another one.
    again = rf"{zone}(: backup: other since|/\.lock: active, number 2)"
    rows.wait(lambda: re.search(again, rows.log("one")), "it has another session")


def test_a_lock_whose_key_is_deleted(servers: RealCluster, rows: Publishers) -> None:
    zone = "deleted.rows"
    before = entry(servers, zone)["LockIndex"]
    since, stalls = time.time(), Stalls()
    servers.http("DELETE", KEY.format(zone) + ".lock")
    took, number = next_active(rows, zone, since)
    bounded(14, "the lock's key is deleted, until the next one is active", took, 4.0,
            stalls.seconds())  # fmt: skip
    # Consul counts from the beginning, publishers do not.
    assert (before, entry(servers, zone)["LockIndex"], number) == (1, 1, 2)


def test_a_memory_that_a_later_holder_has_written(servers: RealCluster, rows: Publishers) -> None:
    """Unseen by who is active: it cannot write its own any more, and publishes nothing more."""
    zone = "overtaken.rows"
    found = entry(servers, zone, "memory")
    memory = json.loads(base64.b64decode(found["Value"]))
    assert memory["number"] == 1
    since, stalls = time.time(), Stalls()
    servers.http("PUT", KEY.format(zone) + "memory", {**memory, "number": 7})
    # What is withdrawn is to be remembered.
    servers.set_health("node1", "app-1", "critical")
    took, number = next_active(rows, zone, since)
    bounded(15, "its memory is another's, until the next one is active", took, 10.0,
            stalls.seconds())  # fmt: skip
    assert number == 8
    assert "with number 7" in rows.log("one")
    servers.set_health("node1", "app-1", "passing")
    rows.wait_hold(BOTH)


def test_a_disk_that_cannot_be_used(servers: RealCluster, rows: Publishers) -> None:
    """Neither by who is active nor by who is next: what is in Consul counts, and it is told."""
    zone = "disk.rows"
    for who in KEYS:
        # A folder where a file is meant to be: nothing can be read there, or written.
        file = rows.folder / who / f"zone-{zone}.json"
        file.unlink(missing_ok=True)
        file.mkdir()
    since, stalls = time.time(), Stalls()
    servers.http("PUT", f"/v1/session/destroy/{entry(servers, zone)['Session']}")
    took, number = next_active(rows, zone, since)
    bounded(17, "its disk cannot be used, until the next one is active", took, DELAY + 4.0,
            stalls.seconds())  # fmt: skip
    assert number == 2
    said = rows.log("one") + rows.log("other")
    assert f"zone-{zone}.json: is no file" in said
    assert "(what is in Consul counts)" in said
    rows.wait(lambda: "(it is in Consul)" in rows.log("one") + rows.log("other"), "it is told")


@pytest.fixture(scope="module")
def usual(
    consul_binary: Path, guard: Guard, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Publishers, float, Stalls]]:
    """Killed where all is as it is usual; what becomes of that takes its time."""
    folder = tmp_path_factory.mktemp("usual")
    at = addresses(NETWORK + 1, 11)
    with (
        RealCluster(consul_binary, at, workdir=folder / "consul") as cluster,
        publishers(folder / "site", guard, {"a.usual": "updated"}, locks=(USUAL, USUAL)) as found,
    ):
        cluster.register_all(INSTANCES)
        found.start("one", cluster.servers)
        found.wait_hold(BOTH)
        found.start("other", cluster.servers)
        found.wait_backup("other")
        found.children["one"].kill()
        yield found, time.time(), Stalls()


class Guarded(NamedTuple):
    """One server with ACLs, two publishers there, and when the token of one was revoked.

    `stalls` are those of the disk since then.
    """

    cluster: RealCluster
    publishers: Publishers
    revoked: float
    stalls: Stalls


@pytest.fixture(scope="module")
def guarded(
    consul_binary: Path, guard: Guard, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    with (
        RealCluster(
            consul_binary,
            addresses(NETWORK + 2, 11),
            workdir=folder / "consul",
            acl=True,
            extra={"session_ttl_min": "1s"},
        ) as cluster,
        publishers(folder / "site", guard, {"a.guarded": "updated"}) as found,
    ):
        cluster.register_all(INSTANCES)
        secrets = []
        for who in KEYS:
            secrets.append(cluster.create_token(RULES))
            (folder / who).write_text(secrets[-1])
            found.start(who, cluster.servers, token=folder / who)
            if who == "one":
                found.wait_hold(BOTH)
        found.wait_backup("other")
        accessor = cluster.http("GET", "/v1/acl/token/self", token=secrets[0])["AccessorID"]
        begun, stalls = time.time(), Stalls()
        cluster.http("DELETE", f"/v1/acl/token/{accessor}")
        yield Guarded(cluster, found, begun, stalls)


class Shaken(NamedTuple):
    """Publishers of whom one asks agents that have died, and when that was."""

    publishers: Publishers
    at: float


@pytest.fixture(scope="module")
def shaken(
    servers: RealCluster, guard: Guard, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shaken]:
    """One's client agent is killed, and the leader hangs, so that there is another one."""
    folder = tmp_path_factory.mktemp("shaken") / "site"
    client, leader = servers.client, servers.leader()
    assert client is not None
    left = [one for one in servers.servers if one is not leader]
    with publishers(folder, guard, {"a.shaken": "updated"}, locks=(LONGER, LASTING)) as found:
        found.start("one", [client, leader, *left])
        found.wait_hold(BOTH)
        found.start("other", left)
        found.wait_backup("other")
        client.kill()
        leader.freeze()
        yield Shaken(found, time.time())
    servers.heal()


@NEWEST
def test_a_token_that_is_revoked_ends_it(
    usual: tuple[Publishers, float, Stalls], guarded: Guarded, shaken: Shaken
) -> None:
    """It cannot renew its session; whoever has another token goes on."""
    cluster, found, since, stalls = guarded
    took, stalled = found.wait_active("other", since), stalls.seconds()
    (stopped,) = [
        one.at - since for one in notes(found.folder) if (one.who, one.what) == ("one", "stopped")
    ]
    bounded(13, "its token is revoked, until it stops", stopped, TTL + 1.0, stalled)
    bounded(13, "its token is revoked, until the next one is active", took, killed_s(),
            stalled, ends=CAUGHT)  # fmt: skip
    assert took > stopped
    found.wait(lambda: "403" in found.log("one"), "it says why")
    cluster.set_health("node1", "app-1", "critical")
    found.wait_hold({"10.1.0.2"})
    assert found.turns("a.guarded") == ["one", "other"]
    found.never_two()


@NEWEST
def test_agents_and_a_leader_that_die_cost_nobody_the_lock(
    servers: RealCluster, shaken: Shaken
) -> None:
    """A session lives at the servers, whichever agent it was made at."""
    found, at = shaken
    assert servers.client is not None
    servers.client.start()
    # Longer than a session lasts that nobody renews.
    time.sleep(max(0.0, at + LONGER["ttl"] + 1.0 - time.time()))
    servers.set_health("node1", "app-1", "critical")
    stalls = Stalls()
    took = found.wait_hold({"10.1.0.2"})
    assert found.numbers("a.shaken") == [1]
    assert "no longer active" not in found.log("one")
    last = found.bind.writes()[-1]
    assert (last.who, last.at > at + LONGER["ttl"]) == ("one", True)
    for row, what in (
        (5, "its agent is away, others answer"),
        (6, "its client agent dies, and is begun anew"),
        (7, "a server hangs that it asks"),
        (9, "the leader dies, another is elected"),
    ):
        bounded(row, f"{what}: a change is in the zone all the same", took, 20.0,
                stalls.seconds())  # fmt: skip
    servers.set_health("node1", "app-1", "passing")
    servers.heal()


@pytest.fixture(scope="module")
def last(
    servers: RealCluster, guard: Guard, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Publishers]:
    """Two publishers of a zone, of which one is active; for what all of Consul takes part in.

    Either may be who is caught, and may have lost its session before.
    """
    folder = tmp_path_factory.mktemp("last") / "site"
    with publishers(folder, guard, {"a.last": "updated"}, locks=(SHORT, SHORT)) as found:
        found.start("one", servers.servers)
        found.wait_hold(BOTH)
        found.start("other", servers.servers)
        found.wait_backup("other")
        yield found


@NEWEST
def test_restored_from_an_older_snapshot(servers: RealCluster, last: Publishers) -> None:
    """The lock is of somebody gone there, and the memory is old: what is on disk goes on."""
    zone = "a.last"
    # Of a time when one held it; now it is the other's.
    snapshot = _snapshot(servers)
    leaves = time.time()
    last.children["one"].terminate()
    last.wait_active("other", leaves)
    last.start("one", servers.servers)
    last.wait_backup("one")
    since, stalls = time.time(), Stalls()
    _snapshot(servers, snapshot)
    stopped = last.wait(lambda: "no longer active" in last.log("other"), "it stops")
    bounded(16, "Consul is restored, until who is active stops", stopped, 5.0,
            stalls.seconds())  # fmt: skip
    took, _ = next_active(last, zone, since)
    bounded(16, "Consul is restored, until the next one is active", took, killed_s(SHORT),
            stalls.seconds(), ends=SHORT)  # fmt: skip
    # Above all that its host knows of: what others had since the snapshot nobody has told it.
    for who in KEYS:
        own = [each for _, each in last.active(who, zone)]
        assert own == sorted(set(own)), own
    servers.register_all(INSTANCES)
    servers.set_health("node1", "app-1", "critical")
    last.wait_hold({"10.1.0.2"})
    servers.set_health("node1", "app-1", "passing")
    last.wait_hold(BOTH)


def _snapshot(servers: RealCluster, data: bytes | None = None) -> bytes:
    agent = servers.leader()
    connection = http.client.HTTPConnection(agent.address, agent.http_port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET" if data is None else "PUT", "/v1/snapshot", data)
        reply = connection.getresponse()
        assert reply.status == 200
        return reply.read()


@NEWEST
def test_without_a_quorum_nobody_goes_on(servers: RealCluster, last: Publishers) -> None:
    """Longer than the TTL: who is active stops by its clock, and nobody else begins meanwhile."""
    zone = "a.last"
    frozen = servers.servers[1:]

    def turn() -> Note:
        return [one for one in notes(last.folder) if one.what in ("active", "stopped")][-1]

    last.wait(lambda: turn().what == "active", "somebody is active")
    holder, before, wrote = turn().who, last.numbers(zone), len(last.bind.writes())
    said = last.log(holder).count("no longer active")
    for server in frozen:
        server.freeze()
    try:
        stalls = Stalls()
        took = last.wait(lambda: last.log(holder).count("no longer active") > said, "it stops")
        bounded(10, "no quorum, until who is active stops", took, SHORT["ttl"] + 1.5,
                stalls.seconds())  # fmt: skip
        time.sleep(2.0)
        assert (last.numbers(zone), len(last.bind.writes())) == (before, wrote)
    finally:
        for server in frozen:
            server.thaw()
    since, stalls = time.time(), Stalls()
    servers.wait_ready()
    took, number = next_active(last, zone, since)
    bounded(10, "there is a quorum again, until the next one is active", took,
            killed_s(SHORT) + ELECTION_S, stalls.seconds(), ends=SHORT)  # fmt: skip
    # The lock may have been somebody's who did not learn of it in time.
    assert number > before[-1]


class Counted:
    """Candidates in this process: how many lead at a time, and by which numbers."""

    def __init__(self, agents: Sequence[RealAgent]) -> None:
        self.several = [
            Several([agent_of(one) for one in each]) for each in (agents, [*agents[1:], agents[0]])
        ]
        self.leading = 0
        self.numbers: list[int] = []
        # Whose session is taken away without a delay hears of it when the next one does.
        self.taken = False
        self.two = 0

    def candidate(self, number: int, prefix: str) -> Campaign:
        form = Form(prefix, f"candidate {number}", LASTING["ttl"], 0.0, LASTING["retry"])
        return Campaign(self.several[number % 2], form, rng=random.Random(number))

    async def lead(self, term: Term) -> None:
        self.leading += 1
        self.two += self.leading > 1 and not self.taken
        self.numbers.append(term.number)
        try:
            why = await asyncio.to_thread(term.may)
            # The test may have taken its session away before it came to ask.
            assert why == "" or self.taken, why
            await asyncio.get_running_loop().create_future()
        finally:
            self.leading -= 1

    async def close(self) -> None:
        for one in self.several:
            await one.close()


def agent_of(one: RealAgent) -> Agent:
    return Agent(address=one.address, dns_port=one.dns_port, http_port=one.http_port)


@NEWEST
async def test_two_hundred_elections(servers: RealCluster) -> None:
    """In order, and by sessions that are taken away."""
    found = Counted(servers.servers)
    now = found.candidate(0, "elections")
    running = asyncio.ensure_future(now.run(found.lead))
    chance = random.Random(1)
    try:
        for number in range(1, 201):
            while len(found.numbers) < number:
                await asyncio.sleep(0.005)
            after = found.candidate(number, "elections")
            waits = asyncio.ensure_future(after.run(found.lead))
            if chance.random() < 0.2:
                lock = await asyncio.to_thread(
                    servers.http, "GET", "/v1/kv/elections/.lock?consistent"
                )
                if "Session" in lock[0]:
                    path = f"/v1/session/destroy/{lock[0]['Session']}"
                    found.taken = True
                    await asyncio.to_thread(servers.http, "PUT", path)
            now.stop()
            await asyncio.wait_for(running, PATIENCE_S)
            found.taken = False
            now, running = after, waits
        now.stop()
        await asyncio.wait_for(running, PATIENCE_S)
    finally:
        now.stop()
        await asyncio.gather(running, return_exceptions=True)
        await found.close()
    assert found.two == 0
    assert found.numbers == sorted(set(found.numbers))
    assert len(found.numbers) >= 200


@NEWEST
async def test_orders_reach_whoever_is_active_wherever_they_are_given(
    servers: RealCluster,
) -> None:
    several = Several([agent_of(one) for one in servers.servers])
    try:
        shared = Shared(several, "consulfwd/zones/orders")
        orders, index = await shared.orders()
        assert (orders.paused, orders.allow) == ("", None)
        waits = asyncio.ensure_future(shared.orders(index, 30.0))
        await asyncio.sleep(0.2)
        held, begin = HeldUp(disk=True), time.monotonic()
        await shared.pause(Pause("racks", "ada", 1.0))
        orders, index = await waits
        # Other keys may have changed, too.
        while not orders.paused:
            orders, index = await shared.orders(index, 30.0)
        assert time.monotonic() - begin < 2.0 + held.seconds()
        assert orders.paused == "paused by ada: racks"
        assert await shared.resume()
        assert (await shared.orders())[0].paused == ""
    finally:
        await several.close()


@NEWEST
def test_killed_by_the_times_that_are_usual(usual: tuple[Publishers, float, Stalls]) -> None:
    """The last of all here: what there is to see has happened meanwhile."""
    found, killed_at, stalls = usual
    took = found.wait_active("other", killed_at)
    bounded(2, "killed by the times that are usual, until the next one is active", took, 50.0,
            stalls.seconds(), ends=USUAL)  # fmt: skip
    # Consul's promise: not before the TTL and the delay.
    assert took > 15.0 + 15.0 - 7.5
    found.never_two()
