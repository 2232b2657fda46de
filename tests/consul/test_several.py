"""Several agents as one: who is asked, what is asked again elsewhere, what waits where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from consulfwd.config import Agent
from consulfwd.consul.reply import Reply
from consulfwd.consul.several import AVOIDED_FOR, PATIENCE, Several
from consulfwd.errors import ConsulError, UnknownOutcome
from tests.consul.keyed import calm
from tests.consul.replies import reply

A, B, C = "127.0.0.1", "127.0.0.2", "127.0.0.3"
AWAY = ConsulError("a", 0, "connection refused")
NO_LEADER = ConsulError("a", 500, "No cluster leader")
LOST = UnknownOutcome("a", 0, "no reply")


class Told:
    """An agent that says what it is told to; None is nothing, until the time allowed is over."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.says: Reply | ConsulError | None = reply(name)
        self.closed = False

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout: float,
        limit: int,
        absent: bool,
    ) -> Reply:
        assert absent
        return await self._say(f"GET {path}", timeout, waits="index" in (params or ()))

    async def put(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        timeout: float,
    ) -> Reply:
        return await self._say(f"PUT {path}", timeout)

    async def delete(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout: float
    ) -> Reply:
        return await self._say(f"DELETE {path}", timeout)

    async def close(self) -> None:
        self.closed = True

    async def _say(self, what: str, timeout: float, *, waits: bool = False) -> Reply:
        self.world.asked.append((self.name, what, timeout))
        if waits and isinstance(self.says, Reply):
            await asyncio.get_running_loop().create_future()
        if self.says is None:
            self.world.now += timeout
            failed = UnknownOutcome if what[:3] != "GET" else ConsulError
            raise failed(self.name, 0, f"no reply within {timeout:g} s")
        if isinstance(self.says, ConsulError):
            raise self.says
        return self.says


class World:
    """Three agents, a clock, and what was asked of whom."""

    def __init__(self, *names: str) -> None:
        self.now = 1000.0
        self.asked: list[tuple[str, str, float]] = []
        self.agents = {name: Told(name, self) for name in names or (A, B, C)}
        self.several = Several(
            [Agent(address=name) for name in self.agents],
            connect=lambda agent: self.agents[agent.address],
            clock=lambda: self.now,
        )

    async def get(self, **params: str) -> str:
        found = await self.several.get("/v1/kv/a", params, timeout=5.0, absent=True)
        text: str = found.json()
        return text

    def whom(self) -> list[str]:
        """Who was asked since this was asked last."""
        found = [name for name, _, _ in self.asked]
        self.asked.clear()
        return found


async def test_the_first_is_asked_as_long_as_it_answers() -> None:
    world = World()
    assert [await world.get() for _ in range(3)] == [A, A, A]
    await world.several.close()
    assert all(one.closed for one in world.agents.values())


@pytest.mark.parametrize("failure", [AWAY, NO_LEADER, ConsulError("a", 429, "too many")])
async def test_another_is_asked_where_one_fails_and_the_first_again_after_a_while(
    failure: ConsulError,
) -> None:
    world = World()
    world.agents[A].says = failure
    assert await world.get() == B
    assert world.whom() == [A, B]
    assert await world.get() == B
    assert world.whom() == [B]
    world.agents[A].says = reply(A)
    world.now += AVOIDED_FOR - 0.001
    assert await world.get() == B
    world.now += 0.001
    assert await world.get() == A


async def test_one_that_hangs_leaves_time_for_the_others() -> None:
    world = World()
    world.agents[A].says = world.agents[B].says = None
    assert await world.get() == C
    assert [round(timeout, 3) for _, _, timeout in world.asked] == [PATIENCE, 1.5, 1.5]
    # Whoever failed longest ago is asked first where all have.
    world.whom()
    world.agents[C].says = AWAY
    with pytest.raises(ConsulError, match="connection refused"):
        await world.get()
    assert world.whom() == [C, A, B]


async def test_little_time_is_shared() -> None:
    """A session's last renewals: the first agent stands still, the next one is asked in time."""
    world = World(A, B)
    world.agents[A].says = None
    renewed = await world.several.put("/v1/session/renew/a", timeout=1.5)
    assert renewed.json() == B
    assert world.whom() == [A, B]


@pytest.mark.parametrize("status", [400, 403, 404, 409])
async def test_what_is_said_of_the_question_is_said_by_all(status: int) -> None:
    world = World()
    world.agents[A].says = ConsulError("a", status, "no")
    with pytest.raises(ConsulError, match="no"):
        await world.get()
    assert world.whom() == [A]


async def test_all_away_is_the_first_one_s_error() -> None:
    world = World()
    for one in world.agents.values():
        one.says = ConsulError(one.name, 0, f"{one.name} is away")
    with pytest.raises(ConsulError, match=f"{A} is away"):
        await world.get()
    assert world.whom() == [A, B, C]


Write = Callable[[Several], "asyncio.Future[Reply]"]


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/session/create", {}),
        ("/v1/session/renew/x", {}),
        ("/v1/session/destroy/x", {}),
        ("/v1/kv/a", {"acquire": "x"}),
        ("/v1/kv/a", {"release": "x"}),
    ],
)
async def test_what_may_be_done_twice_is_asked_again(path: str, params: dict[str, str]) -> None:
    world = World()
    world.agents[A].says = LOST
    found = await world.several.put(path, params, timeout=5.0)
    assert found.json() == B


@pytest.mark.parametrize(("path", "params"), [("/v1/kv/a", {"cas": "0"}), ("/v1/kv/a", {})])
async def test_what_may_not_is_not_sent_again_where_it_may_have_been_done(
    path: str, params: dict[str, str]
) -> None:
    world = World()
    world.agents[A].says = LOST
    with pytest.raises(UnknownOutcome):
        await world.several.put(path, params, timeout=5.0)
    world.now += AVOIDED_FOR
    with pytest.raises(UnknownOutcome):
        await world.several.delete(path, params, timeout=5.0)
    assert world.whom() == [A, A]
    # Where it surely was not, it is; whoever lost a reply is asked no more for a while.
    world.now += AVOIDED_FOR
    world.agents[A].says = AWAY
    assert (await world.several.put(path, params, timeout=5.0)).json() == B


async def test_what_waits_at_an_agent_that_fails_waits_elsewhere() -> None:
    world = World(A, B)
    waits = asyncio.ensure_future(world.get(index="7", wait="30000ms"))
    await calm()
    assert world.whom() == [A]
    world.agents[A].says = None
    assert await world.get() == B
    await calm()
    assert world.whom() == [A, B, B]
    assert not waits.done()
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}
