"""A whole server that looks at development agents over real HTTP."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.consul import overseer, quality
from consulfwd.dev import DevAgent, DevCluster
from consulfwd.dev.cluster import AgentPlace
from consulfwd.server import Server
from tests.net.world import EXAMPLES, GALERA, ask, nothing_left_behind, until

NAME = "galeradb.service.consul"
ADDRESSES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become hundredths."""
    real = quality.Sight

    def short(every: float, max_last_contact: float) -> quality.Sight:
        return real(every / 100, max_last_contact)

    monkeypatch.setattr(overseer, "Sight", short)


def places() -> list[AgentPlace]:
    """The same two ports on each of ADDRESSES, as servers of one cluster have."""
    while True:
        with socket.create_server((ADDRESSES[0], 0)) as one, socket.create_server(
            (ADDRESSES[0], 0)
        ) as two:
            ports = one.getsockname()[1], two.getsockname()[1]
        try:
            for address in ADDRESSES:
                for port in ports:
                    socket.create_server((address, port)).close()
        except OSError:
            continue
        return [(address, *ports) for address in ADDRESSES]


class Looked:
    """A server and the agents it asks."""

    def __init__(self, cluster: DevCluster, server: Server) -> None:
        self.cluster = cluster
        self.server = server

    @property
    def agents(self) -> list[DevAgent]:
        return self.cluster.agents

    def poor(self) -> dict[str, str]:
        """Why agents are poor, by address; of those that are."""
        return {one.address: one.poor for one in self.server.engine.upstreams() if one.poor}

    def asked_first(self) -> list[str]:
        (group,) = next(iter(self.server.engine.routes)).groups
        return [one.address for one in group.order()]

    async def ask(self) -> list[str]:
        reply = await ask(self.server.endpoints[0], NAME)
        assert reply.rcode == "NOERROR"
        return reply.data


def settings(*agents: DevAgent, catalog: bool = False, **more: Any) -> Settings:
    found = [
        {"address": one.address, "dns_port": one.dns_port, "http_port": one.http_port}
        for one in agents
    ]
    consul: dict[str, Any] = {
        "agents": {"from_catalog": True, "seeds": found} if catalog else found,
        "watch": {"enabled": False},
        **more,
    }
    sections: Any = {"consul": consul, "listen": ["127.0.0.1:0"], "resolv_conf": "/nonexistent/a"}
    return Settings(**sections)


@asynccontextmanager
async def looking(catalog: bool = False, **more: Any) -> AsyncIterator[Looked]:
    """Three agents and a server, which is told of all or, with `catalog`, of the first."""
    async with nothing_left_behind(), DevCluster(EXAMPLES, 3, places=places()) as cluster:
        agents = cluster.agents[:1] if catalog else cluster.agents
        server = Server(settings(*agents, catalog=catalog, **more), rng=random.Random(1))
        await server.start()
        try:
            yield Looked(cluster, server)
        finally:
            await server.stop()


def logged(caplog: pytest.LogCaptureFixture, logger: str = "consulfwd.consul") -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == logger]


