"""One zone at scripted targets: when it is published, and what holds it up."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from typing import Any

import pytest

from consulfwd.config.zones import ZoneSettings
from consulfwd.errors import ApplyError, ConsulError
from consulfwd.zones.memory import Memory, Served
from consulfwd.zones.orders import Allow, Orders, Pause
from consulfwd.zones.target import Left, Push
from tests.zones.made import records, service, settings
from tests.zones.publish.world import WALL, Consul, Published, Target, Writing, now, play, until

A, B = "n1 10.0.0.1:80", "n2 10.0.0.2:80"
BOTH = {"web A": "10.0.0.1 10.0.0.2"}
ONE = {"web A": "10.0.0.1"}


def fast(**values: Any) -> ZoneSettings:
    return settings(**{"quiescence": 1, "interval": 5, **values})


def test_what_consul_says_is_published_and_then_nothing_is() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A, B)), Target()
        async with Published(fast(), consul, target) as published:
            await until(lambda: target.pushes)
            assert target.holds == BOTH
            assert target.numbers == [7]
            # A hundred looks, each of which finds what is wanted.
            before = target.reads
            await until(lambda: target.reads > before + 100, 100_000)
            assert len(target.pushes) == len(published.lines) == 1
            assert len(published.writing.saved) <= 1
            (line,) = map(json.loads, published.lines)
        assert line["result"] == "done"
        assert line["why"] == ["the first look"]
        assert (line["holder"], line["lock"]) == ("consulfwd at here", 7)
        assert [act["name"] for act in line["acts"]] == ["web.svc.example.com."]
        assert (line["before"], line["after"], line["serial"]) == ("", "1", 1)

    play(main)


def test_a_change_is_there_after_the_quiescence_and_a_burst_once() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A)), Target()
        async with Published(fast(), consul, target) as published:
            await until(lambda: target.pushes)
            await asyncio.sleep(60)
            began = now()
            for each in ("n3 10.0.0.3", "n4 10.0.0.4", "n5 10.0.0.5"):
                consul.says(service("web", A, each))
                await asyncio.sleep(0.2)
            consul.says(service("web", A, B))
            await until(lambda: len(target.pushes) == 2)
            assert target.pushes[1][0] - began == pytest.approx(1.6, abs=0.01)
            assert target.holds == BOTH
            assert json.loads(published.lines[-1])["why"] == ["Consul: some"]

    play(main)


def test_two_pushes_have_the_interval_between_them() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A)), Target()
        async with Published(fast(interval=30), consul, target):
            await until(lambda: target.pushes)
            for number in range(2, 6):
                consul.says(service("web", A, f"n{number} 10.0.0.{number}"))
                await until(lambda at=number: len(target.pushes) == at)  # type: ignore[misc]
            times = [at for at, _ in target.pushes]
            gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
            assert gaps == pytest.approx([30] * 4, abs=0.5)

    play(main)


def test_one_that_is_unhealthy_goes_once_its_time_has_passed() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A, B)), Target()
        async with Published(fast(removal_delay=20), consul, target) as published:
            await until(lambda: target.pushes)
            await asyncio.sleep(60)
            consul.says(service("web", A, f"!{B}"))
            assert await until(lambda: target.holds == ONE) == pytest.approx(21, abs=0.4)
            assert json.loads(published.lines[-1])["why"] == ["time has passed"]

    play(main)


def test_a_target_that_fails_is_tried_again_and_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        consul, good, bad = Consul(service("web", A)), Target("good"), Target("bad")
        bad.fault = ApplyError("bad", "cannot be read", "see whether it runs")
        async with Published(fast(), consul, bad, good) as published:
            await until(lambda: good.pushes, 2)
            publisher = published.publisher
            assert not publisher.complete
            assert publisher.faults() == [
                "svc.example.com: bad: cannot be read (see whether it runs)"
            ]
            await asyncio.sleep(600)
            # After 5, 10, 20, ... seconds.
            assert bad.reads == 7
            consul.says(service("web", A, B))
            await until(lambda: good.holds == BOTH, 2)
            bad.fault = None
            await until(lambda: bad.holds == BOTH, 400)
            assert publisher.complete
            assert publisher.faults() == []

    caplog.set_level(logging.INFO)
    play(main)
    told = [one.message for one in caplog.records if "bad" in one.message]
    # Not each of the tries.
    assert 3 <= len([one for one in told if "not published" in one]) <= 5
    assert told[-1].endswith("bad: published again")


def test_an_error_of_our_own_holds_up_no_other_target(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        consul, good, bad = Consul(service("web", A)), Target("good"), Target("bad")
        bad.fault = KeyError("oops")
        async with Published(fast(), consul, bad, good):
            await until(lambda: good.pushes, 2)
            bad.fault = None
            await until(lambda: bad.pushes, 60)

    play(main)
    assert "KeyError" in caplog.text


def test_nothing_is_begun_by_what_is_in_doubt() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A), doubt="not proved yet"), Target()
        async with Published(fast(), consul, target) as published:
            await asyncio.sleep(100)
            assert target.pushes == []
            assert not published.publisher.complete
            consul.says(service("web", A))
            await until(lambda: target.pushes, 5)

    play(main)


class Answering(Target):
    """One that answers by itself, and of which others may have given out more."""

    def __init__(self) -> None:
        super().__init__()
        self.behind = False
        self.answers = False

    def lead(self) -> None:
        self.answers = True

    def rest(self) -> None:
        self.answers = False


def test_one_that_does_not_know_what_others_gave_out_begins_with_nothing_in_doubt() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A), doubt="not proved yet"), Answering()
        target.put_by_others(records({"web A": "10.0.0.9"}))
        target.behind = True
        async with Published(fast(), consul, target) as published:
            await asyncio.sleep(5)
            assert target.answers
            assert target.pushes == []
            consul.says(service("web", A))
            await until(lambda: target.pushes)
        # It goes on as the last one, until it hears of another one.
        assert target.answers
        published.publisher.rest()
        assert not target.answers

    play(main)


def test_what_is_there_is_added_to_in_doubt_and_nothing_withdrawn() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A), doubt="no leader"), Target()
        target.put_by_others(records({"web A": "10.0.0.1", "old A": "10.0.0.9"}))
        async with Published(fast(), consul, target) as published:
            await until(lambda: published.publisher.complete)
            consul.says(service("web", A, B), doubt="no leader")
            await until(lambda: target.pushes)
            assert target.holds == {**BOTH, "old A": "10.0.0.9"}
            seen = published.publisher.status("active", "", ())
            assert seen.doubt == "no leader"
            assert seen.targets[0].withheld == ("old.svc.example.com. A: no leader",)
            consul.says(service("web", A, B))
            await until(lambda: target.holds == BOTH, 30)

    play(main)


def test_a_doubt_is_told_and_seen_though_nothing_comes_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A)), Target()
        async with Published(fast(), consul, target) as published:
            await until(lambda: published.publisher.complete)
            await asyncio.sleep(10)
            rounds = published.rounds
            for _ in range(10):
                consul.says(service("web", A), doubt="no leader")
                await asyncio.sleep(2)
            assert published.rounds == rounds + 1
            assert published.publisher.status("active", "", ()).doubt == "no leader"
            consul.says(service("web", A))
            await until(lambda: published.rounds > rounds + 1, 10)

    caplog.set_level(logging.INFO)
    play(main)
    told = [one.message for one in caplog.records if "not in Consul" in one.message]
    assert told == [
        "svc.example.com: nothing that is not in Consul is withdrawn: no leader",
        "svc.example.com: what is not in Consul is withdrawn again",
    ]


def test_a_pause_is_kept_and_what_waited_is_done_after_it() -> None:
    async def main() -> None:
        consul, target, writing = Consul(service("web", A)), Target(), Writing()
        async with Published(fast(), consul, target, writing=writing) as published:
            await until(lambda: target.pushes)
            writing.order(Orders(Pause("maintenance of the grid", "somebody", WALL)))
            await asyncio.sleep(1)
            consul.says(service("web", A, B))
            await asyncio.sleep(1_000)
            assert len(target.pushes) == 1
            assert published.publisher.status("active", "", ()).paused == (
                "paused by somebody: maintenance of the grid"
            )
            assert published.publisher.complete
            writing.order(Orders())
            await until(lambda: target.holds == BOTH, 2)

    play(main)


MANY = {f"s{n} A": f"10.0.1.{n}" for n in range(20)}


def test_what_is_over_the_budget_waits_and_is_done_once_it_is_allowed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        services = [service(f"s{n}", f"n{n} 10.0.1.{n}") for n in range(20)]
        consul, target, writing = Consul(*services), Target(), Writing()
        async with Published(fast(), consul, target, writing=writing) as published:
            await until(lambda: target.pushes)
            consul.says(*services[:10])
            await until(lambda: len(target.pushes) == 2)
            assert len(target.holds) == 14
            await asyncio.sleep(30)
            seen = published.publisher.status("active", "", ()).targets[0]
            # A name and an address each.
            assert seen.command == "consulfwd zone apply svc.example.com --allow 8"
            # Too few: all of it waits.
            writing.order(Orders(allow=Allow(7, WALL + 10_000, "somebody", WALL)))
            await asyncio.sleep(30)
            assert len(target.holds) == 14
            assert [one.number for one in writing.memory.allowances.values()] == [7]
            assert all(one.until <= now() + 3_600 for one in writing.memory.allowances.values())
            writing.order(Orders(allow=Allow(8, WALL + 10_000, "somebody", WALL)))
            await until(lambda: len(target.holds) == 10, 10)
            last = json.loads(published.lines[-1])
            assert last["allowed"] is True
            assert last["why"] == ["an order", "somebody allowed 8 withdrawals"]
            await asyncio.sleep(60)
            assert writing.memory.allowances == {}
            # It was for once.
            consul.says(*services[:6])
            await asyncio.sleep(60)
            assert len(target.holds) == 10

    play(main)
    assert "8 withdrawals are more than the budget has" in caplog.text
    said = "there: 7 withdrawals were allowed, and 8 wait: so all of them do;"
    assert caplog.text.count(f"{said} `consulfwd zone apply svc.example.com --allow 8`") == 1


def test_who_may_write_no_more_writes_no_more() -> None:
    async def main() -> None:
        consul, target, writing = Consul(service("web", A)), Target(), Writing()
        async with Published(fast(), consul, target, writing=writing):
            await until(lambda: target.pushes)
            writing.lost = "the lock is lost"
            consul.says(service("web", A, B))
            await asyncio.sleep(100)
            assert target.holds == ONE

    play(main)


def test_what_others_did_meanwhile_is_left_and_looked_at_again() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A)), Target()
        target.put_by_others(records({"web A": "10.0.0.1"}))
        async with Published(fast(), consul, target) as published:
            await until(lambda: published.publisher.complete)

            def race(push: Push) -> None:
                target.refused = lambda push: None
                raise ApplyError("there", "changed by somebody else")

            target.refused = race
            consul.says(service("web", A, B))
            await until(lambda: target.holds == BOTH, 20)
            first, second = map(json.loads, published.lines)
        assert first["result"] == "failed"
        assert first["error"].startswith("there: changed by somebody else")
        assert second["result"] == "done"
        # What it was for is not forgotten.
        assert second["why"] == first["why"] == ["Consul: some"]

    play(main)


def test_what_others_changed_in_the_zone_is_mended_at_the_next_look() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A, B)), Target()
        async with Published(fast(), consul, target) as published:
            await until(lambda: target.pushes)
            target.put_by_others(records({"web A": "10.0.0.1"}))
            assert await until(lambda: target.holds == BOTH) == pytest.approx(300, abs=4)
            assert json.loads(published.lines[-1])["why"] == ["a look now and then"]

    play(main)


def test_a_record_that_was_refused_by_itself_is_told_and_tried_again() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A)), Target()
        async with Published(fast(), consul, target) as published:
            await until(lambda: target.pushes)
            plan = published.publisher.places[0].plan
            assert plan is not None
            target.left.append(Left(plan.acts[0], "somebody has such an alias"))
            consul.says(service("web", A, B), service("db", "n3 10.0.0.3"))
            await until(lambda: "db A" in target.holds)
            assert target.holds["web A"] == "10.0.0.1"
            (fault,) = published.publisher.faults()
            assert "web.svc.example.com. A: somebody has such an alias" in fault
            # Again and again, ever less often, and what else changes goes through.
            reads = target.reads
            await asyncio.sleep(600)
            assert target.reads - reads <= 16
            since = published.publisher.places[0].failing_since
            assert since < WALL + now() - 500
            consul.says(service("web", A, B), service("db", "n4 10.0.0.4"))
            await until(lambda: target.holds["db A"] == "10.0.0.4", 7)
            target.left.clear()
            await until(lambda: target.holds["web A"] == "10.0.0.1 10.0.0.2", 301)
            assert published.publisher.faults() == []

    play(main)


def test_others_have_their_turns_while_all_is_seen_at_first() -> None:
    """Who does not renew its lock meanwhile loses it."""

    async def main() -> None:
        many = [service(f"s{n}", f"n{n} 10.0.{n >> 8}.{n & 255}") for n in range(1_000)]
        consul, target = Consul(*many), Target()
        turns: list[int] = []

        async def tick() -> None:
            while True:
                turns.append(len(published.publisher.turn.zone.wanted))  # type: ignore[union-attr]
                await asyncio.sleep(0)

        published = Published(fast(), consul, target)
        await published.begin()
        while published.publisher.turn is None:
            await asyncio.sleep(0)
        ticking = asyncio.ensure_future(tick())
        await until(lambda: target.pushes)
        ticking.cancel()
        await published.end()
        assert len(target.holds) == 1_000
        assert {400, 600, 800} <= set(turns)

    play(main)


def test_a_target_may_have_something_to_do_that_is_in_no_plan(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its apex is another one, say, or others have given out a later serial."""

    async def main() -> None:
        consul, target = Consul(service("web", A)), Target()
        target.put_by_others(records({"web A": "10.0.0.1"}))
        async with Published(fast(), consul, target) as published:
            await until(lambda: published.publisher.complete)
            assert target.pushes == []
            target.behind = True
            await until(lambda: target.pushes, 301)
            await asyncio.sleep(1_000)
            assert len(target.pushes) == 1
            (line,) = map(json.loads, published.lines)
        assert (line["acts"], line["before"], line["after"]) == ([], "1", "2")

    caplog.set_level(logging.INFO)
    play(main)
    assert "there: written anew" in caplog.text


