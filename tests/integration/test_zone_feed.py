"""The feed of zones at real Consul: each change in time, and no fault takes anything out of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Agent
from consulfwd.config.zones import ZoneSettings
from consulfwd.consul import asking, belief, post
from consulfwd.consul.belief import SECOND_LOOK
from consulfwd.dev.real import RealAgent, RealCluster, Registration
from consulfwd.zones import whole
from consulfwd.zones.feed import Feed
from consulfwd.zones.seen import Catalog, Health, Service
from tests.coreless import HeldUp
from tests.integration.conftest import NEWEST

# From when Consul knows of it until the zone does: of health, and of what is registered where more
# is at the same time.
HEALTH_S, REGISTERED_S = 1.0, 2.5
# That an agent is silent is seen by two proofs that fail; where another one is asked then.
FAILOVER_S = 25.0
PATIENCE_S = 60.0
# Paces of a clock that goes faster than that of others; the usual ones are tried without waiting.
LOOK_S, PROVE_S, HELD_S, AGE_S = 2.0, 1.0, 8.0, 12.0
# More than can be waited for.
MANY = 40
NODE, SERVICE = "feed-node-{}", "feed-{}"


class At:
    """A feed at real agents, and what it told."""

    def __init__(self, feed: Feed, zone: ZoneSettings, told: list[str]) -> None:
        self.feed = feed
        self.zone = zone
        self.told = told

    def catalog(self) -> Catalog:
        return self.feed.catalog(self.zone)

    def service(self, name: str) -> Service:
        return next(one for (_, each), one in self.catalog().services.items() if each == name)

    def shown(self, name: str) -> list[str]:
        """The nodes of the passing instances of a service, none where there is no service."""
        found = [one for (_, each), one in self.catalog().services.items() if each == name]
        return [
            one.whose.node for each in found for one in each.instances
            if one.health is Health.PASSING
        ]  # fmt: skip

    def doubted(self) -> bool:
        """Whether there is anything by which nothing may be withdrawn."""
        return bool(self.catalog().doubt) or any(one.doubt for one in self.services())

    def services(self) -> Collection[Service]:
        return self.catalog().services.values()

    async def until(
        self, condition: Callable[[], object], what: str, within: float = PATIENCE_S
    ) -> float:
        """Wait until that holds; return after how many seconds it did.

        What the machine or its disk held up Consul and us is allowed besides.
        """
        held, begin = HeldUp(disk=True), time.monotonic()
        while not condition():
            waited = time.monotonic() - begin
            assert waited < within or waited < within + held.seconds(), what
            await asyncio.sleep(0.02)
        return time.monotonic() - begin

    async def during(self, seconds: float, holds: Callable[[], object], what: str) -> None:
        """Make sure that something holds all the time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert holds(), what
            await asyncio.sleep(0.1)


def agent(one: RealAgent, **more: Any) -> Agent:
    return Agent(address=one.address, dns_port=one.dns_port, http_port=one.http_port, **more)


@asynccontextmanager
async def feeding(*agents: Agent, **given: Any) -> AsyncIterator[At]:
    """A feed that is ready, of all that this file registers."""
    zone = ZoneSettings(origin="svc.example.com", **({"services": ("feed-*",)} | given))
    told: list[str] = []
    feed = Feed(agents, [zone], tell=told.append)
    try:
        assert await feed.ready(PATIENCE_S)
        yield At(feed, zone, told)
    finally:
        await feed.close()


def registered(number: int, node: int = 1, **fields: Any) -> Registration:
    name = SERVICE.format(number)
    given: dict[str, Any] = {"service_id": f"{name}-{node}", "address": f"10.66.0.{node}"}
    return Registration(NODE.format(node), name, **(given | fields))


@pytest.fixture(autouse=True)
def _paces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LOOK_EVERY", LOOK_S)
    monkeypatch.setattr(post, "PROVE_EVERY", PROVE_S)


async def write(cluster: RealCluster, *registrations: Registration) -> None:
    await asyncio.to_thread(cluster.register_all, registrations)


@pytest.fixture(scope="module")
def many(cluster: RealCluster) -> Iterator[RealCluster]:
    """The cluster, with many services on two nodes."""
    yield from _with_many(cluster)


def _with_many(cluster: RealCluster) -> Iterator[RealCluster]:
    cluster.register_all(
        [registered(number, node) for number in range(MANY) for node in (1, 2)]
    )
    yield cluster
    for node in (1, 2, 3):
        cluster.deregister(NODE.format(node))


