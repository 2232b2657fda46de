"""Following facts at agents that do as they are told, without a network and without waiting."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from consulfwd.config import Agent
from consulfwd.consul.client import Client
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.following import POLL, Following
from consulfwd.consul.reply import Reply
from consulfwd.core.carriers import MOST_CARRIED
from consulfwd.errors import ConsulError
from tests.consul.replies import reply

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
SERVICES, NODE, KEY = Fact(FactKind.SERVICES), Fact(FactKind.NODE, "n1"), Fact(FactKind.KEY, "a")


class World:
    """The agents' answers by path: a Reply or a ConsulError.

    Questions that wait for a change are answered once the answer has a higher index, or fails.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.answers: dict[tuple[str, str], object] = {}
        self.asked: list[tuple[str, str]] = []
        self.changes = 0
        self.told: list[str] = []
        self.closed: list[str] = []
        self.news = asyncio.Event()
        self.waiting = self.most_waiting = 0

    def say(self, path: str, answer: object, *agents: str) -> None:
        for agent in agents or (A, B, C):
            self.answers[agent, path] = answer
        self.news.set()
        self.news = asyncio.Event()

    def fail(self, reason: str, *agents: str, status: int = 0) -> None:
        for (agent, path), _ in list(self.answers.items()):
            if not agents or agent in agents:
                self.say(path, ConsulError(f"{agent}:8600", status, reason), agent)

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.now += seconds
        await asyncio.sleep(0)

    def changed(self) -> None:
        self.changes += 1


class Fake:
    """A client of one agent of the world."""

    def __init__(self, world: World, agent: Agent) -> None:
        self.world = world
        self.address = agent.address

    async def get(
        self, path: str, params: Mapping[str, str], *, timeout: float, absent: bool
    ) -> Reply:
        assert timeout >= 5.0
        self.world.asked.append((self.address, path))
        if absent:
            assert path.startswith("/v1/kv/")
        after = int(params.get("index", 0))
        while (
            isinstance(answer := self.world.answers[self.address, path], Reply)
            and (answer.index or 1) <= after
        ) and params.get("wait") != "1ms":
            self.world.waiting += 1
            self.world.most_waiting = max(self.world.waiting, self.world.most_waiting)
            try:
                await self.world.news.wait()
            finally:
                self.world.waiting -= 1
        if isinstance(answer, ConsulError):
            raise answer
        assert isinstance(answer, Reply)
        return answer

    async def close(self) -> None:
        self.world.closed.append(self.address)


@asynccontextmanager
async def following(*agents: str) -> AsyncIterator[tuple[World, Following]]:
    world = World()
    made = Following(
        [Agent(address=one) for one in agents or (A,)],
        world.changed,
        world.told.append,
        connect=lambda agent: cast(Client, Fake(world, agent)),
        clock=lambda: world.now,
        sleep=world.sleep,
        rng=random.Random(1),
    )
    before = asyncio.all_tasks()
    try:
        yield world, made
    finally:
        await made.close()
    assert asyncio.all_tasks() == before
    assert world.closed == list(agents or (A,))


