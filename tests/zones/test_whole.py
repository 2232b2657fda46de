"""Very many services, read at once: one reply says of each what its own would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from consulfwd.config.zones import ZoneSettings
from consulfwd.consul.asking import LOOK_EVERY
from consulfwd.consul.seats import NEAR
from consulfwd.errors import ConsulError
from consulfwd.zones import doubts
from consulfwd.zones.feed import Feed
from consulfwd.zones.seen import Health
from consulfwd.zones.whole import ASKED, FEW, PATH
from tests.consul.scripted import A, World
from tests.zones.feeding import DC, HEALTH, Written, feed_of, nodes, ready, soon
from tests.zones.made import settings

MANY = FEW + 20
AT_ONCE = 0.3


def written(world: World, datacenter: str = DC, **given: Any) -> Written:
    """Services on two nodes each, one of them bad."""
    one = Written(world, datacenter, **given)
    for number in range(MANY):
        one.put(f"s{number}", "n1")
        one.put(f"s{number}", "n2")
    one.put("s7", "n2", "critical")
    return one


@asynccontextmanager
async def feeding(world: World, **given: Any) -> AsyncIterator[tuple[Feed, ZoneSettings]]:
    zone = settings(**given)
    async with feed_of(world, [zone]) as feed:
        await ready(world, feed)
        yield feed, zone


def own(world: World) -> int:
    """How many services were asked for by themselves."""
    return len({one.path for one in world.asked if one.path.startswith(HEALTH.format(""))})


async def test_one_reply_says_it_all_and_each_is_looked_at_in_its_turn() -> None:
    world = World()
    source = written(world)
    source.say_whole()
    async with feeding(world) as (feed, zone):
        assert own(world) <= ASKED
        assert len(world.to(A, PATH)) == 1
        before = feed.catalog(zone)
        assert (len(before.services), before.doubt) == (MANY, "")
        assert {tuple(nodes(one)) for one in before.services.values()} == {
            ("n1", "n2"), ("n1", "!n2"),
        }  # fmt: skip
        assert nodes(before.services[DC, "s7"]) == ["n1", "!n2"]
        assert not any(one.doubt for one in before.services.values())
        # Its own reply says the same: nothing changes by it.
        await world.passes(3 * LOOK_EVERY)
        assert own(world) == MANY
        assert feed.take(zone) == ([], "")
        assert world.waiting == NEAR.waiting


async def test_names_that_differ_in_case_are_not_told_apart_as_consul_does_not() -> None:
    """Nobody has a service's name for himself by registering one that is written otherwise."""
    world = World()
    source = written(world)
    source.put("s1", "n3")
    source.put("S1", "n4")
    source.say_whole()
    async with feeding(world) as (feed, zone):
        found = feed.catalog(zone).services
        assert nodes(found[DC, "s1"]) == nodes(found[DC, "S1"]) == ["n1", "n2", "n3", "n4"]
        assert {one.whose.service for one in found[DC, "S1"].instances} == {"S1"}


async def test_what_changes_after_that_is_seen() -> None:
    world = World()
    source = written(world)
    source.say_whole()
    async with feeding(world) as (feed, zone):
        feed.catalog(zone)
        source.put("s9", "n1", "warning")
        (one,) = await soon(world, feed, zone, AT_ONCE)
        assert (one.name, one.instances[0].health) == ("s9", Health.WARNING)
        source.take("s9", "n1")
        source.take("s9", "n2")
        (one,) = await soon(world, feed, zone, 3.0)
        assert (one.name, one.instances) == ("s9", ())


async def test_where_it_cannot_be_had_each_is_asked_for() -> None:
    world = World()
    written(world)
    world.say(PATH, ConsulError(f"{A}:8600", 403, "blocked"))
    async with feeding(world) as (feed, zone):
        found = feed.catalog(zone)
        assert (len(found.services), found.doubt, own(world)) == (MANY, "", MANY)
        assert world.told == []


async def test_a_reply_of_another_form_is_none() -> None:
    world = World()
    source = written(world)
    for odd in ({"Services": 5}, {"Services": [{"Service": "s1"}], "Checks": 5}):
        source.say_whole(odd)
        async with feeding(world) as (feed, zone):
            assert len(feed.catalog(zone).services) == MANY
        assert own(world) == MANY
        world.asked.clear()


async def test_who_is_not_in_it_is_asked_for() -> None:
    """Registered meanwhile, or hidden."""
    world = World()
    source = written(world)
    source.say_whole()
    source.put("late")
    async with feeding(world) as (feed, zone):
        assert world.to(A, HEALTH.format("late"))
        assert nodes(feed.catalog(zone).services[DC, "late"]) == ["n1"]


async def test_what_is_not_the_datacenter_s_own_or_is_odd_is_left_out() -> None:
    world = World()
    source = written(world)
    away = {"Node": "far", "Address": "192.0.2.1", "PeerName": "other", "Checks": []}
    service = {"ID": "s1-far", "Service": "s1", "Port": 80}
    odd = {
        "Node": "odd", "Address": "10.0.0.9", "Checks": None,
        "Services": [{"ID": "s2-odd", "Service": "s2", "Port": 80, "Tags": ["a\nb"]}],
    }  # fmt: skip
    source.say_whole({**away, "Services": [service]}, odd)
    async with feeding(world) as (feed, zone):
        found = feed.catalog(zone).services
        assert nodes(found[DC, "s1"]) == nodes(found[DC, "s2"]) == ["n1", "n2"]


async def test_what_the_token_may_not_read_is_in_doubt() -> None:
    world = World()
    source = written(world)
    source.say_whole(filtered=True)
    async with feeding(world) as (feed, zone):
        found = feed.catalog(zone).services.values()
        assert sum(one.doubt == doubts.PARTIAL for one in found) > MANY - ASKED
        # Of each its own reply says whether it is hidden.
        await world.passes(3 * LOOK_EVERY)
        assert not any(one.doubt for one in feed.catalog(zone).services.values())


async def test_another_datacenter_is_asked_for_by_name() -> None:
    world = World()
    Written(world).put("here")
    source = written(world, "dc2", asked="dc2")
    source.say_whole()
    async with feeding(world, datacenters=("dc2",)) as (feed, zone):
        found = feed.catalog(zone).services
        assert len(found) == MANY
        assert {which for which, _ in found} == {"dc2"}
        assert own(world) <= ASKED


async def test_the_end_may_come_meanwhile() -> None:
    world = World()
    source = written(world)
    source.say_whole()
    async with feed_of(world, [settings()]) as feed:
        task = asyncio.ensure_future(feed.ready(60))
        while not world.to(A, PATH):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
