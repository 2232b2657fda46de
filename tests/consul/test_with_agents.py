"""A whole server that looks at development agents over real HTTP."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.consul import overseer, proving, quality, renewal, watch
from consulfwd.core.subjects import Subject
from consulfwd.core.watches import Watch
from consulfwd.dev import DevAgent, DevCluster
from consulfwd.dev.cluster import AgentPlace
from consulfwd.net.relays import KEEP_AGAIN
from consulfwd.ops.taking import WatchedServer
from consulfwd.server import Server
from tests.loopback import OWN
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


@pytest.fixture(autouse=True)
def _none_limps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not make one look slow where it is counted who is asked."""
    monkeypatch.setattr("consulfwd.core.health.Health.pace", lambda *_: None)


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
        self.watched = WatchedServer(server)

    @property
    def agents(self) -> list[DevAgent]:
        return self.cluster.agents

    def poor(self) -> dict[str, str]:
        """Why agents are poor, by address; of those that are."""
        return {one.address: one.poor for one in self.server.engine.upstreams() if one.poor}

    def asked_first(self) -> list[str]:
        (group,) = next(iter(self.server.engine.table.routes)).groups
        return [one.address for one in group.order()]

    async def ask(self) -> list[str]:
        reply = await ask(self.server.endpoints[0], NAME)
        assert reply.rcode == "NOERROR"
        return reply.data


def settings(
    *agents: DevAgent, catalog: bool = False, token: Path | None = None, **more: Any
) -> Settings:
    found: list[dict[str, Any]] = [
        {"address": one.address, "dns_port": one.dns_port, "http_port": one.http_port}
        for one in agents
    ]
    for place in found:
        place |= {"token_file": token} if token else {}
    consul: dict[str, Any] = {
        "agents": {"from_catalog": True, "seeds": found} if catalog else found,
        "watch": {"enabled": False},
        **more,
    }
    sections: Any = {"consul": consul, "listen": [f"{OWN}:0"], "resolv_conf": "/nonexistent/a"}
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


def connections(agent: DevAgent) -> int:
    """How many HTTP connections an agent has."""
    assert agent._http is not None
    assert agent._http._runner is not None
    server = agent._http._runner.server
    assert server is not None
    return sum(one.transport is not None for one in server.connections)


def watched_at(here: Looked, agent: DevAgent) -> list[Watch]:
    reuse = here.server.engine.reuse
    assert reuse is not None
    name = f"{agent.address}:{agent.dns_port}"
    return [one for one in reuse.freshness.watches.values() if one.carrier == name]


async def test_an_agent_that_left_the_catalog_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its connections close at once, no token is sent there again; watches elsewhere go on."""
    monkeypatch.setattr(proving, "PROVE_EVERY", 0.05)
    token_file = tmp_path / "token"
    token_file.write_text("secret")
    async with looking(catalog=True, watch={"enabled": True, "max": 6}, token=token_file) as here:
        await until(lambda: len(here.asked_first()) == 3)
        catalog = here.cluster.catalog
        for number in range(6):
            catalog.register(f"s{number}", node=f"n{number}", node_address="10.0.0.9")
        for _ in range(2):
            for number in range(6):
                await ask(here.server.endpoints[0], f"s{number}.service.consul")
            await asyncio.sleep(KEEP_AGAIN)
        gone, stays = here.agents[2], here.agents[1]
        await until(lambda: all(len(watched_at(here, one)) == 2 for one in here.agents))
        await until(lambda: all(one.armed for one in watched_at(here, stays)))
        await until(lambda: sum("wait=" in one for one in stays.requests) == 2)
        await until(lambda: connections(gone) >= 3)
        assert here.server.settings.consul.agents[0].token_file == token_file
        waiting = watched_at(here, stays)
        catalog.deregister_node("dev3")
        await until(lambda: len(here.asked_first()) == 2)
        await until(lambda: connections(gone) == 0)
        asked = len(gone.requests)
        await until(lambda: sum(len(watched_at(here, one)) for one in here.agents) == 6)
        await asyncio.sleep(0.5)
        assert len(gone.requests) == asked
        assert watched_at(here, gone) == []
        assert waiting == [one for one in watched_at(here, stays) if one in waiting]
        assert all(one.armed and not one.changes for one in waiting)
        names = [f"/v1/health/service/{one.subject.name}?" for one in waiting]
        # One look at the state, one question that waits: none of them began anew.
        again = [one for one in stays.requests if one.startswith(tuple(names))]
        assert len(again) == 4
        # Once it is back, it may carry watches as before.
        catalog.register(
            "consul", id="consul-dev3", node="dev3", node_address=gone.address, port=8300, checks=()
        )
        await until(lambda: len(here.asked_first()) == 3)
        assert connections(gone) <= 1


async def test_a_token_that_is_revoked_and_rotated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told while it lasts, ends nothing, and needs no signal to be over."""
    caplog.set_level("INFO")
    monkeypatch.setattr(renewal, "EVERY", renewal.EVERY / 100)
    monkeypatch.setattr(renewal, "AT_ONCE", renewal.AT_ONCE / 100)
    token_file = tmp_path / "token"
    token_file.write_text("old")
    async with looking(watch={"enabled": True}, token=token_file) as here:

        def may(token: str) -> None:
            for agent in here.agents:
                agent.tokens = {token}

        def armed() -> bool:
            return any(one.armed for agent in here.agents for one in watched_at(here, agent))

        async def asked_until_armed() -> None:
            while not armed():
                assert await here.ask() == GALERA
                await asyncio.sleep(0.1)

        may("old")
        await asyncio.wait_for(asked_until_armed(), 10)
        assert "token" not in here.watched.line()
        may("new")
        await until(lambda: not armed())
        await until(lambda: "refuse" in here.watched.line())
        why = f"the token of {token_file}: HTTP 403: ACL not found"
        assert any(why in one and "was it revoked?" in one for one in logged(caplog))
        assert why in here.watched.line()
        caplog.clear()
        here.watched.report()
        assert any(one.endswith(why) for one in logged(caplog, "consulfwd"))
        assert await here.ask() == GALERA
        token_file.write_text("new")
        await asyncio.wait_for(asked_until_armed(), 15)
        await until(lambda: "refuse" not in here.watched.line())
        assert f"the token of {token_file} is accepted again" in logged(caplog)
        # The overseer heard of it as well: all agents can be asked.
        assert not any("cannot be asked" in one for one in logged(caplog))


