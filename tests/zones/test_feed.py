"""The feed at agents that do as they are told: values, doubts, and what is looked at when."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from consulfwd.config import Agent
from consulfwd.consul.asking import LOOK_EVERY, MOST_LOOKS
from consulfwd.consul.belief import ANEW, SECOND_LOOK
from consulfwd.consul.hints import COUNTS
from consulfwd.consul.reply import Reply
from consulfwd.consul.seats import NEAR
from consulfwd.errors import ConsulError
from consulfwd.zones import doubts
from consulfwd.zones.counting import AT_ONCE as AT_ONCE_AGENT
from consulfwd.zones.counting import PART, PAUSE, Counting
from consulfwd.zones.feed import LOOK_OVER, TURN
from consulfwd.zones.reading import HOLD
from consulfwd.zones.seen import Service
from consulfwd.zones.whole import PATH as WHOLE
from tests.consul.replies import reply
from tests.consul.scripted import A, B, World, calm, until
from tests.zones.feeding import (
    DC,
    HEALTH,
    LIST,
    STATE,
    Written,
    feed_of,
    feeding,
    nodes,
    ready,
    soon,
)
from tests.zones.made import settings

# More than can be waited for.
MANY = 60
# A look begins at once; this is for the moments between.
AT_ONCE = 0.3


async def test_all_services_are_there_and_then_each_change_once() -> None:
    async with feeding("web", "db") as (written, feed, zone):
        written_before = feed.catalog(zone)
        assert sorted(written_before.services) == [(DC, "db"), (DC, "web")]
        assert written_before.doubt == ""
        assert feed.take(zone) == ([], "")
        written.put("web", "n2")
        (web,) = await soon(written.world, feed, zone, AT_ONCE)
        assert (web.name, nodes(web), web.doubt) == ("web", ["n1", "n2"], "")
        assert feed.take(zone).services == []


async def test_what_did_not_change_is_the_very_same() -> None:
    async with feeding("web", "db") as (written, feed, zone):
        before = feed.catalog(zone).services
        changes = written.world.changes
        written.say_all()
        await written.world.passes(2 * LOOK_EVERY)
        after = feed.catalog(zone).services
        assert all(after[which] is before[which] for which in before)
        assert written.world.changes == changes
        written.put("web", status="critical")
        await soon(written.world, feed, zone, AT_ONCE)
        last = feed.catalog(zone).services
        assert last[DC, "db"] is before[DC, "db"]
        assert last[DC, "web"] is not before[DC, "web"]


async def test_a_zone_has_its_own_services_only() -> None:
    world = World()
    written = Written(world)
    for name in ("web", "db", "consul"):
        written.put(name)
    one, two = settings(services=("web",)), settings(origin="b.example.com", services=("!web",))
    async with feed_of(world, [one, two]) as feed:
        await ready(world, feed)
        assert [name for _, name in feed.catalog(one).services] == ["web"]
        assert sorted(name for _, name in feed.catalog(two).services) == ["consul", "db"]
        written.put("web", "n2")
        assert len(await soon(world, feed, one, AT_ONCE)) == 1
        assert feed.take(two).services == []


async def test_services_that_no_zone_wants_are_not_asked_for() -> None:
    async with feeding("web", "db", services=("web",)) as (written, _, _zone):
        assert written.world.to(A, HEALTH.format("db")) == []


@pytest.mark.parametrize("more", [0, MANY])
class TestAChangeIsSeenAtOnce:
    """Whether all are waited for, or most are looked at when something tells to."""

    async def test_of_health(self, more: int) -> None:
        async with feeding("web", more=more) as (written, feed, zone):
            await written.world.passes(3 * LOOK_EVERY)
            for status in ("critical", "warning", "passing"):
                written.put("web", status=status)
                (web,) = await soon(written.world, feed, zone, AT_ONCE)
                assert web.instances[0].health.value == status

    async def test_of_a_node_s_health(self, more: int) -> None:
        async with feeding("web", "db", more=more) as (written, feed, zone):
            written.put("web", "n2")
            written.put("db", "n2")
            await written.world.passes(3 * LOOK_EVERY)
            feed.take(zone)
            written.node_is("n2", "critical")
            await written.world.passes(AT_ONCE)
            found = {one.name: nodes(one) for one in feed.take(zone).services}
            assert found == {"web": ["n1", "!n2"], "db": ["n1", "!n2"]}

    async def test_of_its_tags(self, more: int) -> None:
        async with feeding("web", more=more) as (written, feed, zone):
            await written.world.passes(3 * LOOK_EVERY)
            written.put("web", Tags=["primary"])
            (web,) = await soon(written.world, feed, zone, AT_ONCE)
            assert web.instances[0].offer.tags == ("primary",)

    async def test_that_is_a_new_instance(self, more: int) -> None:
        async with feeding("web", more=more) as (written, feed, zone):
            await written.world.passes(3 * LOOK_EVERY)
            written.put("web", "n2")
            (web,) = await soon(written.world, feed, zone, AT_ONCE)
            assert nodes(web) == ["n1", "n2"]

    async def test_that_is_an_instance_less(self, more: int) -> None:
        async with feeding("web", more=more) as (written, feed, zone):
            written.put("web", "n2")
            await written.world.passes(3 * LOOK_EVERY)
            feed.take(zone)
            written.take("web", "n2")
            (web,) = await soon(written.world, feed, zone, 2 * AT_ONCE)
            assert nodes(web) == ["n1"]

    async def test_that_is_a_new_service(self, more: int) -> None:
        async with feeding("web", more=more) as (written, feed, zone):
            await written.world.passes(3 * LOOK_EVERY)
            written.put("new")
            (new,) = await soon(written.world, feed, zone, AT_ONCE)
            assert (new.name, nodes(new), new.doubt) == ("new", ["n1"], "")

    async def test_that_is_a_service_gone(self, more: int) -> None:
        async with feeding("web", "db", more=more) as (written, feed, zone):
            await written.world.passes(3 * LOOK_EVERY)
            written.take("web")
            found = await soon(written.world, feed, zone, HOLD + AT_ONCE)
            assert found == [Service(DC, "web", ())]
            await written.world.passes(2 * LOOK_EVERY)
            assert (DC, "web") not in feed.catalog(zone).services
            asked = len(written.world.to(A, HEALTH.format("web")))
            await written.world.passes(3 * LOOK_EVERY)
            assert len(written.world.to(A, HEALTH.format("web"))) == asked
            # And it may come back.
            written.put("web", "n3")
            (web,) = await soon(written.world, feed, zone, 2.0)
            assert nodes(web) == ["n3"]


async def test_what_nothing_tells_of_is_seen_when_it_is_its_turn() -> None:
    async with feeding("web", more=MANY) as (written, feed, zone):
        await written.world.passes(3 * LOOK_EVERY)
        written.put("web", Address="10.9.0.1")
        (web,) = await soon(written.world, feed, zone, 1.25 * LOOK_EVERY + AT_ONCE)
        assert web.instances[0].offer.own == "10.9.0.1"


async def test_an_instance_that_was_registered_anew_is_seen_by_when_it_was_written() -> None:
    async with feeding("web", more=MANY) as (written, feed, zone):
        await written.world.passes(3 * LOOK_EVERY)
        for number in range(3):
            written.put("web", Address=f"10.9.0.{number}", ModifyIndex=50 + number)
            written.say_whole()
            (web,) = await soon(written.world, feed, zone, 1.0)
            assert web.instances[0].offer.own == f"10.9.0.{number}"
        # What others tell of costs no such question.
        asked = len(written.world.to(A, WHOLE))
        written.put("web", "n2")
        written.say_whole()
        await soon(written.world, feed, zone, 1.0)
        written.put("web", Tags=["other"])
        await soon(written.world, feed, zone, 1.0)
        await written.world.passes(2)
        assert len(written.world.to(A, WHOLE)) == asked


async def test_who_may_not_ask_when_it_was_written_counts_still() -> None:
    async with feeding("web", more=MANY) as (written, feed, zone):
        world = written.world
        world.say(WHOLE, ConsulError(f"{A}:8600", 403, "blocked"))
        await world.passes(3 * LOOK_EVERY)
        written.put("web", Address="10.9.0.1")
        (web,) = await soon(world, feed, zone, 1.25 * LOOK_EVERY + AT_ONCE)
        written.put("web", "n2")
        (web,) = await soon(world, feed, zone, 1.0)
        assert nodes(web) == ["n1", "n2"]
        assert (feed.faults(), world.told, len(world.to(A, WHOLE))) == ([], [], 2)


async def test_what_waits_for_the_others_has_its_place() -> None:
    async with feeding(more=MANY) as (written, _, _zone):
        world = written.world
        for turn in range(30):
            # Whoever changes gets a seat from another one.
            written.put(f"other-{turn}", status=("critical", "passing")[turn % 2])
            await world.passes(2)
        assert world.waiting == NEAR.waiting
        hubs = {LIST, STATE.format("critical"), STATE.format("warning")}
        looked = [one for one in world.asked if one.path in hubs and not one.waits]
        assert len(looked) <= 2 * len(hubs)


async def test_a_hint_is_looked_at_twice_where_the_first_look_shows_nothing() -> None:
    """The look may be answered by a server that has not heard of it yet."""
    async with feeding("web", more=MANY) as (written, feed, zone):
        world = written.world
        await world.passes(3 * LOOK_EVERY)
        path = HEALTH.format("web")
        before = world.answers[A, path]
        written.put("web", status="critical")
        behind, world.answers[A, path] = world.answers[A, path], before
        await world.passes(AT_ONCE)
        assert feed.take(zone).services == []
        world.answers[A, path] = behind
        (web,) = await soon(world, feed, zone, 1.0)
        assert nodes(web) == ["!n1"]


async def test_who_may_not_count_is_told_and_looks_in_turn() -> None:
    world = World()
    written = Written(world)
    for number in range(MANY):
        written.put(f"other-{number}")
    world.say(COUNTS, ConsulError(f"{A}:8600", 403, "Permission denied"))
    zone = settings()
    async with feed_of(world, [zone]) as feed:
        await ready(world, feed)
        await world.passes(1)
        feed.catalog(zone)
        (line,) = world.told
        assert "instances cannot be counted" in line
        assert "HTTP 403" in line
        assert feed.faults() == [line]
        written.put("other-1", "n2")
        world.say(COUNTS, ConsulError(f"{A}:8600", 403, "Permission denied"))
        (one,) = await soon(world, feed, zone, 1.25 * LOOK_EVERY + AT_ONCE)
        assert nodes(one) == ["n1", "n2"]
        assert len(world.to(A, COUNTS)) == 1


async def test_nobody_is_taken_for_gone_before_all_are_known() -> None:
    world = World()
    written = Written(world)
    written.put("web")
    written.put("db")
    zone = settings()
    world.say(HEALTH.format("db"), ConsulError(f"{A}:8600", 500, "no"))
    async with feed_of(world, [zone]) as feed:
        assert feed.catalog(zone) == ({}, doubts.UNHEARD)
        world.hung.add(A)

        async def not_ready() -> None:
            assert not await feed.ready(3.0)

        await until(world, not_ready, 4.0)
        found = feed.catalog(zone)
        assert (found.services, found.doubt) == (
            {},
            doubts.of_the_list("", doubts.NOT_YET),
        )
        world.hung.clear()
        world.wake()
        await ready(world, feed)
        # What cannot be asked for holds up nobody, and is told.
        found = feed.catalog(zone)
        assert found.doubt == ""
        assert nodes(found.services[DC, "web"]) == ["n1"]
        assert found.services[DC, "db"] == Service(DC, "db", (), doubts.UNASKED)
        assert any("service db" in one for one in feed.faults())
        written.say_all()
        await world.passes(40)
        assert feed.catalog(zone).services[DC, "db"].doubt == ""


async def test_a_list_without_even_consul_s_own_service_is_in_doubt() -> None:
    """So it is for a token without rights, which Consul does not tell of before 1.11."""
    world = World()
    written = Written(world)
    zone = settings()
    async with feed_of(world, [zone]) as feed:
        await ready(world, feed)
        assert feed.catalog(zone) == ({}, doubts.of_the_list("", doubts.NOTHING))
        assert "consistent" in world.to(A, LIST)[-2].params
        await world.passes(2 * SECOND_LOOK)
        assert feed.take(zone) == ([], doubts.of_the_list("", doubts.NOTHING))
        written.put("consul")
        await world.passes(2)
        assert feed.take(zone) == ([], "")


async def test_where_nothing_that_is_listed_can_be_read_the_catalog_is_in_doubt() -> None:
    world, zone = World(), settings()
    Written(world)
    world.say(LIST, reply({"web": []}, index=20))
    world.say(HEALTH.format("web"), reply([], index=2))
    async with feed_of(world, [zone]) as feed:
        await ready(world, feed)
        assert feed.catalog(zone) == ({}, doubts.of_the_list("", doubts.ALL_HIDDEN))


async def test_what_is_listed_but_cannot_be_read_is_in_doubt() -> None:
    """A service is listed for its instances: whoever sees none may not see them."""
    async with feeding("web") as (written, feed, zone):
        world = written.world
        empty = reply([], index=2)
        world.say(HEALTH.format("new"), empty)
        world.say(LIST, reply({"web": [], "new": []}, index=50))
        await world.passes(5)
        assert feed.take(zone).services == [Service(DC, "new", (), doubts.HIDDEN)]
        # And so is one of which there was something.
        world.say(HEALTH.format("web"), reply([], index=60))
        await world.passes(5)
        assert feed.take(zone).services == [Service(DC, "web", (), doubts.HIDDEN)]
        world.say(LIST, reply({"consul": []}, index=70))
        world.say(HEALTH.format("consul"), empty)
        await world.passes(5)
        found = {one.name: one for one in feed.take(zone).services}
        assert found["web"] == Service(DC, "web", ())
        assert found["new"] == Service(DC, "new", ())


async def test_what_is_not_proved_for_too_long_is_in_doubt_and_proved_again_it_is_not() -> None:
    async with feeding("web", more=MANY, max_age=100.0) as (written, feed, zone):
        world = written.world
        world.hung.add(A)
        begin = world.now
        # As long as nobody knows better nothing is said of it.
        await world.passes(20)
        assert {one.doubt for one in feed.catalog(zone).services.values()} <= {
            "",
            doubts.UNASKED,
        }
        while not feed.catalog(zone).doubt:
            assert world.now < begin + 100
            await world.passes(1)
        await world.passes(100 - (world.now - begin))
        found = feed.catalog(zone)
        assert all(one.doubt for one in found.services.values())
        assert all(nodes(one) == ["n1"] for one in found.services.values())
        world.hung.clear()
        world.wake()
        await world.passes(60)
        found = feed.catalog(zone)
        assert found.doubt == ""
        assert {one.doubt for one in found.services.values()} == {""}


async def test_an_error_of_ours_does_not_keep_anything_from_growing_old() -> None:
    class Odd(World):
        raises = False

        def changed(self) -> None:
            if self.raises:
                raise RuntimeError("odd")

    world, zone, odd = Odd(), settings(max_age=100.0), list[object]()
    Written(world).put("web")
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: odd.append(context["exception"]))
    try:
        async with feed_of(world, [zone]) as feed:
            await ready(world, feed)
            feed.catalog(zone)
            world.hung.add(A)
            world.raises = True
            await world.passes(130)
            assert [str(one) for one in odd]
            assert feed.catalog(zone).services[DC, "web"].doubt
            assert feed.catalog(zone).doubt
    finally:
        loop.set_exception_handler(None)


async def test_while_all_is_well_nothing_is_in_doubt() -> None:
    async with feeding("web", more=MANY, max_age=60.0) as (written, feed, zone):
        changes = written.world.changes
        await written.world.passes(600)
        assert feed.take(zone) == ([], "")
        assert written.world.changes == changes


async def test_a_token_that_sees_a_part_only_takes_nobody_for_gone() -> None:
    async with feeding("web", "db") as (written, feed, zone):
        written.put("web", "n2")
        await written.world.passes(1)
        feed.take(zone)
        # It may not read n2, nor db, any more.
        written.more = {"filtered": True}
        written.services["web"].pop("n2")
        written.services.pop("db")
        written.say_all()
        await written.world.passes(5)
        found = feed.catalog(zone)
        assert found.doubt
        web = found.services[DC, "web"]
        assert nodes(web) == ["n1", "n2"]
        assert web.doubt
        assert nodes(found.services[DC, "db"]) == ["n1"]
        assert feed.faults()


async def test_a_cluster_that_counts_anew_is_held() -> None:
    async with feeding("web", "db") as (written, feed, zone):
        world = written.world
        written.index = 1000
        written.say_all()
        await world.passes(3)
        feed.take(zone)
        # Restored from an empty snapshot: all is said by an index from the beginning.
        gone = list(written.services)
        written.index = 2
        written.services = {"consul": {}}
        written.put("consul")
        for name in gone:
            world.say(HEALTH.format(name), reply([], index=written.index))
        # Who waits would not be woken by a lower index.
        world.proofs[A] = ConsulError(f"{A}:8600", 0, "refused")
        await world.passes(20)
        world.proofs.clear()
        await world.passes(15)
        found = feed.catalog(zone)
        assert found.doubt
        for name in gone:
            assert nodes(found.services[DC, name]) == ["n1"]
        await world.passes(ANEW + 60)
        found = feed.catalog(zone)
        assert found.doubt == ""
        assert found.services == {}


async def test_another_agent_is_asked_where_one_is_silent() -> None:
    world, zone = World(), settings()
    written = Written(world)
    for number in range(MANY):
        written.put(f"other-{number}")
    async with feed_of(world, [zone], A, B) as feed:
        await ready(world, feed)
        await world.passes(2 * LOOK_EVERY)
        feed.catalog(zone)
        world.fail("connection refused", A)
        written_to_b = HEALTH.format("other-1")
        saved = dict(world.answers)
        written.put("other-1", status="critical")
        for (agent, path), answer in saved.items():
            if agent == A:
                world.answers[agent, path] = answer
        world.wake()
        (one,) = await soon(world, feed, zone, 20)
        assert nodes(one) == ["!n1"]
        assert world.to(B, written_to_b)
        assert feed.catalog(zone).doubt == ""


async def test_instances_of_several_datacenters_are_apart() -> None:
    world = World()
    here, there = (Written(world, one, asked=one) for one in ("dc1", "dc2"))
    here.put("web")
    there.put("web", "n7")
    zone = settings(datacenters=("dc1", "dc2"))
    async with feed_of(world, [zone]) as feed:
        await ready(world, feed)
        found = feed.catalog(zone)
        assert {which: nodes(one) for which, one in found.services.items()} == {
            ("dc1", "web"): ["n1"],
            ("dc2", "web"): ["n7"],
        }
        there.put("web", "n7", "critical")
        (web,) = await soon(world, feed, zone, AT_ONCE)
        assert (web.datacenter, nodes(web)) == ("dc2", ["!n7"])


async def test_a_datacenter_that_cannot_be_asked_costs_no_other_one_but_removals() -> None:
    world = World()
    here = Written(world, "dc1", asked="dc1")
    here.put("web")
    for path in (LIST, STATE.format("critical"), STATE.format("warning"), COUNTS):
        world.say(f"{path}@dc2", ConsulError(f"{A}:8600", 500, "No path to datacenter"))
    zone = settings(datacenters=("dc1", "dc2"))
    async with feed_of(world, [zone]) as feed:
        await ready(world, feed)
        found = feed.catalog(zone)
        assert nodes(found.services["dc1", "web"]) == ["n1"]
        assert found.services["dc1", "web"].doubt == ""
        assert found.doubt == doubts.of_the_list(" in dc2", doubts.UNASKED)


async def test_other_agents_and_zones_are_used_and_what_is_known_stays() -> None:
    world, zone = World(), settings(services=("web",))
    written = Written(world)
    written.put("web")
    written.put("db")
    async with feed_of(world, [zone], A) as feed:
        await ready(world, feed)
        before = feed.catalog(zone).services[DC, "web"]
        await feed.use([Agent(address=B)])
        assert feed.catalog(zone).services[DC, "web"] is before
        written.put("web", "n2")
        (web,) = await soon(world, feed, zone, 2.0)
        assert nodes(web) == ["n1", "n2"]
        assert world.closed == [A]
        wider = settings(services=("web", "db"))
        world.hung.add(B)
        await feed.use([Agent(address=B)], [wider])
        # Of what is wanted beside nothing is known yet.
        found = feed.catalog(wider)
        assert [name for _, name in found.services] == ["web"]
        assert found.doubt == doubts.not_all("")
        world.hung.clear()
        world.wake()
        await ready(world, feed)
        found = feed.catalog(wider)
        assert ([name for _, name in sorted(found.services)], found.doubt) == (["db", "web"], "")
        await feed.use([Agent(address=B)], [zone])
        assert [name for _, name in feed.catalog(zone).services] == ["web"]
        await calm()


async def test_an_agent_of_another_datacenter_is_not_believed() -> None:
    """Whoever names agents of two datacenters has two catalogs, and no service is gone by that."""
    async with feeding("web") as (written, feed, zone):
        written.datacenter = "dc2"
        written.put("web")
        written.put("web", "n9")
        await written.world.passes(1)
        web = feed.catalog(zone).services[DC, "web"]
        assert (nodes(web), web.doubt) == (["n1"], doubts.elsewhere(DC))


async def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consulfwd.zones.feed.MOST_SERVICES", 3)
    async with feeding(more=5) as (written, feed, zone):
        found = feed.catalog(zone)
        assert len(found.services) == 3
        assert found.doubt.startswith("2 services more than the 3 that are followed")
        assert feed.faults() == [found.doubt]
        assert written.world.told == [found.doubt]


async def test_who_was_asked_for_numbers_is_not_asked_again_at_once() -> None:
    async with feeding(more=MANY) as (written, feed, _zone):
        world = written.world
        await world.passes(3)
        asked = len(world.to(A, COUNTS))
        for number in range(10):
            written.put("other-1", f"n{number + 2}")
            await world.passes(0.1)
        assert len(world.to(A, COUNTS)) - asked <= 1 / PAUSE + 1
        await world.passes(2)
        assert len(feed.catalog(_zone).services[DC, "other-1"].instances) == 11


async def test_to_count_may_take_a_part_of_an_agent_s_time_only() -> None:
    world = World()
    counted: list[float] = []

    async def ask(
        path: str, params: Mapping[str, str], *, timeout: float, limit: int
    ) -> Reply:
        await world.sleep(1.0)
        counted.append(world.now)
        return replace(reply([]), took=1.0)

    counting = Counting(
        "", ask, bool, bool, world.tell, clock=lambda: world.now, sleep=world.sleep
    )
    begin = world.now
    for _ in range(400):
        counting.due(explained=True)
        await world.passes(0.1)
    # What comes after a while is counted at once; what never ends, for its part of the time.
    assert counted[1] - begin <= 2 * (1 + PAUSE)
    assert len(counted) <= AT_ONCE_AGENT + PART * 40 + 1
    await world.passes(60)
    counted.clear()
    counting.due(explained=True)
    begin = world.now
    await world.passes(1.1)
    assert counted == [begin + 1.0]
    await counting.close()


def test_each_has_its_turn_before_it_is_too_old() -> None:
    """By as many looks a second as 10,000 services need where data may be 300 s old."""
    oldest = max(TURN * 300, 10_000 / MOST_LOOKS) * 1.25
    assert oldest < 300 * (1 - LOOK_OVER)
