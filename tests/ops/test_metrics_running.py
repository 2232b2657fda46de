"""Metrics of a running resolver: what happens is counted, and what is asked makes no series."""

from __future__ import annotations

import pytest

from tests.net.messages import question
from tests.net.world import World, until, world
from tests.ops.series import told

SUFFIXES = ("service.consul", "node.consul", "example.com", "query.consul")


async def ask_anything(running: World, count: int) -> None:
    """Ask so many names, each another one, of several types and over both transports."""
    async with running.udp() as udp, running.tcp() as tcp:
        for number in range(count):
            name = f"x{number:x}.{SUFFIXES[number % len(SUFFIXES)]}"
            client = tcp if number % 5 == 0 else udp
            client.send(question(name, ("A", "SRV", "TXT")[number % 3]))
            await client.receive()


async def test_what_strangers_ask_makes_no_series() -> None:
    async with world() as running:
        await ask_anything(running, 10)
        before = told(running.watched.snapshot())
        await ask_anything(running, 300)
        after = told(running.watched.snapshot())
    assert after.keys() == before.keys()
    assert after["consulfwd_queries_total",] == before["consulfwd_queries_total",] + 300
    assert len(after) < 200


async def test_what_happens_to_an_agent_is_told() -> None:
    async with world() as running:
        await running.ask("galeradb.service.consul")
        first = running.agents[0]
        agent = f"{first.address}:{first.dns_port}"
        before = told(running.watched.snapshot())
        await first.stop()
        await running.ask("web.service.consul")
        await until(lambda: running.states()[0] == "down")
        after = told(running.watched.snapshot())
        others = sum(len(one.queries) for one in running.agents[1:])
    group = next(key for key in before if key[0] == "consulfwd_group_servers_up" and before[key])
    assert (before[group], after[group]) == (3, 2)
    assert before["consulfwd_upstream_up", "agent", agent] == 1
    assert after["consulfwd_upstream_up", "agent", agent] == 0
    assert after["consulfwd_upstream_state", "agent", "down", agent] == 1
    assert after["consulfwd_upstream_changes_total", "agent", agent] > 0
    assert others > 0


@pytest.mark.parametrize("tcp", [False, True])
async def test_round_trips_are_counted_where_they_are_measured(tcp: bool) -> None:
    count = ("consulfwd_upstream_rtt_seconds_count", "agent")
    async with world() as running:
        before = told(running.watched.snapshot())[count]
        for number in range(5):
            await running.ask(f"x{number}.service.consul", tcp=tcp)
        after = told(running.watched.snapshot())[count]
    assert after - before >= 5