def test_a_restart_and_a_takeover_change_nothing() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A, B)), Target()
        memory = Memory()
        for number in (3, 4, 5, 6):
            writing = Writing(memory, number)
            async with Published(fast(), consul, target, writing=writing) as published:
                await until(lambda: published.publisher.complete)
                await asyncio.sleep(10)
            memory = writing.memory
        assert len(target.pushes) == 1
        assert memory.served == {"there": Served(1, "", 3)}
        # Each but the first was told what had been given out.
        assert target.given_serials == [(1, "", 3)] * 3

    play(main)


def test_what_went_in_the_last_hour_counts_after_a_takeover() -> None:
    async def main() -> None:
        services = [service(f"s{n}", f"n{n} 10.0.1.{n}") for n in range(20)]
        consul, target, writing = Consul(*services), Target(), Writing()
        async with Published(fast(), consul, target, writing=writing):
            await until(lambda: target.pushes)
            consul.says(*services[:14])
            await until(lambda: len(target.holds) == 14)
        consul.says(*services[:10])
        after = Writing(writing.memory, 8)
        async with Published(fast(), consul, target, writing=after):
            await asyncio.sleep(100)
            assert len(target.holds) == 14

    play(main)


def test_what_cannot_be_written_down_is_told_and_holds_up_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        consul, target, writing = Consul(service("web", A)), Target(), Writing()
        writing.fault = ConsulError("127.0.0.1:8600", 500, "no leader")
        published = Published(fast(), consul, target, writing=writing)
        published.audit_fault = ApplyError("/state/audit.jsonl", "the disk is full")
        async with published:
            await until(lambda: target.pushes)
            consul.says(service("web", A, B))
            await until(lambda: target.holds == BOTH)
            writing.fault = None
            await until(lambda: writing.saved, 60)

    play(main)
    assert "what must survive is not written down" in caplog.text
    assert "the disk is full" in caplog.text


def test_it_ends_when_it_is_told_to() -> None:
    async def main() -> None:
        consul, target = Consul(service("web", A)), Target()
        published = Published(fast(), consul, target)
        async with published:
            await until(lambda: target.pushes)
        consul.says(service("web", A, B))
        await asyncio.sleep(10)
        assert target.holds == ONE
        assert published.publisher.status("stopped", "", ()).number == 0

    play(main)