async def test_an_agent_without_a_leader_is_asked_later(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with looking() as here:
        one, two, three = ADDRESSES
        assert here.asked_first() == [one, two, three]
        here.agents[0].faults.http.no_leader.on()
        await until(lambda: here.poor() == {one: "knows no leader"})
        assert here.asked_first() == [two, three, one]
        here.agents[1].faults.http.last_contact.on(60)
        await until(lambda: here.poor().get(two) == "its data is 60 s behind the leader's")
        assert here.asked_first() == [three, one, two]
        assert await here.ask() == GALERA
        for agent in here.agents:
            agent.faults.clear()
        await until(lambda: here.poor() == {})
        assert here.asked_first() == [one, two, three]
    told = [one for one in logged(caplog, "consulfwd.resolver") if "127.0.0.2" in one]
    assert any("knows no leader" in one for one in told)
    assert any("its data is good again" in one for one in told)


async def test_all_poor_is_as_none() -> None:
    async with looking() as here:
        for agent in here.agents:
            agent.faults.http.no_leader.on()
        await until(lambda: len(here.poor()) == 3)
        assert here.asked_first() == list(ADDRESSES)
        assert await here.ask() == GALERA


@pytest.mark.parametrize("fault", ["refuse", "hang", "delay", "status", "empty", "closed"])
async def test_whatever_becomes_of_http_dns_goes_on(
    fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(overseer, "TIMEOUT", 0.05)
    caplog.set_level("INFO")
    async with looking() as here:
        for agent in here.agents:
            faults = agent.faults.http
            if fault == "closed":
                await agent.stop("http")
            elif fault in ("delay", "status"):
                getattr(faults, fault).on(0.1 if fault == "delay" else 503)
            else:
                getattr(faults, fault).on()
        if fault == "empty":
            await until(lambda: sum(len(agent.requests) for agent in here.agents) > 5)
            warned = []
        else:
            await until(lambda: len(logged(caplog)) >= 3)
            warned = [f"agent {one.address}:{one.dns_port}" for one in here.agents]
        assert (here.poor(), here.asked_first()) == ({}, list(ADDRESSES))
        assert await here.ask() == GALERA
        assert sorted(line.partition(" cannot")[0] for line in logged(caplog)) == warned
        for agent in here.agents:
            agent.faults.clear()
            await agent.start("http")


def probed(agent: DevAgent) -> bool:
    return any(one.name == "consul.service.consul" for one in agent.queries)


async def test_servers_of_the_catalog_are_asked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with looking(catalog=True) as here:
        await until(lambda: len(here.asked_first()) == 3)
        assert here.asked_first()[0] == ADDRESSES[0]
        assert sorted(here.asked_first()) == sorted(ADDRESSES)
        port = here.agents[0].dns_port
        change = ", ".join(f"{one}:{port} came" for one in ADDRESSES[1:])
        assert logged(caplog) == [f"agents changed: {change} (from the catalog)"]
        # They were asked how they are before anybody needs them.
        await until(lambda: all(probed(agent) for agent in here.agents))
        # The seed dies: DNS and the list go on with the others.
        await here.agents[0].stop()
        assert await here.ask() == GALERA
        here.cluster.catalog.deregister_node("dev3")
        await until(lambda: len(here.asked_first()) == 2)
        assert ADDRESSES[2] not in here.asked_first()
        assert await here.ask() == GALERA
        await here.agents[0].start()


async def test_health_is_kept_when_servers_come(caplog: pytest.LogCaptureFixture) -> None:
    async with looking(catalog=True) as here:
        seed = here.server.engine.upstreams()[0]
        await until(lambda: len(here.asked_first()) == 3)
        assert here.server.engine.upstreams()[0] is seed
        assert seed.srtt > 0


async def test_a_reload_keeps_what_was_learned(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with looking(catalog=True) as here:
        await until(lambda: len(here.asked_first()) == 3)
        order = here.asked_first()
        await here.agents[0].stop("http")
        caplog.clear()
        await here.server.reload(settings(here.agents[0], catalog=True))
        assert here.asked_first() == order
        names = ", ".join(f"{one}:{here.agents[0].dns_port}" for one in order)
        assert f"consul is answered from {names} (ordered)" in caplog.text
        # Without the catalog the seeds are all there is.
        await here.server.reload(settings(here.agents[0]))
        assert here.asked_first() == [ADDRESSES[0]]
        await here.agents[0].start("http")


async def test_a_stop_in_the_middle_of_a_look() -> None:
    async with looking() as here:
        for agent in here.agents:
            agent.faults.http.hang.on()
        await until(lambda: any(agent.requests for agent in here.agents))


async def test_a_stop_before_the_first_look() -> None:
    async with looking() as here:
        await asyncio.sleep(0)
        assert not any(agent.requests for agent in here.agents)
