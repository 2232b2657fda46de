"""A reload reaches listeners that stay."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.net.messages import parse, question
from tests.net.world import settings, until, world

NAME = "galeradb.service.consul"


async def test_limits_on_tcp_are_taken() -> None:
    limits = {"max_connections": 3, "max_per_client": 2, "idle_timeout": 0.5, "max_pending": 7}
    async with world() as here:
        ((_, listener),) = here.server._listeners.values()
        await here.server.reload(settings(here.cluster, tcp=limits))
        assert ((_, listener),) == tuple(here.server._listeners.values())
        assert {name: getattr(listener, name) for name in limits} == limits


async def test_the_deadline_is_taken() -> None:
    async with world() as here:
        await here.server.reload(settings(here.cluster, query={"deadline": 0.2}))
        for agent in here.agents:
            agent.faults.frozen = True
        began = time.monotonic()
        assert (await here.ask(NAME)).rcode == "SERVFAIL"
        # Without it that would have been after two seconds.
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(("kept", "rcode"), [(3600, "NOERROR"), (0, "SERVFAIL")])
async def test_how_long_stale_answers_are_of_use_is_taken(kept: int, rcode: str) -> None:
    async with world() as here:
        assert (await here.ask(NAME)).rcode == "NOERROR"
        limits = {"cache": {"stale_for": kept}, "query": {"deadline": 0.3}}
        await here.server.reload(settings(here.cluster, **limits))
        for agent in here.agents:
            agent.faults.frozen = True
        assert (await here.ask(NAME)).rcode == rcode


@pytest.mark.parametrize("how", ["reload", "recursors"])
async def test_a_stop_right_behind_it_loses_nothing(how: str) -> None:
    async with world() as here, here.udp() as client:
        external = "ext.service.consul"
        here.cluster.catalog.register("ext", node="ext", node_address="gone.test")
        await here.ask(NAME)
        for agent in here.agents:
            agent.faults.any.delay.on(0.2)
        for ident in range(120):
            name = external if ident % 4 == 0 else f"n{ident}.service.consul"
            client.send(question(name, ident=ident))
        await until(lambda: len(here.engine.flights) == 91)
        if how == "reload":
            await here.server.reload(settings(here.cluster, cache={"size": 5000}))
        else:
            here.server._rebuild(here.server.settings, [])
        stopping = asyncio.ensure_future(here.server.stop())
        idents = {parse(await client.receive()).id for _ in range(120)}
        assert idents == set(range(120))
        await stopping