async def test_a_stranger_in_the_catalog_gets_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("secret")
    heard: list[bytes] = []

    class Deaf(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            heard.append(data)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1000))
        writer.close()

    async with looking(catalog=True, token=token_file) as here:
        await until(lambda: len(here.asked_first()) == 3)
        seed, there = here.agents[0], "127.0.0.9"
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            Deaf, local_addr=(there, seed.dns_port)
        )
        stream = await asyncio.start_server(connected, there, seed.http_port)
        try:
            here.cluster.catalog.register(
                "consul", id="consul", node="stranger", node_address=there, port=8300,
                node_meta={"external-node": "true"},
            )  # fmt: skip
            await until(lambda: any(there in one for one in logged(caplog)))
            asked = len(seed.requests)
            await until(lambda: len(seed.requests) > asked + 4)
            assert there not in here.asked_first()
            assert heard == []
        finally:
            transport.close()
            stream.close()


async def watch_names(here: Looked, count: int) -> None:
    """Have so many names watched."""
    for number in range(count):
        here.cluster.catalog.register(
            f"s{number}", node=f"n{number}", node_address="10.0.0.9"
        )
    for _ in range(2):
        for number in range(count):
            await ask(here.server.endpoints[0], f"s{number}.service.consul")
        await asyncio.sleep(KEEP_AGAIN)


def spread(here: Looked) -> list[int]:
    return [len(watched_at(here, one)) for one in here.agents]


async def test_few_watches_off_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "off_host", lambda agent: True)
    async with looking(watch={"enabled": True}) as here:
        await watch_names(here, 30)
        assert spread(here) == [8, 8, 8]
    async with looking(watch={"enabled": True, "max_remote": 2}) as here:
        await watch_names(here, 10)
        assert spread(here) == [2, 2, 2]
    monkeypatch.setattr(watch, "off_host", lambda agent: agent.address != ADDRESSES[1])
    async with looking(watch={"enabled": True, "max": 10}) as here:
        await watch_names(here, 12)
        # The first in order, as many as it may, then the one on this host.
        assert spread(here) == [8, 2, 0]


async def test_watches_of_a_lost_agent_move_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand hosts lose a server at the same moment."""
    monkeypatch.setattr(watch, "off_host", lambda agent: True)
    monkeypatch.setattr(watch, "MOVE_WITHIN", 1.0)
    async with looking(watch={"enabled": True}) as here:
        await watch_names(here, 8)
        assert spread(here) == [8, 0, 0]
        await until(lambda: all(one.armed for one in watched_at(here, here.agents[0])))
        await here.agents[0].stop("http")
        await until(lambda: sum(spread(here)[1:]) == 8)
        began = time.monotonic()
        moved = [*watched_at(here, here.agents[1]), *watched_at(here, here.agents[2])]
        armed: dict[Subject, float] = {}

        def all_armed() -> bool:
            for one in moved:
                if one.armed:
                    armed.setdefault(one.subject, time.monotonic() - began)
            return len(armed) == 8

        await until(all_armed)
        times = sorted(armed.values())
        assert times[-1] - times[0] > 0.4
        assert sum(at < 0.1 for at in times) < 4
        await here.agents[0].start("http")
