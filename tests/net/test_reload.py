"""A reload reaches listeners that stay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.dev import DevAgent, DevCluster
from tests.coreless import our_time
from tests.loopback import OWN
from tests.net.messages import parse, question
from tests.net.recursor import Recursor
from tests.net.world import (
    EXAMPLES,
    PROBE,
    TcpClient,
    UdpClient,
    World,
    place_of,
    settings,
    until,
    world,
)

NAME = "galeradb.service.consul"


async def test_limits_on_tcp_are_taken() -> None:
    limits = {"max_connections": 3, "max_per_client": 2, "idle_timeout": 0.5, "max_pending": 7}
    async with world() as here:
        ((_, listener),) = here.server._listening.listeners.values()
        await here.server.reload(settings(here.cluster, tcp=limits))
        assert ((_, listener),) == tuple(here.server._listening.listeners.values())
        assert {name: getattr(listener.limits, name) for name in limits} == limits
        assert (listener.connections.most, listener.connections.most_each) == (3, 2)


async def test_the_deadline_is_taken() -> None:
    async with world() as here:
        await here.server.reload(settings(here.cluster, query={"deadline": 0.2}))
        for agent in here.agents:
            agent.faults.frozen = True
        began = our_time()
        assert (await here.ask(NAME)).rcode == "SERVFAIL"
        # Without it that would have been after two seconds.
        assert our_time() - began < 1.5


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


WWW = {("www.test", "A"): ["A 192.0.2.1"], ("www.corp.test", "A"): ["A 192.0.2.2"]}


@pytest.mark.parametrize(
    ("what", "anew"),
    [
        ("a log level", []),
        ("another agent", []),
        ("one agent less", []),
        ("other agents", [NAME]),
        ("another recursor", []),
        ("other recursors", ["www.test", "www.corp.test"]),
        ("a zone of its own", ["www.corp.test"]),
    ],
)
async def test_only_what_comes_from_elsewhere_now_is_asked_anew(what: str, anew: list[str]) -> None:
    async with (
        Recursor(WWW) as recursor,
        Recursor(WWW) as other,
        DevCluster(EXAMPLES, 1, http=False) as elsewhere,
        world(recursor, agents=2) as here,
    ):
        here.cluster.dns.service_ttl = elsewhere.dns.service_ttl = 60
        places = [place_of(one) for one in here.agents]
        strange = [place_of(one) for one in elsewhere.agents]
        agents = {
            "another agent": [*places, *strange],
            "one agent less": places[1:],
            "other agents": strange,
        }.get(what, places)
        recursors = {"another recursor": [other, recursor], "other recursors": [other]}
        forward = {"corp.test": [f"{OWN}:{recursor.port}"]}
        new = settings(
            None,
            *recursors.get(what, [recursor]),
            consul={"agents": agents},
            log={"level": "warning" if what == "a log level" else "info"},
            forward=forward if what == "a zone of its own" else {},
        )
        counted = Counted(here, [*here.agents, *elsewhere.agents], [recursor, other])
        assert await counted.asked_anew(new) == anew


class Counted:
    """Who is asked for names that were fresh before a reload."""

    def __init__(self, here: World, agents: list[DevAgent], recursors: list[Recursor]) -> None:
        self._here = here
        self._agents = agents
        self._recursors = recursors

    def _count(self) -> int:
        """How many were asked something, but for probes."""
        asked = [one for agent in self._agents for one in agent.queries if one.name != PROBE]
        return len(asked) + sum(len(one.asked) for one in self._recursors)

    async def asked_anew(self, new: Settings) -> list[str]:
        """The names that are asked anew after a reload."""
        names = [NAME, "www.test", "www.corp.test"]
        for name in names:
            assert (await self._here.ask(name)).rcode == "NOERROR"
        await self._here.server.reload(new)
        found = []
        for name in names:
            before = self._count()
            assert (await self._here.ask(name)).rcode == "NOERROR"
            if self._count() > before:
                found.append(name)
        return found


async def test_one_agent_more_leaves_the_stale_answers() -> None:
    async with world(agents=2, query={"deadline": 0.3}) as here:
        assert (await here.ask(NAME)).rcode == "NOERROR"
        for agent in here.agents:
            agent.faults.frozen = True
        places = [*(place_of(one) for one in here.agents), {"address": OWN, "dns_port": 1}]
        consul = {"agents": places}
        await here.server.reload(settings(None, consul=consul, query={"deadline": 0.3}))
        reply = await here.ask(NAME)
        assert (reply.rcode, [code for code, _ in reply.ede]) == ("NOERROR", [3])


async def test_a_listener_that_goes_waits_for_its_own_queries_alone() -> None:
    two: Any = {"listen": [f"{OWN}:0", "127.0.0.2:0"]}
    async with world(**two, query={"deadline": 3.0}) as here:
        stays, goes = here.server.endpoints
        for agent in here.agents:
            agent.faults.frozen = True
        async with UdpClient(stays) as one, UdpClient(goes) as other:
            one.send(question("galeradb.service.consul", ident=1))
            await until(lambda: bool(here.engine.flights))
            began = our_time()
            await here.server.reload(settings(here.cluster, listen=[f"{OWN}:0"]))
            assert our_time() - began < 1.0
            assert here.server.endpoints == [stays]
            for agent in here.agents:
                agent.faults.frozen = False
            assert parse(await one.receive()).rcode == "NOERROR"
            assert other.waiting == 0


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_a_listener_that_goes_answers_what_came_there(tcp: bool) -> None:
    two: Any = {"listen": [f"{OWN}:0", "127.0.0.2:0"]}
    async with world(**two, query={"deadline": 3.0}) as here:
        goes = here.server.endpoints[1]
        for agent in here.agents:
            agent.faults.frozen = True
        async with TcpClient(goes) if tcp else UdpClient(goes) as client:
            client.send(question("galeradb.service.consul", ident=1))
            await until(lambda: bool(here.engine.flights))
            reload = asyncio.ensure_future(
                here.server.reload(settings(here.cluster, listen=[f"{OWN}:0"]))
            )
            await asyncio.sleep(0.1)
            assert not reload.done()
            for agent in here.agents:
                agent.faults.frozen = False
            assert parse(await client.receive()).rcode == "NOERROR"
            await reload
