"""An agent taken out for work: nobody notices, nothing new is asked there while another is up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from consulfwd.core.states import State
from consulfwd.dev import DevCluster
from consulfwd.net.lookup import make_query
from consulfwd.ops.watched import OrderError
from tests.core.play import Play, played
from tests.loopback import OWN
from tests.net.messages import parse, question
from tests.net.recursor import Recursor
from tests.net.test_reuse import reused, watched, watches
from tests.net.world import EXAMPLES, GALERA, World, place_of, settings, until, world

NAME = "galeradb.service.consul"
POLICIES = ["ordered", "fastest", "round_robin"]


def name_of(here: World, number: int) -> str:
    agent = here.agents[number]
    return f"{agent.address}:{agent.dns_port}"


def drain(here: World, number: int = 0, **more: Any) -> dict[str, Any]:
    return here.watched.order("drain", {"server": name_of(here, number), **more})


def undrain(here: World, number: int = 0) -> dict[str, Any]:
    return here.watched.order("undrain", {"server": name_of(here, number)})


def forget(here: World) -> None:
    for agent in here.agents:
        agent.queries.clear()


@pytest.mark.parametrize("policy", POLICIES)
async def test_nothing_is_asked_there_and_it_may_go(policy: str) -> None:
    """Queries come all the while; none has an error, none is late."""
    async with world(consul={"policy": policy}, patience=0.2) as here:
        over = False
        answers: list[bool] = []

        async def load() -> None:
            async with here.udp() as client:
                while not over:
                    for number in range(20):
                        client.send(question(f"x{number}.{NAME}" if number % 2 else NAME))
                    for _ in range(20):
                        reply = parse(await client.receive())
                        # A tag nobody has is denied, which has a second opinion sometimes.
                        answers.append(reply.rcode in ("NOERROR", "NXDOMAIN"))
                    await asyncio.sleep(0)

        loading = asyncio.ensure_future(load())
        await until(lambda: len(answers) > 100)
        assert drain(here) == {
            "server": name_of(here, 0), "others": [name_of(here, 1), name_of(here, 2)],
        }  # fmt: skip
        await until(lambda: here.engine.upstreams()[0].drained and not owed(here))
        forget(here)
        before = len(answers)
        await until(lambda: len(answers) > before + 200)
        assert list(here.agents[0].queries) == []
        await here.agents[0].stop()
        before = len(answers)
        await until(lambda: len(answers) > before + 200)
        over = True
        await loading
        assert all(answers)
        assert here.counters.failed == 0
        # Nobody noticed: it still counts as it did.
        assert here.states() == ["up", "up", "up"]


def owed(here: World) -> int:
    seen = here.watched.snapshot().resolver
    assert seen is not None
    return sum(one.waiting for one in seen.upstreams)


async def test_it_is_shown_and_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with world() as here:
        first, second, _ = (name_of(here, number) for number in range(3))
        drain(here)
        seen = here.watched.snapshot()
        assert seen.resolver is not None
        assert [one.drained for one in seen.resolver.upstreams] == [True, False, False]
        (group,) = seen.resolver.groups
        assert group.first == second
        assert group.why == f"the first in order that is up: {first} is taken out for work"
        assert seen.line.endswith(f"3 of 3 agents up; taken out for work: {first}")
        assert here.watched.line() == seen.line
        assert f"agent {first} is taken out for work; {second} takes over" in caplog.messages
        (change,) = seen.resolver.changes
        assert (change.before, change.after) == ("up", "up")
        assert change.why == f"taken out for work; {second} takes over"
        here.watched.report()
        assert any("taken out for work" in one for one in caplog.messages if "asked 1" in one)
        # Once more says nothing new.
        drain(here)
        undrain(here)
        told = f"agent {first} is back from work; first again"
        assert caplog.messages.count(told) == 1
        assert len(list(here.engine.prober.timeline)) == 2
        assert (await here.ask(NAME)).data == GALERA
        assert here.asked() == ["1 udp"]


async def test_order_is_told_as_by_trace() -> None:
    async with world() as here:
        drain(here)
        ask = here.engine.prepare_query(make_query(NAME, "A"))
        told = here.watched.order("explain", {"name": NAME})
        assert [one["server"] for one in told["order"]] == [
            name_of(here, 1), name_of(here, 2), name_of(here, 0),
        ]  # fmt: skip
        assert told["order"][-1]["why"].startswith("taken out for work")
        assert [one.drained for one in ask.route.plan()] == [False, False, True]


async def test_it_is_kept_over_a_reload_and_over_an_absence() -> None:
    async with world() as here:
        drain(here)
        await here.server.reload(here.server.settings)
        assert [one.drained for one in here.engine.upstreams()] == [True, False, False]
        assert (await here.ask(NAME)).data == GALERA
        assert here.asked() == ["2 udp"]
        whole = here.server.settings
        some = {"agents": [place_of(one) for one in here.agents[1:]]}
        await here.server.reload(settings(None, consul=some))
        assert len(here.engine.upstreams()) == 2
        await here.server.reload(whole)
        assert [one.drained for one in here.engine.upstreams()] == [True, False, False]
        # One that is not there is had back by its name as well.
        await here.server.reload(settings(None, consul=some))
        assert undrain(here) == {"server": name_of(here, 0)}
        await here.server.reload(whole)
        assert not any(one.drained for one in here.engine.upstreams())


async def test_the_last_one_is_refused_unless_forced() -> None:
    async with Recursor({("a.test", "A"): ["A 192.0.2.1"]}) as recursor, world(
        recursor, agents=2
    ) as here:
        drain(here, 0)
        last = r"is the last one that is up of agents \(for consul\.\)"
        with pytest.raises(OrderError, match=last) as no:
            drain(here, 1)
        assert no.value.status == 409
        assert not here.engine.upstreams()[1].drained
        assert drain(here, 1, force=True)["others"] == []
        # Somebody is asked all the same, and the first in order at that.
        assert (await here.ask(NAME)).data == GALERA
        assert here.asked() == ["1 udp"]
        only = f"{OWN}:{recursor.port}"
        with pytest.raises(OrderError, match=r"last one that is up of recursors"):
            here.watched.order("drain", {"server": only})
        here.watched.order("drain", {"server": only, "force": True})
        assert (await here.ask("a.test")).data == ["192.0.2.1"]


async def test_it_is_asked_after_all_when_the_others_go() -> None:
    async with world(agents=2, patience=0.02) as here:
        drain(here)
        assert (await here.ask(NAME)).data == GALERA
        await here.agents[1].stop()
        for _ in range(3):
            reply = await here.ask(NAME)
            assert (reply.rcode, reply.data) == ("NOERROR", GALERA)
        assert here.counters.failed == here.counters.stale == 0
        assert here.states() == ["up", "down"]
        assert here.watched.snapshot().ready


async def test_one_that_hangs_is_replaced_by_it() -> None:
    """A query is on its way when the last other one hangs: it has its answer from who is there."""
    async with world(agents=2, patience=0.02, query={"deadline": 0.5}) as here:
        drain(here)
        here.agents[1].faults.frozen = True
        reply = await here.ask(NAME)
        assert (reply.rcode, reply.data) == ("NOERROR", GALERA)
        assert here.counters.failed == 0
        here.agents[1].faults.frozen = False


async def test_one_that_is_slow_is_waited_for_meanwhile() -> None:
    async with world(agents=2, patience=0.02) as here:
        drain(here, 1)
        here.agents[0].faults.any.delay.on(0.15)
        assert (await here.ask(NAME)).data == GALERA
        assert {one.split()[0] for one in here.asked()} == {"1"}


async def test_agents_of_a_datacenter_are_stood_in_for_by_the_local_ones() -> None:
    async with DevCluster(EXAMPLES, 1, datacenter="dc2", http=False) as far:
        (agent,) = far.agents
        own = {"agents": [{"address": agent.address, "dns_port": agent.dns_port}]}
        async with world(consul={"datacenters": {"dc2": own}}) as here:
            here.cluster.add_datacenter("dc2").register("db", node="a", node_address="10.2.0.1")
            name = f"{agent.address}:{agent.dns_port}"
            await until(lambda: agent.queries)
            agent.queries.clear()
            for _ in range(2):
                told = here.watched.order("drain", {"server": name})
                assert told["others"] == [name_of(here, number) for number in range(3)]
                assert (await here.ask("db.service.dc2.consul")).data == ["10.2.0.1"]
            assert list(agent.queries) == []
            assert here.asked() == ["1 udp"] * 2


async def test_recursors_too() -> None:
    zone = {("a.test", "A"): ["A 192.0.2.1"], ("b.test", "A"): ["A 192.0.2.2"]}
    async with Recursor(zone) as first, Recursor(zone) as second, world(first, second) as here:
        here.watched.order("drain", {"server": f"{OWN}:{first.port}"})
        assert (await here.ask("a.test")).data == ["192.0.2.1"]
        assert first.asked == []
        here.watched.order("undrain", {"server": f"{OWN}:{first.port}"})
        first.asked.clear()
        assert (await here.ask("b.test")).data == ["192.0.2.2"]
        assert "b.test." in first.names


async def test_it_is_asked_when_the_others_lead_back_here() -> None:
    zone = {("a.test", "A"): ["A 192.0.2.1"]}
    async with Recursor() as first, Recursor(zone) as second, world(
        first, second, loops=True
    ) as here:
        here.watched.order("drain", {"server": f"{OWN}:{second.port}"})
        first.silent = True
        asked = asyncio.ensure_future(here.ask("a.test"))
        await until(lambda: first.asked)
        (looping,) = (one for one in here.engine.upstreams() if one.port == first.port)
        here.engine._loops_back(looping)
        assert (await asked).data == ["192.0.2.1"]


async def test_whoever_is_back_is_looked_at_at_once() -> None:
    async with world() as here:
        drain(here)
        await here.agents[0].stop()
        undrain(here)
        await here.until("down", "up", "up")


async def test_watches_move_elsewhere() -> None:
    async with watched() as here:
        first, second, third = (name_of(here, number) for number in range(3))
        assert (await reused(here)).data == GALERA
        assert set(watches(here).values()) == {first}
        told = here.watched.order("explain", {"name": NAME})
        assert told["watch"]["carrier"] == first
        assert told["watch"]["covers"]
        drain(here)
        assert set(watches(here).values()) <= {second, third}
        assert (await reused(here)).data == GALERA
        assert set(watches(here).values()) <= {second, third}
        seen = here.watched.snapshot().resolver
        assert seen is not None
        assert [(one.subject, one.carrier in (second, third)) for one in seen.watches] == [
            ("service galeradb", True)
        ]
        # A reload changes nothing about that.
        await here.server.reload(here.server.settings)
        assert (await reused(here)).data == GALERA
        assert here.engine.reuse is not None
        assert not here.engine.reuse.freshness.carriers.proofs.is_there(first)


@pytest.mark.parametrize(
    ("values", "status", "told"),
    [
        ({}, 400, "server: is needed, as a text"),
        ({"server": 5}, 400, "server: is needed"),
        ({"server": ["a"]}, 400, "server: is needed"),
        ({"server": ""}, 400, "server: is needed"),
        ({"server": "x" * 1_000_000}, 400, "server: is longer than 1020 characters"),
        ({"server": "nobody"}, 404, "server: there is no 'nobody'; there are 127."),
        ({"server": "127.0.0.1:1\n", "force": False}, 404, r"there is no '127.0.0.1:1\\n'"),
        ({"server": "a", "why": 1}, 400, "there is no value 'why'; there are server, force"),
        ([], 400, "its values are an object"),
    ],
)
async def test_what_is_no_order(values: Any, status: int, told: str) -> None:
    async with world(agents=2) as here:
        with pytest.raises(OrderError) as error:
            here.watched.order("drain", values)
        assert error.value.status == status
        assert told.replace("\\\\", "\\") in str(error.value)
        assert len(str(error.value)) < 400
        with pytest.raises(OrderError, match="force: is true or false, not 'yes'"):
            drain(here, force="yes")
        assert not here.engine.health.drained


# -- one lookup -----------------------------------------------------------------------------------


def held(names: str = "A B C", drained: str = "C", **more: Any) -> Play:
    play = Play(names, **more)
    for one in play.plan:
        one.up = one.state is State.UP
        one.drained = one.name in drained.split()
    play.lookup.hold_back()
    return play


def test_a_lookup_does_not_hedge_there() -> None:
    played(
        """
        0 start         | A
        10 timer        | B
        11 B yes        | = yes of B
        """,
        held("A C B", "C"),
    )


def test_nor_is_it_asked_for_a_second_opinion() -> None:
    play = held("A B", "B", known=1)
    played(
        """
        0 start         | A
        5 A no          | = no of A
        """,
        play,
    )
    assert play.lookup.attempts[0].decided == "taken: there is no other agent to confirm it"


def test_it_is_asked_at_once_when_the_last_other_one_is_gone() -> None:
    play = held("A B", "B")
    played(
        """
        0 start         | A
        1 A gone        | B, A down
        2 B yes         | = yes of B
        """,
        play,
    )


def test_it_is_asked_when_all_others_have_failed() -> None:
    played(
        """
        0 start         | A
        1 A servfail    | B
        2 B servfail    | C
        3 C yes         | A suspect, B suspect, = yes of C
        """,
        held(),
    )


def test_or_when_half_of_the_time_is_over() -> None:
    play = held("A B", "B")
    assert play.do(0, "start") == "A"
    asked: list[str] = []
    while "B" not in asked:
        asked.append(play.do(play.due, "timer"))
    assert play.due > 1000
    assert play.do(1001, "B yes") == "= yes of B"


def test_an_error_of_a_recursor_is_about_the_name() -> None:
    play = held("R1 R2", "R2")
    play.do(0, "start")
    assert play.do(1, "R1 servfail").startswith("= nothing")


def test_whoever_was_asked_already_stays_in_the_plan() -> None:
    play = held("A B", "A")
    assert [one.name for one in play.lookup.plan] == ["A", "B"]
