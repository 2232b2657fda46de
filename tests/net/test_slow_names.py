"""A name that is slow, or fails, is not an agent that is; and what comes late is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import dns.rcode
import pytest

from tests.net.messages import parse, question
from tests.net.recursor import Recursor
from tests.net.test_recursors import off_host
from tests.net.world import World, settings, until, world

ITSELF = {("consul.service.consul", "A"): ["A 127.0.0.1"]}
HERE = {(f"n{number}.service.consul", "A"): [f"A 10.0.0.{number}"] for number in range(9)}
FAR = {(f"n{number}.service.dc2.consul", "A"): [f"A 10.2.0.{number}"] for number in range(9)}
WWW = {("www.test", "A"): ["A 192.0.2.1"]}


@asynccontextmanager
async def scripted(**sections: Any) -> AsyncIterator[tuple[World, list[Recursor]]]:
    """Run a server with three scripted agents."""
    async with AsyncExitStack() as stack:
        agents = [
            await stack.enter_async_context(Recursor({**ITSELF, **HERE, **FAR}, ttl=0))
            for _ in range(3)
        ]
        places = [{"address": one.host, "dns_port": one.port} for one in agents]
        sections["consul"] = {"agents": places}
        yield await stack.enter_async_context(world(agents=1, patience=0.02, **sections)), agents


def states(here: World) -> set[str]:
    return {one.state.value for one in here.engine.upstreams()}


def asked(agents: list[Recursor], name: str) -> list[int]:
    """How often each agent was asked for a name."""
    return [one.names.count(f"{name}.") for one in agents]


async def test_a_name_nobody_answers_makes_no_agent_suspect() -> None:
    async with scripted(query={"deadline": 0.3}) as (here, agents):
        for agent in agents:
            agent.dead_labels = ("n1",)
        for _ in range(6):
            assert (await here.ask("n1.service.consul")).rcode == "SERVFAIL"
            assert states(here) == {"up"}
            here.skip(1.1)
        assert (await here.ask("n2.service.consul")).data == ["10.0.0.2"]


async def test_with_one_name_alone_a_dead_agent_is_found_all_the_same() -> None:
    async with scripted() as (here, agents):
        assert (await here.ask("n1.service.consul")).data == ["10.0.0.1"]
        agents[0].silent = True
        first = next(iter(here.engine.upstreams()))
        for _ in range(100):
            assert (await here.ask("n1.service.consul")).data == ["10.0.0.1"]
            if not first.up:
                break
        assert first.state.value in ("suspect", "down")


async def test_a_far_datacenter_is_asked_for_at_one_agent() -> None:
    async with scripted() as (here, agents):
        for agent in agents:
            agent.slow_labels = {"dc2": 0.15}
        counts = []
        for number in range(1, 6):
            reply = await here.ask(f"n{number}.service.dc2.consul")
            assert reply.data == [f"10.2.0.{number}"]
            counts.append(sum(asked(agents, f"n{number}.service.dc2.consul")))
        # Of a datacenter nothing is known of yet a second one is asked, too.
        assert counts[0] <= 2
        assert counts[1:] == [1] * 4
        assert states(here) == {"up"}
        # That the way there is long changes nothing for names of here.
        assert (await here.ask("n1.service.consul")).data == ["10.0.0.1"]
        assert all(one.srtt < 0.12 for one in here.engine.upstreams())
        agents[0].silent = True
        assert (await here.ask("n2.service.consul")).data == ["10.0.0.2"]


async def test_a_far_datacenter_that_is_cut_off_makes_no_agent_suspect() -> None:
    async with scripted(query={"deadline": 0.3}) as (here, agents):
        for agent in agents:
            agent.dead_labels = ("dc2",)
        for first in (0, 4):
            names = [f"n{number}.service.dc2.consul" for number in range(first, first + 4)]
            replies = await asyncio.gather(*map(here.ask, names))
            assert [reply.rcode for reply in replies] == ["SERVFAIL"] * 4
        assert states(here) == {"up"}
        assert max(max(asked(agents, f"n{number}.service.dc2.consul")) for number in range(8)) <= 3


async def test_agents_that_all_fail_are_asked_three_times_each() -> None:
    async with scripted() as (here, agents):
        for agent in agents:
            agent.rcodes["n1.service.consul."] = dns.rcode.SERVFAIL
        assert (await here.ask("n1.service.consul")).rcode == "SERVFAIL"
        assert asked(agents, "n1.service.consul") == [3, 3, 3]


@pytest.mark.parametrize("of", ["an agent", "a recursor"])
async def test_a_reply_after_the_deadline_is_there_for_the_next_one(of: str) -> None:
    name = "n1.service.consul" if of == "an agent" else "www.test"
    records = {**ITSELF, **HERE, **WWW}
    async with Recursor(records, ttl=60) as server:
        places = [{"address": server.host, "dns_port": server.port}]
        query = {"deadline": 0.1, "recursor_deadline": 0.1}
        async with world(server, agents=1, query=query, consul={"agents": places}) as here:
            server.slow_labels = {name.split(".")[0]: 0.3}
            assert (await here.ask(name)).rcode == "SERVFAIL"
            count = server.names.count(f"{name}.")
            await until(lambda: len(here.engine.cache) > 0)
            reply = await here.ask(name)
            assert (reply.rcode, len(reply.data)) == ("NOERROR", 1)
            assert server.names.count(f"{name}.") == count


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_reply_later_than_five_seconds_is_taken_where_there_is_time(
    elsewhere: bool,
) -> None:
    query = {"recursor_deadline": 20.0}
    async with Recursor(WWW) as recursor, world(recursor, query=query) as here, here.udp() as it:
        if elsewhere:
            off_host(here)
        recursor.slow_labels = {"www": 0.1}
        it.send(question("www.test", ident=1))
        await until(lambda: bool(recursor.asked))
        here.skip(5.5)
        await asyncio.sleep(0)
        here.skip(0.5)
        assert parse(await it.receive()).data == ["192.0.2.1"]
        assert len(recursor.asked) <= 2


async def test_a_slow_recursor_has_more_time_and_who_asks_again_is_joined() -> None:
    query = {"deadline": 0.2}
    async with Recursor(WWW) as recursor, world(recursor, query=query) as here, here.udp() as it:
        recursor.slow_labels = {"www": 0.35}
        for ident in (1, 2):
            it.send(question("www.test", ident=ident))
            await asyncio.sleep(0.1)
        replies = [parse(await it.receive()) for _ in range(2)]
        assert [(one.rcode, one.data) for one in replies] == [("NOERROR", ["192.0.2.1"])] * 2
        # Where nobody is well it is not waited for longer.
        for upstream in here.engine.upstreams():
            if not upstream.is_agent:
                here.engine.health.refused(upstream, here.engine.clock.now(), "a test")
        recursor.silent = True
        flight = here.engine
        it.send(question("other.test", ident=3))
        await until(lambda: bool(flight.flights))
        (one,) = flight.flights.values()
        assert one.deadline - one.started_at == pytest.approx(0.2)  # type: ignore[union-attr]
        assert parse(await it.receive()).rcode == "SERVFAIL"


async def test_a_denial_that_comes_late_does_not_stand_for_consuls_answer() -> None:
    """A reverse name Consul could not be asked about, and recursors deny after the deadline."""
    name = "1.0.0.10.in-addr.arpa"
    async with scripted(query={"deadline": 0.3}) as (here, agents), Recursor() as it:
        places = [{"address": one.host, "dns_port": one.port} for one in agents]
        consul = {"agents": places, "reverse": ["10.0.0.0/8"]}
        changed = settings(None, it, consul=consul, query={"deadline": 0.3})
        await here.server.reload(changed)
        for agent in agents:
            agent.dead_labels = ("in-addr",)
        it.slow_labels = {"in-addr": 0.3}
        assert (await here.ask(name, "PTR")).rcode == "SERVFAIL"
        await asyncio.sleep(0.4)
        assert len(here.engine.cache) == 0