async def until(condition: Callable[[], object]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("waited in vain")


async def calm() -> None:
    """Let everything run that can run now."""
    for _ in range(200):
        await asyncio.sleep(0)


async def ready(one: Following, *facts: Fact) -> None:
    one.want(facts)
    await asyncio.wait_for(one.ready(), 10)


def services(*names: str, index: int = 7, **more: Any) -> Reply:
    return reply({name: [] for name in names}, index=index, **more)


def names(one: Following) -> list[str]:
    return [each.name for each in one.known[SERVICES]]


async def test_what_is_wanted_is_known_and_followed() -> None:
    async with following() as (world, one):
        world.say(SERVICES.path, services("a"))
        await ready(one, SERVICES)
        assert (names(one), world.changes) == (["a"], 0)
        world.say(SERVICES.path, services("a", "b", index=8))
        await until(lambda: world.changes)
        assert names(one) == ["a", "b"]
        # Another reply that says the same changes nothing.
        await calm()
        asked = len(world.asked)
        world.say(SERVICES.path, services("b", "a", index=9))
        await calm()
        assert len(world.asked) == asked + 1
        assert (world.changes, world.told) == (1, [])


async def test_what_nobody_wants_any_more_is_forgotten() -> None:
    async with following() as (world, one):
        world.say(SERVICES.path, services("a"))
        world.say(KEY.path, reply(None))
        await ready(one, SERVICES, KEY)
        assert one.known[KEY] is None
        await ready(one, KEY)
        assert list(one.known) == [KEY]
        asked = len(world.asked)
        world.say(SERVICES.path, services("b", index=8))
        await calm()
        assert (world.changes, len(world.asked)) == (0, asked)


async def test_the_next_agent_answers_when_one_does_not() -> None:
    async with following(A, B, C) as (world, one):
        world.say(SERVICES.path, services("a"))
        world.fail("connection refused", A)
        world.say(SERVICES.path, services("old", leader=False), B)
        await ready(one, SERVICES)
        assert (names(one), [agent for agent, _ in world.asked[:3]]) == (["a"], [A, B, C])
        # What is learned of agents holds for all facts.
        world.say(KEY.path, reply(None))
        del world.asked[:]
        await ready(one, SERVICES, KEY)
        assert {agent for agent, _ in world.asked} == {C}
        assert world.told == []


async def test_nobody_answers_and_what_is_known_stays() -> None:
    async with following(A, B) as (world, one):
        world.say(SERVICES.path, services("a"))
        world.say(NODE.path, reply(None))
        await ready(one, SERVICES, NODE)
        world.fail("connection refused")
        await until(lambda: len(one.faults) == 2)
        assert (names(one), world.changes) == (["a"], 0)
        assert len(world.told) == 1
        assert "connection refused over HTTP, port 8500; what is known of it stays" in world.told[0]
        # An agent that was restarted knows nothing at first.
        del world.asked[:]
        world.say(SERVICES.path, services())
        await until(lambda: (A, SERVICES.path) in world.asked)
        assert names(one) == ["a"]
        world.say(SERVICES.path, services("a", "b", index=9))
        world.say(NODE.path, reply(None, index=9))
        await until(lambda: not one.faults)
        await until(lambda: names(one) == ["a", "b"])
        assert (world.changes, len(world.told)) == (1, 2)
        assert "again" in world.told[1]


async def test_what_no_agent_can_be_asked_for_is_a_fault_and_may_be_known_later() -> None:
    async with following(A, B) as (world, one):
        world.say(SERVICES.path, services("a"))
        world.fail("Permission denied", status=403)
        await ready(one, SERVICES)
        assert SERVICES not in one.known
        error = one.faults[SERVICES]
        reason = f"services: Permission denied; {B}:8600: HTTP 403: Permission denied"
        assert (error.agent, error.status, error.reason) == (f"{A}:8600", 403, reason)
        assert world.told == [f"Consul cannot be asked: {error}; it is not known yet"]
        world.say(SERVICES.path, services("a"))
        await until(lambda: world.changes)
        assert (names(one), one.faults) == (["a"], {})


async def test_each_agents_reason_is_told() -> None:
    async with following(A, B, C) as (world, one):
        world.say(SERVICES.path, reply({"a": ["\n"]}), A)
        world.say(SERVICES.path, ConsulError(f"{B}:8600", 0, "connection refused"), B)
        world.say(SERVICES.path, ConsulError(f"{C}:8600", 403, "Permission denied"), C)
        await ready(one, SERVICES)
    assert len(world.told) == 1
    assert "services: a tag of service 'a' holds control characters: '\\n'; " in world.told[0]
    assert f"; {B}:8600: connection refused over HTTP, port 8500; " in world.told[0]
    assert f"; {C}:8600: HTTP 403: Permission denied; it is not known yet" in world.told[0]


async def test_an_agent_that_refuses_one_thing_is_asked_for_others() -> None:
    async with following(A, B) as (world, one):
        world.say(SERVICES.path, services("a"))
        world.fail("No path to datacenter", A, status=500)
        await ready(one, SERVICES)
        world.say(NODE.path, reply(None))
        await ready(one, SERVICES, NODE)
        assert (A, NODE.path) in world.asked


async def test_the_first_agent_is_asked_again_after_a_while() -> None:
    async with following(A, B) as (world, one):
        world.say(SERVICES.path, services("a"))
        world.fail("connection refused", A)
        await ready(one, SERVICES)
        world.say(SERVICES.path, services("a", "b", index=8), A)
        world.now += 60
        world.say(SERVICES.path, services("a", "b", index=8), B)
        await until(lambda: world.asked[-1] == (A, SERVICES.path))
        assert names(one) == ["a", "b"]


async def test_a_part_by_the_tokens_rights_is_told_once() -> None:
    async with following() as (world, one):
        world.say(SERVICES.path, services("a", filtered=True))
        await ready(one, SERVICES)
        world.say(SERVICES.path, services("b", index=8, filtered=True))
        await until(lambda: world.changes)
        assert names(one) == ["b"]
        assert world.told == ["the token may not read all of services: it is used without the rest"]


async def test_what_cannot_be_waited_for_is_asked_for_now_and_then() -> None:
    datacenters = Fact(FactKind.DATACENTERS)
    async with following() as (world, one):
        world.say(datacenters.path, reply(["dc1"], index=None))
        await ready(one, datacenters)
        world.say(datacenters.path, reply(["dc1", "dc2"], index=None))
        await until(lambda: world.changes)
        assert one.known[datacenters] == ("dc1", "dc2")
        assert world.now >= POLL


async def test_a_fault_of_ours_hangs_nobody() -> None:
    async with following() as (_, one):
        seen: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
        await ready(one, SERVICES)  # the world has no such answer: KeyError
        assert "KeyError" in one.faults[SERVICES].reason
        assert len(seen) == 1


@pytest.mark.parametrize("many", [0, 40])
async def test_many_facts_at_once(many: int) -> None:
    async with following() as (world, one):
        facts = [Fact(FactKind.KEY, f"k{number}") for number in range(many)]
        for fact in facts:
            world.say(fact.path, reply(None))
        await ready(one, *facts)
        assert set(one.known) == set(facts)


async def test_connections_are_left_to_others() -> None:
    """Beyond so many questions that wait at an agent, it is asked now and then instead."""
    facts = [Fact(FactKind.KEY, f"k{number}") for number in range(MOST_CARRIED + 5)]
    async with following() as (world, made):
        for fact in facts:
            world.say(fact.path, reply([{"Key": fact.name, "Value": "eA=="}], index=5))
        await ready(made, *facts)
        await until(lambda: world.most_waiting == MOST_CARRIED)
        began = world.now
        await until(lambda: world.now > began + 5 * POLL)
        assert world.most_waiting == MOST_CARRIED
