"""A cluster's life: ports, dying, coming back, agents that differ."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
import warnings
from contextlib import suppress
from typing import Any

import pytest

from consulfwd.dev import DevCluster
from consulfwd.errors import ConfigError
from tests.loopback import OWN

NAME = "galeradb.service.consul"


async def refused(tools: Any, agent: Any) -> None:
    """Nothing listens on any of the agent's ports."""
    async with tools.client(agent) as client:
        client.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            await client.receive()
    for port in {agent.dns_port, agent.http_port} - {0}:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(agent.address, port)


async def test_ports_are_free_ones_and_all_different(dns_tools: Any) -> None:
    cluster = DevCluster(dns_tools.examples)
    assert [(agent.dns_port, agent.http_port) for agent in cluster.agents] == [(0, 0)] * 3
    async with cluster:
        ports = {p for agent in cluster.agents for p in (agent.dns_port, agent.http_port)}
        assert len(ports) == 6
        assert 0 not in ports
        assert [agent.name for agent in cluster.agents] == ["dev1", "dev2", "dev3"]
        assert {agent.address for agent in cluster.agents} == {OWN}


async def test_dies_and_comes_back_on_the_same_ports(dns_tools: Any) -> None:
    async with DevCluster(dns_tools.examples) as cluster:
        first, second, _ = cluster.agents
        ports = (first.dns_port, first.http_port)
        await first.stop()
        await refused(dns_tools, first)
        assert (await dns_tools.ask(second, NAME, "A"))[0] == "NOERROR aa"
        await first.start()
        assert (first.dns_port, first.http_port) == ports
        assert (await dns_tools.ask(first, NAME, "A"))[0] == "NOERROR aa"
        assert (await dns_tools.ask_tcp(first, NAME, "A"))[0] == "NOERROR aa"
    for agent in cluster.agents:
        await refused(dns_tools, agent)


async def test_parts_stop_alone(cluster: DevCluster, dns_tools: Any) -> None:
    agent = cluster.agents[0]
    await agent.stop("tcp")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(agent.address, agent.dns_port)
    assert (await dns_tools.ask(agent, NAME, "A"))[0] == "NOERROR aa"
    await agent.start("tcp")
    await agent.stop("udp")
    assert (await dns_tools.ask_tcp(agent, NAME, "A"))[0] == "NOERROR aa"
    async with dns_tools.client(agent) as client:
        client.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            await client.receive()
    await agent.start()
    assert (await dns_tools.ask(agent, NAME, "A"))[0] == "NOERROR aa"


@pytest.mark.parametrize("part", ["tcp", "http"])
@pytest.mark.parametrize("turns", range(4))
async def test_stopping_cuts_who_was_accepted_a_moment_before(
    dns_tools: Any, part: Any, turns: int
) -> None:
    """Whatever asyncio was at: nobody talks on to a dead agent, and nothing is left half made."""
    with socket.socket() as sock, warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always")
        sock.settimeout(2)
        async with DevCluster(dns_tools.examples, 1) as cluster:
            (agent,) = cluster.agents
            sock.connect((agent.address, agent.http_port if part == "http" else agent.dns_port))
            for _ in range(turns):
                await asyncio.sleep(0)
            await agent.stop(part)
            await asyncio.sleep(0)
            with suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        gc.collect()
    assert [str(one.message) for one in left] == []


async def test_stopping_cuts_connections_and_replies_under_way(
    cluster: DevCluster, dns_tools: Any
) -> None:
    agent = cluster.agents[0]
    agent.faults.any.delay.on(60.0)
    reader, writer = await asyncio.open_connection(agent.address, agent.dns_port)
    packet = dns_tools.question(NAME, "A")
    writer.write(len(packet).to_bytes(2, "big") + packet)
    async with dns_tools.client(agent) as client:
        client.send(packet)
        while len(agent.queries) < 2:
            await asyncio.sleep(0.001)
        before = asyncio.all_tasks()
        await cluster.stop()
        assert asyncio.all_tasks() == before
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_stop_twice_and_start_twice_are_harmless(cluster: DevCluster, dns_tools: Any) -> None:
    await cluster.start()
    assert (await dns_tools.ask(cluster.agents[0], NAME, "A"))[0] == "NOERROR aa"
    await cluster.stop()
    await cluster.stop()


async def test_a_port_taken_meanwhile_is_an_error_and_leaks_nothing(dns_tools: Any) -> None:
    cluster = DevCluster(dns_tools.examples, 2, http=False)
    await cluster.start()
    await cluster.stop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((OWN, cluster.agents[1].dns_port))
        with pytest.raises(OSError, match="in use"):
            await cluster.start()
        await refused(dns_tools, cluster.agents[0])
    await cluster.start()
    assert (await dns_tools.ask(cluster.agents[1], NAME, "A"))[0] == "NOERROR aa"
    await cluster.stop()


async def test_an_agent_may_see_another_catalog(cluster: DevCluster, dns_tools: Any) -> None:
    lagging = cluster.agents[2]
    lagging.catalogs["dc1"] = cluster.catalog.copy()
    cluster.catalog.deregister("galera1")
    counts = [len(await dns_tools.ask(agent, NAME, "A")) - 1 for agent in cluster.agents]
    assert counts == [2, 2, 3]
    lagging.catalogs["dc1"] = cluster.catalog
    assert len(await dns_tools.ask(lagging, NAME, "A")) - 1 == 2


async def test_starting_takes_milliseconds() -> None:
    """Best of five, so that a busy machine does not decide."""
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        async with DevCluster(http=False):
            best = min(best, time.perf_counter() - begun)
    assert best < 0.05


async def test_definitions_are_read_before_anything_starts(tmp_path: Any) -> None:
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError):
        DevCluster(tmp_path)
    with pytest.raises(ValueError, match="at least one"):
        DevCluster(agents=0)


async def test_without_http_there_is_none(cluster: DevCluster) -> None:
    agent = cluster.agents[0]
    assert (agent.http_port, agent.streaming, list(agent.requests)) == (0, False, [])
    with pytest.raises(ValueError, match="no HTTP port"):
        agent.streaming = True
