"""Following facts at development agents, over HTTP: what is told, and what is not believed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from consulfwd.consul import renewal
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.following import Following
from consulfwd.dev import DevCluster
from tests.consul.watched import asked, cluster, until

WEB = Fact(FactKind.SERVICE, "web")


@asynccontextmanager
async def following(count: int = 2) -> AsyncIterator[tuple[DevCluster, Following, list[str]]]:
    """What follows `web` at so many agents, once it is known and waited for; and what it tells."""
    told: list[str] = []
    async with cluster(count) as (consul, agents):
        for agent in consul.agents:
            agent.streaming = True
        made = Following(list(agents.values()), tell=told.append, rng=random.Random(1))
        try:
            made.want([WEB])
            await made.ready()
            await until(lambda: consul.catalog.waiting == 1)
            yield consul, made, told
        finally:
            await made.close()


async def test_rights_that_shrink_behind_a_stream_shrink_no_list() -> None:
    async with following(1) as (consul, one, told):
        (agent,) = consul.agents
        agent.faults.http.filtered.on()
        consul.catalog.set_check("web1", "passing", output="wakes who waits")
        await until(lambda: told)
        assert "HTTP 403: service web: the token may not read all of it; what is known" in told[0]
        known = one.about(WEB)
        assert known is not None
        assert (len(known.value), known.partial) == (3, True)
        agent.faults.clear()
        await until(lambda: len(told) == 2)
        assert told[1] == "Consul can be asked for service web again"
        known = one.about(WEB)
        assert known is not None
        assert (len(known.value), known.partial) == (3, False)


async def test_an_agent_that_refuses_is_left_for_one_that_is_waited_at() -> None:
    async with following() as (consul, one, told):
        first, second = consul.agents
        first.faults.http.status.on(403)
        consul.catalog.set_check("web1", "critical")
        await until(lambda: len(asked(second)) == 2 and consul.catalog.waiting == 1)
        assert "index" in asked(second)[-1]
        assert [each.status for each in one.known[WEB]] == ["critical", "passing", "passing"]
        (line,) = told
        assert line.endswith("injected fault: status 403; another agent is asked")


async def test_an_agent_that_dies_takes_nothing_with_it() -> None:
    async with following() as (consul, one, told):
        first, second = consul.agents
        await first.stop()
        consul.catalog.set_check("web2", "critical")
        await until(lambda: "critical" in [each.status for each in one.known[WEB]])
        assert all("consistent" not in each for each in asked(second))
        assert len(told) == 1


async def test_a_token_that_may_see_more_shows_it_without_any_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for a change is not woken by rights."""
    monkeypatch.setattr(renewal, "EVERY", 0.05)
    token = tmp_path / "token"
    token.write_text("one")
    async with cluster(1) as (consul, agents):
        (agent,) = consul.agents
        agent.faults.http.filtered.on()
        made = Following([one.replace(token_file=token) for one in agents.values()])
        try:
            made.want([WEB])
            await made.ready()
            await until(lambda: consul.catalog.waiting == 1)

            def partial() -> bool:
                known = made.about(WEB)
                return known is not None and known.partial

            assert partial()
            agent.faults.clear()
            token.write_text("another")
            await until(lambda: not partial())
        finally:
            await made.close()
