"""Agents that do as they are told, without a network, and a clock that goes when it is told to."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple, cast

from consulfwd.config import Agent
from consulfwd.consul import renewal
from consulfwd.consul.belief import Belief
from consulfwd.consul.client import Client
from consulfwd.consul.facts import Fact
from consulfwd.consul.following import Following
from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError
from tests.consul.replies import reply

A, B, C = "127.0.0.1", "127.0.0.2", "127.0.0.3"
# Off this host.
FAR = "10.0.0.9"
PROOF = "/v1/health/service/consulfwd-proof"
# So many turns of the loop let everything run that can.
CALM = 60


class Asked(NamedTuple):
    """One question, as it came to an agent."""

    at: float
    agent: str
    path: str
    params: Mapping[str, str]

    @property
    def waits(self) -> bool:
        """Whether it waits for a change."""
        return "index" in self.params


class World:
    """The agents' answers by path: a Reply, a ConsulError, or a fault of ours that is raised.

    Questions that wait for a change are answered once the answer has a higher index, or fails, or
    the time is up. What is in `streams` is said to those instead, by streaming. Agents in `hung`
    answer nothing. What is said at PATH@DC is for questions about that datacenter.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.answers: dict[tuple[str, str], object] = {}
        self.streams: dict[str, Reply] = {}
        self.proofs: dict[str, object] = {}
        self.hung: set[str] = set()
        self.asked: list[Asked] = []
        self.changes = 0
        self.told: list[str] = []
        self.told_at: list[float] = []
        self.closed: list[str] = []
        self.waiting = self.most_waiting = self.looking = self.most_looking = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._news: set[asyncio.Future[None]] = set()

    def say(self, path: str, answer: object, *agents: str) -> None:
        for agent in agents or (A, B, C, FAR):
            self.answers[agent, path] = answer
        self.wake()

    def stream(self, path: str, answer: Reply) -> None:
        self.streams[path] = answer
        self.wake()

    def fail(self, reason: str, *agents: str, status: int = 0) -> None:
        for (agent, path), _ in list(self.answers.items()):
            if not agents or agent in agents:
                self.say(path, ConsulError(f"{agent}:8600", status, reason), agent)
        for agent in agents or (A, B, C, FAR):
            self.proofs[agent] = ConsulError(f"{agent}:8600", status, reason)

    def wake(self) -> None:
        for one in self._news:
            if not one.done():
                one.set_result(None)
        self._news.clear()

    def to(self, agent: str, path: str) -> list[Asked]:
        return [one for one in self.asked if (one.agent, one.path) == (agent, path)]

    def tell(self, text: str) -> None:
        self.told.append(text)
        self.told_at.append(self.now)

    def changed(self) -> None:
        self.changes += 1

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        await self._until(self.now + seconds)

    async def news(self, end: float) -> None:
        """Wait for something to be said anew, until then at most."""
        await self._until(end, self._news)

    async def passes(self, seconds: float) -> None:
        """Let time pass, and everything run that is due meanwhile."""
        end = self.now + seconds
        await calm()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, one = heapq.heappop(self._sleepers)
            if not one.done():
                one.set_result(None)
                await calm()
        self.now = end

    async def _until(self, at: float, among: set[asyncio.Future[None]] | None = None) -> None:
        one: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (at, next(self._numbers), one))
        if among is not None:
            among.add(one)
        await one


class Fake:
    """A client of one agent of the world."""

    def __init__(self, world: World, agent: Agent) -> None:
        self.world = world
        self.address = agent.address

    async def ready(self) -> None:
        pass

    async def get(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        timeout: float,
        limit: int = 0,
        absent: bool = False,
    ) -> Reply:
        about_rights = path.startswith(("/v1/coordinate/", "/v1/config/"))
        assert absent == (about_rights or path.startswith("/v1/kv/"))
        world = self.world
        asked = Asked(world.now, self.address, path, dict(params))
        if path == PROOF:
            return await self._proof(timeout)
        assert timeout >= 5.0
        world.asked.append(asked)
        if asked.waits:
            world.waiting += 1
            world.most_waiting = max(world.waiting, world.most_waiting)
        else:
            world.looking += 1
            world.most_looking = max(world.looking, world.most_looking)
        try:
            return await self._answer(asked, timeout)
        finally:
            world.waiting -= asked.waits
            world.looking -= not asked.waits

    async def _answer(self, asked: Asked, timeout: float) -> Reply:
        world, index = self.world, int(asked.params.get("index", 0))
        ends = world.now + float(asked.params.get("wait", "0ms")[:-2]) / 1000
        gives_up = world.now + timeout
        while True:
            await asyncio.sleep(0)
            if self.address in world.hung:
                await world.news(gives_up)
                if world.now >= gives_up:
                    raise ConsulError(f"{self.address}:8600", 0, f"no reply within {timeout:g} s")
                continue
            there = self.address, f"{asked.path}@{asked.params.get('dc')}"
            answer = world.answers.get(there) or world.answers[self.address, asked.path]
            if index and asked.path in world.streams:
                answer = world.streams[asked.path]
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, Reply)
            if not asked.waits or (answer.index or 1) > index or world.now >= ends:
                return replace(answer, agent=f"{self.address}:8600")
            await world.news(ends)

    async def _proof(self, timeout: float) -> Reply:
        world = self.world
        if self.address in world.hung:
            await world.sleep(timeout)
            raise ConsulError(f"{self.address}:8600", 0, f"no reply within {timeout:g} s")
        answer = world.proofs.get(self.address, reply())
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Reply)
        return answer

    async def close(self) -> None:
        self.world.closed.append(self.address)


@asynccontextmanager
async def following(
    *agents: str | Agent, world: World | None = None, before: Sequence[Belief] = ()
) -> AsyncIterator[tuple[World, Following]]:
    """What follows facts at these agents (one, if none is named). At its end nothing is left."""
    those = [one if isinstance(one, Agent) else Agent(address=one) for one in agents or (A,)]
    world = world or World()
    closed = len(world.closed)
    made = Following(
        those,
        world.changed,
        world.tell,
        before=before,
        connect=lambda agent: cast(Client, Fake(world, agent)),
        clock=lambda: world.now,
        sleep=world.sleep,
        rng=random.Random(1),
    )
    tasks = asyncio.all_tasks()
    try:
        yield world, made
    finally:
        await made.close()
    await calm()
    assert asyncio.all_tasks() == tasks
    assert world.closed[closed:] == [one.address for one in those]
    assert not renewal.here()._found


async def calm() -> None:
    """Let everything run that can run now.

    Nothing waits for a network here, so all that can run is in the loop's own list.
    """
    can_run = vars(asyncio.get_running_loop())["_ready"]
    for _ in range(CALM):
        await asyncio.sleep(0)
        if not can_run:
            break


async def ready(world: World, one: Following, *facts: Fact, within: float = 60.0) -> None:
    """Follow these facts, and return when each is known, or cannot be."""
    one.want(facts)
    await until(world, one.ready, within)


async def until(
    world: World, work: Callable[[], Coroutine[Any, Any, None]], within: float
) -> None:
    """Let time pass until this has ended, so long at most."""
    task = asyncio.get_running_loop().create_task(work())
    end = world.now + within
    await calm()
    while not task.done():
        assert world.now < end, "waited in vain"
        await world.passes(0.05)
    task.result()
