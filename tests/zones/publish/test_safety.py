"""What is promised of a publisher, whatever happens to it: how much may go, and what never does."""

from __future__ import annotations

import asyncio
import json

import pytest

from consulfwd.errors import ApplyError, ConsulError
from consulfwd.zones.memory import Served
from consulfwd.zones.orders import Allow, Orders
from consulfwd.zones.seen import Service
from consulfwd.zones.target import Push
from tests.zones.made import service, settings
from tests.zones.publish.world import (
    WALL,
    Consul,
    Published,
    Target,
    Writing,
    after,
    play,
    until,
)

ZONE = settings(quiescence=1, interval=5)


def some(number: int) -> list[Service]:
    """So many services of one instance each."""
    return [service(f"s{n:03}", f"n{n} 10.0.1.{n}") for n in range(number)]


def withdraws(push: Push) -> bool:
    return any(act.withdrawn for act in push.acts)


WAYS = ["goes on", "begun anew", "taken over", "killed before it writes", "killed once it has"]


@pytest.mark.parametrize("way", WAYS)
def test_29_percent_a_minute_for_ten_minutes_stop_at_30_in_all(way: str) -> None:
    async def main() -> None:
        consul, target, writing = Consul(*some(100)), Target(), Writing()

        def killed(push: Push) -> None:
            if withdraws(push) and not writing.killed:
                writing.killed = True
                if way == "killed before it writes":
                    raise ApplyError("there", "killed")

        async with Published(ZONE, consul, target, writing=writing) as published:
            await until(lambda: published.publisher.complete)
        if way == "killed before it writes":
            target.refused = killed
        if way == "killed once it has":
            target.done = killed
        left = 100.0
        for minute in range(10):
            if way != "goes on" or not minute:
                await published.end()
                writing = writing.next(8 + minute if way == "taken over" else None)
                published = Published(ZONE, consul, target, writing=writing)
                await published.begin()
            left *= 0.71
            consul.says(*some(int(left)))
            await asyncio.sleep(60)
            assert len(target.holds) >= 70
        target.refused = target.done = lambda push: None
        await asyncio.sleep(600)
        await published.end()
        assert len(target.holds) == 70

    play(main)


def test_what_was_more_than_ten_is_no_few_once_some_went() -> None:
    """All of so few may go: not by first making few of many, and then beginning anew."""

    async def main() -> None:
        consul, target, writing = Consul(*some(12)), Target(), Writing()
        for number in (12, 9, 0):
            consul.says(*some(number))
            async with Published(ZONE, consul, target, writing=writing) as published:
                await until(lambda: published.publisher.complete)
                await asyncio.sleep(60)
            writing = writing.next()
        assert len(target.holds) == 9

    play(main)


def test_what_a_push_did_not_take_is_not_counted() -> None:
    async def main() -> None:
        consul, target = Consul(*some(20)), Target()
        async with Published(ZONE, consul, target):
            await until(lambda: target.pushes)

            def refuses(push: Push) -> None:
                if withdraws(push):
                    raise ApplyError("there", "not today")

            target.refused = refuses
            # Six of twenty, one after the other: each counts, and none of them goes.
            for number in range(18):
                consul.says(*(one for at, one in enumerate(some(20)) if at != number))
                await asyncio.sleep(30)
            assert len(target.holds) == 20
            target.refused = lambda push: None
            consul.says(*some(14))
            await until(lambda: len(target.holds) == 14, 400)

    play(main)


def test_nothing_goes_that_cannot_be_written_down_and_what_comes_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        consul, target, writing = Consul(*some(20)), Target(), Writing()
        async with Published(ZONE, consul, target, writing=writing) as published:
            await until(lambda: target.pushes)
            writing.fault = ConsulError("127.0.0.1:8500", 500, "no leader")
            consul.says(*some(18), service("new", "n99 10.0.0.99"))
            await until(lambda: "new A" in target.holds, 10)
            await asyncio.sleep(100)
            assert len(target.holds) == 21
            (fault,) = published.publisher.faults()
            assert "there: nothing is withdrawn: what must survive is not written" in fault
            seen = published.publisher.status("active", "", ()).targets[0]
            assert "no leader" in seen.withheld[0]
            writing.fault = None
            await until(lambda: len(target.holds) == 19, 400)
            assert published.publisher.faults() == []

    play(main)


def test_what_ends_while_it_is_told_to_stop_is_written_down() -> None:
    async def main() -> None:
        consul, target, writing = Consul(*some(20)), Target(), Writing()
        published = Published(ZONE, consul, target, writing=writing, in_thread=after(5))
        async with published:
            await until(lambda: published.publisher.complete)
            consul.says(*some(14))
            await until(lambda: writing.memory.spent["there"].names, 20)
            assert len(target.holds) == 20

            def stops(push: Push) -> None:
                # It was asked right before.
                writing.lost, target.ignores_may = "this program is to stop", True

            target.refused = stops
        assert len(target.holds) == 14
        assert writing.next().memory.served == {"there": Served(2, "", 7)}

    play(main)


def ordered(number: int) -> Orders:
    return Orders(allow=Allow(number, WALL + 10_000, "somebody", WALL))