def all_there(at: At) -> bool:
    found = at.catalog().services
    return len(found) == MANY and all(len(one.instances) == 2 for one in found.values())


async def test_each_change_is_known_in_time(
    many: RealCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with feeding(agent(many.servers[0])) as at:
        assert (len(at.catalog().services), at.catalog().doubt) == (MANY, "")
        # The first turn is over, and those who wait for the others wait.
        await asyncio.sleep(2)
        took: dict[str, float] = {}

        async def change(
            what: str, number: int, make: Callable[[], Awaitable[object]], *shown: int
        ) -> None:
            name, expected = SERVICE.format(number), [NODE.format(one) for one in shown]
            await make()
            held = HeldUp(disk=True)
            waited = await at.until(lambda: at.shown(name) == expected, what)
            took[what] = waited - held.seconds()

        def health(number: int, status: str) -> Callable[[], Awaitable[object]]:
            id_ = f"{SERVICE.format(number)}-1"
            return lambda: asyncio.to_thread(many.set_health, NODE.format(1), id_, status)

        for number in (3, 17, MANY - 1):
            name = SERVICE.format(number)
            await change(f"{number} fails", number, health(number, "critical"), 2)
            await change(f"{number} is well", number, health(number, "passing"), 1, 2)
            for reason, shown in (("down", (2,)), (None, (1, 2))):
                id_ = f"{name}-1"
                await change(
                    f"{number} maintenance {reason}",
                    number,
                    lambda id_=id_, reason=reason: asyncio.to_thread(  # type: ignore[misc]
                        many.maintenance, NODE.format(1), id_, reason
                    ),
                    *shown,
                )
            await change(
                f"{number} registered", number, lambda n=number: write(many, registered(n, 3)),  # type: ignore[misc]
                1, 2, 3,
            )  # fmt: skip
            await change(
                f"{number} deregistered",
                number,
                lambda name=name: asyncio.to_thread(  # type: ignore[misc]
                    many.deregister, NODE.format(3), f"{name}-3"
                ),
                1, 2,
            )  # fmt: skip
        await change("new", MANY, lambda: write(many, registered(MANY)), 1)
        late = {
            what: seconds
            for what, seconds in took.items()
            if seconds > (REGISTERED_S if "registered" in what or what == "new" else HEALTH_S)
        }
        assert not late
        # The last of a service is gone for certain only once the leader has said so again.
        name = SERVICE.format(MANY)
        await asyncio.to_thread(many.deregister, NODE.format(1), f"{name}-1")
        there = (many.datacenter, name)
        await at.until(lambda: there not in at.catalog().services, "gone", 3.0)
        # Of this no number tells, nor a tag; without a hint it would be seen after half a minute.
        monkeypatch.setattr(asking, "LOOK_EVERY", 60.0)
        await asyncio.sleep(1.25 * LOOK_S)
        await write(many, registered(5, 2, service_address="10.66.9.9"))
        await at.until(
            lambda: at.service(SERVICE.format(5)).instances[1].offer.own == "10.66.9.9",
            "another address",
            REGISTERED_S,
        )
        await write(many, registered(5, 2))
        assert (at.catalog().doubt, at.told) == ("", [])


@NEWEST
async def test_addresses_and_maintenance_are_as_consul_says(many: RealCluster) -> None:
    node = {
        "Node": NODE.format(9),
        "Address": "10.66.0.9",
        "TaggedAddresses": {"lan": "10.66.0.9", "wan": "192.0.2.9"},
        "Service": {
            "ID": "feed-x",
            "Service": "feed-x",
            "Port": 8080,
            "Tags": ["primary"],
            "Meta": {"version": "1"},
            "TaggedAddresses": {"lan_ipv4": {"Address": "10.66.1.9", "Port": 80}},
            "Weights": {"Passing": 7, "Warning": 3},
        },
        "Check": {"CheckID": "_node_maintenance", "Name": "m", "Status": "critical"},
    }
    await asyncio.to_thread(many.http, "PUT", "/v1/catalog/register", node)
    await asyncio.to_thread(many.settle)
    try:
        async with feeding(agent(many.servers[0])) as at:
            (one,) = at.service("feed-x").instances
            assert one.health is Health.MAINTENANCE
            assert (one.offer.own, one.offer.of_node, one.offer.port) == ("", "10.66.0.9", 8080)
            assert one.offer.tagged["wan"] == "192.0.2.9"
            assert one.offer.tagged["lan_ipv4"] == "10.66.1.9"
            assert (one.offer.weight, one.offer.tags, one.offer.meta) == (
                7, ("primary",), {"version": "1"},
            )  # fmt: skip
            assert one.whose.datacenter == many.datacenter
    finally:
        await asyncio.to_thread(many.deregister, NODE.format(9))


async def test_all_at_once_is_what_each_is_by_itself(
    many: RealCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def seen(few: int) -> Catalog:
        monkeypatch.setattr(whole, "FEW", few)
        async with feeding(agent(many.servers[0]), services=("*",)) as at:
            return at.catalog()

    together, apart = await seen(0), await seen(1_000)
    assert len(apart.services) > MANY
    assert together == apart


@NEWEST
async def test_a_silent_agent_is_left_and_takes_nothing_with_it(many: RealCluster) -> None:
    first, *others = many.servers
    async with feeding(*map(agent, many.servers)) as at:
        await asyncio.sleep(1)
        first.freeze()
        writer = others[0]
        operation = registered(7, 1, status="critical").operations()
        await asyncio.sleep(0.1)

        def put() -> None:
            # A new leader may have to be elected. What is sent to one that stands still it does
            # once it goes on, maybe after what is written then.
            stands = f"{first.address}:{first.server_port}"
            writer.wait_until(
                lambda: writer.http("GET", "/v1/status/leader") not in ("", stands), "led"
            )
            writer.wait_until(
                lambda: writer.http("PUT", "/v1/txn", operation) is not None, "able to write"
            )

        await asyncio.to_thread(put)
        name = SERVICE.format(7)
        await at.until(lambda: at.shown(name) == [NODE.format(2)], "seen", FAILOVER_S)
        assert all_there(at)
        await asyncio.to_thread(many.heal)
        await write(many, registered(7))
        await at.until(lambda: len(at.shown(name)) == 2, "well again", FAILOVER_S)
        await at.until(lambda: at.catalog().doubt == "", "no doubt", FAILOVER_S)


@NEWEST
async def test_without_a_leader_all_stays_is_told_and_falls_in_doubt(many: RealCluster) -> None:
    first, *others = many.servers
    async with feeding(agent(first), max_age=AGE_S) as at:
        await asyncio.sleep(1)
        for one in others:
            one.freeze()
        await at.until(
            lambda: at.catalog().doubt and all(one.doubt for one in at.services()),
            "in doubt, and each",
            AGE_S + 5,
        )
        await at.until(lambda: at.told and at.feed.faults(), "said")
        assert all_there(at)
        await asyncio.to_thread(many.heal)
        await at.until(lambda: not at.doubted(), "no doubt")
        assert all_there(at)


@NEWEST
async def test_a_restarted_agent_takes_nothing_out(client_cluster: RealCluster) -> None:
    client = client_cluster.client
    assert client is not None
    yielded = _with_many(client_cluster)
    await asyncio.to_thread(next, yielded)
    try:
        async with feeding(agent(client)) as at:
            await asyncio.sleep(1)
            await asyncio.to_thread(client.restart)
            await at.during(3, lambda: all_there(at), "all there")
            await write(client_cluster, registered(7, 1, status="critical"))
            name = SERVICE.format(7)
            await at.until(lambda: at.shown(name) == [NODE.format(2)], "seen", FAILOVER_S)
            await at.until(lambda: at.catalog().doubt == "", "no doubt", FAILOVER_S)
    finally:
        await asyncio.to_thread(next, yielded, None)


READ = 'node_prefix "" { policy = "read" }\nservice_prefix "" { policy = "read" }\n'


class Token:
    """A token whose rights change."""

    def __init__(self, cluster: RealCluster, file: Path, rules: str = READ) -> None:
        self.file = file
        self._cluster = cluster
        self._secret = cluster.create_token(rules)
        mine = cluster.http("GET", "/v1/acl/token/self", token=self._secret)
        self._accessor = mine["AccessorID"]
        self._policy = mine["Policies"][0]
        file.write_text(self._secret)

    def may(self, rules: str) -> None:
        body = {"Name": self._policy["Name"], "Rules": rules}
        self._cluster.http("PUT", f"/v1/acl/policy/{self._policy['ID']}", body)

    def revoke(self) -> None:
        self._cluster.http("DELETE", f"/v1/acl/token/{self._accessor}")


@pytest.fixture
def guarded(acl_cluster: RealCluster) -> Iterator[RealCluster]:
    """The cluster with ACLs, with many services on two nodes."""
    yield from _with_many(acl_cluster)


async def test_rights_that_are_lost_take_nothing_out(
    guarded: RealCluster, tmp_path: Path
) -> None:
    """Consul answers 200, with less or nothing; those are meant for whom no seat is left."""
    token = await asyncio.to_thread(Token, guarded, tmp_path / "token")
    async with feeding(agent(guarded.servers[0], token_file=token.file)) as at:
        assert all_there(at)

        async def lost(rules: str, shows: Callable[[], object]) -> None:
            await asyncio.to_thread(token.may, rules)
            await at.until(lambda: shows() and at.feed.faults() and at.told, rules)
            await at.during(1.25 * LOOK_S + 1, lambda: all_there(at) and shows(), rules)

        def many_doubted() -> bool:
            return sum(bool(one.doubt) for one in at.services()) > MANY // 2

        await lost(
            READ + 'service_prefix "feed-3" { policy = "deny" }\n',
            lambda: at.service("feed-3").doubt and at.service("feed-39").doubt,
        )
        # Nobody who waits is woken by that.
        await lost("", many_doubted)
        await asyncio.to_thread(token.may, READ)
        await at.until(lambda: not at.doubted(), "no doubt")
        await lost(READ + 'node "feed-node-2" { policy = "deny" }\n', many_doubted)
        await asyncio.to_thread(token.may, READ)
        await at.until(lambda: not at.doubted(), "no doubt again")
        assert all_there(at)


async def test_a_revoked_token_takes_nothing_out_and_another_one_is_used(
    guarded: RealCluster, tmp_path: Path
) -> None:
    token = await asyncio.to_thread(Token, guarded, tmp_path / "token")
    async with feeding(agent(guarded.servers[0], token_file=token.file)) as at:
        await asyncio.to_thread(token.revoke)
        # Who waits is not woken by that, and takes nobody for gone.
        await at.until(at.doubted, "in doubt")
        await at.during(2, lambda: all_there(at), "all there")
        assert any("ACL not found" in one for one in at.told)
        await asyncio.to_thread(Token, guarded, tmp_path / "token")
        await at.until(lambda: not at.doubted(), "no doubt")
        assert all_there(at)


async def test_who_sees_little_from_the_start_takes_nobody_for_gone(
    guarded: RealCluster, tmp_path: Path
) -> None:
    """Consul says from 1.11 on that it hides something; before, that it has no service at all."""

    async def see(name: str, rules: str) -> None:
        token = await asyncio.to_thread(Token, guarded, tmp_path / name, rules)
        async with feeding(agent(guarded.servers[0], token_file=token.file)) as at:
            assert not any(one.instances for one in at.services())
            await at.during(SECOND_LOOK + 2, at.doubted, name)

    await asyncio.gather(
        see("nothing", 'key "x" { policy = "read" }'),
        see("services, and no node", 'service_prefix "" { policy = "read" }'),
    )


async def test_a_cluster_restored_from_an_older_snapshot_is_held(
    many: RealCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one that has nothing of it yet."""
    monkeypatch.setattr(belief, "ANEW", HELD_S)
    monkeypatch.setattr(belief, "ANEW_EVERY", HELD_S / 8)
    gone = SERVICE.format(3)
    every = [registered(number, node) for number in range(MANY) for node in (1, 2)]
    for node in (1, 2):
        await asyncio.to_thread(many.deregister, NODE.format(node))
    older = await asyncio.to_thread(many.snapshot)
    await write(many, *every)
    async with feeding(agent(many.servers[0])) as at:
        # It has proved itself.
        await asyncio.sleep(2 * PROVE_S)
        await asyncio.to_thread(many.restore, older)
        await at.until(lambda: any("counts anew" in one for one in at.told), "told")
        await at.during(HELD_S / 2, lambda: all_there(at) and at.doubted(), "all there")
        # Its hosts register again what there is of it.
        await write(many, *(one for one in every if one.service != gone))
        await at.until(
            lambda: (
                not at.doubted()
                and [len(one.instances) for one in at.services()] == (MANY - 1) * [2]
            ),
            "what is gone is gone, and all else is there",
            3 * HELD_S + PATIENCE_S,
        )
        assert (many.datacenter, gone) not in at.catalog().services
    await write(many, *every)