@pytest.mark.parametrize("way", ["goes on", "killed before it writes", "killed once it has"])
def test_what_is_allowed_is_for_so_many_and_for_once(way: str) -> None:
    async def main() -> None:
        consul, target, writing = Consul(*some(20)), Target(), Writing()
        published = Published(ZONE, consul, target, writing=writing)
        async with published:
            await until(lambda: target.pushes)
            consul.says(*some(10))
            await until(lambda: len(target.holds) == 14)
            await asyncio.sleep(10)

            def killed(push: Push) -> None:
                writing.killed = True
                if way == "killed before it writes":
                    raise ApplyError("there", "killed")

            if way != "goes on":
                target.refused = killed
            # A name and an address of each.
            writing.order(ordered(8))
            await asyncio.sleep(60)
        target.refused = lambda push: None
        writing = writing.next()
        async with Published(ZONE, consul, target, writing=writing) as published:
            await until(lambda: published.publisher.complete)
            await asyncio.sleep(10)
            if way == "killed before it writes":
                # It may be that it was used: it is asked for anew.
                assert len(target.holds) == 14
                writing.order(ordered(8))
            await until(lambda: len(target.holds) == 10, 60)
            consul.says(*some(9))
            await asyncio.sleep(100)
            assert len(target.holds) == 10

    play(main)


def test_what_is_allowed_is_for_each_target_by_itself() -> None:
    async def main() -> None:
        consul, good, bad, writing = Consul(*some(20)), Target("good"), Target("bad"), Writing()
        async with Published(ZONE, consul, good, bad, writing=writing):
            await until(lambda: good.pushes and bad.pushes)
            consul.says(*some(10))
            await until(lambda: len(good.holds) == len(bad.holds) == 14)
            bad.fault = ApplyError("bad", "away")
            await asyncio.sleep(10)
            writing.order(ordered(8))
            await until(lambda: len(good.holds) == 10)
        writing = writing.next()
        async with Published(ZONE, consul, good, bad, writing=writing) as published:
            consul.says(*some(6))
            await asyncio.sleep(100)
            # The one has used it, and what the other one wants is more by now.
            assert len(good.holds) == 10
            bad.fault = None
            published.publisher.call("it was asked for")
            await until(lambda: published.publisher.complete)
            assert len(bad.holds) == 14
            consul.says(*some(10))
            await until(lambda: len(bad.holds) == 10)

    play(main)


def test_what_is_allowed_stays_so_where_the_push_fails() -> None:
    async def main() -> None:
        consul, target, writing = Consul(*some(20)), Target(), Writing()
        async with Published(ZONE, consul, target, writing=writing):
            await until(lambda: target.pushes)
            consul.says(*some(10))
            await until(lambda: len(target.holds) == 14)

            def refuses(push: Push) -> None:
                raise ApplyError("there", "not now")

            target.refused = refuses
            await asyncio.sleep(10)
            writing.order(ordered(8))
            await asyncio.sleep(20)
            target.refused = lambda push: None
            await until(lambda: len(target.holds) == 10, 100)
            await asyncio.sleep(60)
            assert writing.next().memory.allowances == {}

    play(main)


def test_the_last_address_goes_only_with_its_service() -> None:
    async def main() -> None:
        db, web = service("db", "n9 10.0.0.9"), "n1 10.0.0.1"
        consul, target = Consul(service("web", web), db), Target()
        async with Published(ZONE, consul, target):
            await until(lambda: target.pushes)
            for ill in (f"!{web}", f"-{web}", f"~{web}"):
                consul.says(service("web", ill), db)
                await asyncio.sleep(4_000)
                assert target.holds["web A"] == "10.0.0.1"
            # Another one comes, and the last one was not the last.
            consul.says(service("web", f"!{web}", "n2 10.0.0.2"), db)
            await until(lambda: target.holds["web A"] == "10.0.0.2", 10)
            consul.says(db, doubt="no leader")
            await asyncio.sleep(4_000)
            assert target.holds["web A"] == "10.0.0.2"
            consul.says(db)
            await until(lambda: "web A" not in target.holds, 10)

    play(main)


def test_who_is_unhealthy_goes_later_than_who_is_deregistered_or_in_maintenance() -> None:
    async def main() -> None:
        web = [f"n{at} 10.0.0.{at}" for at in range(1, 10)]
        consul, target = Consul(service("web", *web)), Target()
        zone = settings(quiescence=1, interval=0, removal_delay=20)
        async with Published(zone, consul, target) as published:
            await until(lambda: published.publisher.complete)
            await asyncio.sleep(60)

            def gone(address: str) -> float:
                return next(at for at, held in target.pushes[1:] if address not in held["web A"])

            began = asyncio.get_running_loop().time()
            consul.says(service("web", f"!{web[0]}", f"-{web[1]}", *web[3:]))
            await asyncio.sleep(30)
            times = [gone(f"10.0.0.{at}") - began for at in (1, 2, 3)]
            assert times == pytest.approx([21, 1, 1], abs=0.1)

    play(main)


def test_what_was_done_in_part_is_told_and_planned_anew() -> None:
    """A lock that is lost between two messages leaves what was done, and the next goes on."""

    async def main() -> None:
        consul, target, writing = Consul(*some(20)), Target(), Writing()
        async with Published(ZONE, consul, target, writing=writing) as published:
            await until(lambda: published.publisher.complete)

            def halfway(push: Push) -> None:
                if withdraws(push):
                    target.does(push.acts[:2])
                    raise ApplyError("there", "updated by 1 of 2 messages: the connection broke")

            target.refused = halfway
            consul.says(*some(16))
            await until(lambda: len(target.holds) == 18)
            await until(published.publisher.faults)
            assert "1 of 2 messages" in published.publisher.faults()[0]
            assert json.loads(published.lines[-1])["result"] == "failed"
            # Those two count, and the others once.
            target.refused = lambda push: None
            await until(lambda: len(target.holds) == 16, 60)
            consul.says(*some(10))
            await asyncio.sleep(60)
            assert len(target.holds) == 14

    play(main)
