"""Each fault as a client sees it: what was asked, what came back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import dns.exception
import pytest

from consulfwd.dev import FORGED, DevAgent, DevCluster

NAME = "galeradb.service.consul"


async def answers(tools: Any, agent: DevAgent, name: str = NAME, edns: int | None = None) -> Any:
    return await tools.over_udp(agent, tools.question(name, "A", edns=edns))


async def test_drop_is_silence_and_counts_down(agent: DevAgent, dns_tools: Any) -> None:
    agent.faults.udp.drop.on(count=2)
    async with dns_tools.client(agent) as client:
        for id in (1, 2, 3):
            client.send(dns_tools.question(NAME, "A", id=id))
        assert (await client.receive())[:2] == b"\x00\x03"
        assert client.waiting == 0
    assert agent.faults.udp.drop.hits == 2
    assert [query.name for query in agent.queries] == [NAME] * 3
    assert agent.counts == {"udp": 3}


async def test_delay_lets_others_overtake(agent: DevAgent, dns_tools: Any) -> None:
    agent.faults.any.delay.on(0.02, count=1)
    async with dns_tools.client(agent) as client:
        for id in (1, 2):
            client.send(dns_tools.question(NAME, "A", id=id))
        assert [(await client.receive())[:2] for _ in range(2)] == [b"\x00\x02", b"\x00\x01"]


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        ("servfail", ["SERVFAIL"]),
        ("refused", ["REFUSED"]),
        ("formerr", ["FORMERR"]),
        ("nxdomain", ["NXDOMAIN aa", "ns consul. 0 SOA ns.consul. hostmaster.consul. # 3600 600 "
                      "86400 0"]),
        ("truncate", ["NOERROR aa tc"]),
    ],
)
async def test_replies_of_another_kind(
    cluster: DevCluster, dns_tools: Any, fault: str, lines: list[str]
) -> None:
    sick, well = cluster.agents[:2]
    getattr(sick.faults.udp, fault).on()
    assert await dns_tools.ask(sick, NAME, "A") == lines
    assert (await dns_tools.ask_tcp(sick, NAME, "A"))[0] == "NOERROR aa"
    assert (await dns_tools.ask(well, NAME, "A"))[0] == "NOERROR aa"
    getattr(sick.faults.any, fault).on()
    assert await dns_tools.ask_tcp(sick, NAME, "A") == lines
    sick.faults.clear()
    assert (await dns_tools.ask(sick, NAME, "A"))[0] == "NOERROR aa"
    assert getattr(sick.faults.udp, fault).hits == 0


async def test_nxdomain_spares_the_apex_and_foreign_names(
    agent: DevAgent, dns_tools: Any
) -> None:
    agent.faults.any.nxdomain.on()
    assert (await dns_tools.ask(agent, "consul", "SOA"))[0] == "NOERROR aa"
    assert (await dns_tools.ask(agent, "example.com", "A"))[0] == "REFUSED"
    assert (await dns_tools.ask(agent, "11.10.0.10.in-addr.arpa", "PTR"))[0] == "NXDOMAIN aa"


async def test_truncate_keeps_opt_and_silent_cut_keeps_some(
    agent: DevAgent, dns_tools: Any
) -> None:
    agent.faults.udp.truncate.on(count=1)
    assert await dns_tools.ask(agent, NAME, "A", edns=1232) == ["NOERROR aa tc", "OPT 1232"]
    agent.faults.udp.silent_cut.on(1)
    reply = await answers(dns_tools, agent)
    assert (len(reply.answers), reply.flags) == (1, ("aa",))
    agent.faults.udp.silent_cut.on(0)
    assert await dns_tools.ask(agent, NAME, "A") == ["NOERROR aa"]


async def test_no_edns(agent: DevAgent, dns_tools: Any) -> None:
    agent.faults.udp.no_edns.on()
    reply = await answers(dns_tools, agent, edns=1232)
    assert (len(reply.answers), reply.opt) == (3, None)


async def test_wrong_id_and_wrong_question(agent: DevAgent, dns_tools: Any) -> None:
    agent.faults.udp.wrong_id.on(count=1)
    reply = await answers(dns_tools, agent)
    assert (reply.id, reply.question) == (4711 ^ 0x5A5A, NAME + ".")
    agent.faults.udp.wrong_question.on(count=1)
    reply = await answers(dns_tools, agent)
    assert (reply.id, reply.question) == (4711, "wrong-question.invalid.")
    reply = await answers(dns_tools, agent)
    assert (reply.id, reply.question) == (4711, NAME + ".")


async def test_garbage_has_the_right_id_and_is_no_message(
    agent: DevAgent, dns_tools: Any
) -> None:
    agent.faults.udp.garbage.on()
    async with dns_tools.client(agent) as client:
        client.send(dns_tools.question(NAME, "A", id=7))
        noise = await client.receive()
    assert noise[:4] == b"\x00\x07\x84\x00"
    with pytest.raises(dns.exception.DNSException):
        dns_tools.parse(noise)


async def test_spoofed_replies_come_first_and_are_never_right(
    agent: DevAgent, dns_tools: Any
) -> None:
    agent.faults.udp.spoofed.on(3, count=1)
    async with dns_tools.client(agent) as client:
        client.send(dns_tools.question(NAME, "A", id=7))
        *forged, right = [dns_tools.parse(await client.receive()) for _ in range(4)]
    assert [(reply.id, reply.question) for reply in forged] == [
        (8, NAME + "."), (7, "wrong-question.invalid."), (10, NAME + ".")
    ]
    assert {reply.answers[0].data for reply in forged} == {FORGED}
    assert (right.id, len(right.answers)) == (7, 3)


async def test_probability_follows_the_seed(dns_tools: Any) -> None:
    async def pattern() -> list[str]:
        async with DevCluster(dns_tools.examples, 1, http=False) as cluster:
            cluster.agents[0].faults.udp.servfail.on(probability=0.5)
            return [(await dns_tools.ask(cluster.agents[0], NAME, "A"))[0] for _ in range(30)]

    first = await pattern()
    assert 5 < first.count("SERVFAIL") < 25
    assert await pattern() == first


def test_an_impossible_probability_is_refused(clock: Any) -> None:
    faults = DevCluster(clock=clock, http=False).agents[0].faults
    with pytest.raises(ValueError, match="between 0 and 1"):
        faults.udp.drop.on(probability=1.5)


# Frozen, resumed


async def test_frozen_holds_queries_and_answers(agent: DevAgent, dns_tools: Any) -> None:
    agent.faults.udp.delay.on(0.001, count=1)
    async with dns_tools.client(agent) as client:
        client.send(dns_tools.question(NAME, "A", id=1))
        while not agent.queries:
            await asyncio.sleep(0)
        agent.faults.frozen = True
        client.send(dns_tools.question(NAME, "A", id=2))
        while agent.faults.holding < 2:
            await asyncio.sleep(0.001)
        assert client.waiting == 0
        agent.faults.frozen = False
        assert {(await client.receive())[:2] for _ in range(2)} == {b"\x00\x01", b"\x00\x02"}


async def test_resumed_agent_denies_everything_for_a_while(
    agent: DevAgent, dns_tools: Any, clock: Any
) -> None:
    agent.faults.frozen = True
    async with dns_tools.client(agent) as client:
        client.send(dns_tools.question(NAME, "A", id=1))
        while not agent.faults.holding:
            await asyncio.sleep(0.001)
        agent.faults.resume(nxdomain_for=5.0)
        assert dns_tools.show(dns_tools.parse(await client.receive()))[0] == "NXDOMAIN aa"
    clock.now += 4.999
    assert (await dns_tools.ask(agent, NAME, "A"))[0] == "NXDOMAIN aa"
    assert (await dns_tools.ask(agent, "consul", "SOA"))[0] == "NOERROR aa"
    clock.now += 0.001
    assert (await dns_tools.ask(agent, NAME, "A"))[0] == "NOERROR aa"


async def test_death_while_frozen_forgets_what_was_held(agent: DevAgent, dns_tools: Any) -> None:
    agent.faults.frozen = True
    async with dns_tools.client(agent) as client:
        client.send(dns_tools.question(NAME, "A"))
        while not agent.faults.holding:
            await asyncio.sleep(0.001)
    await agent.stop()
    await agent.start()
    assert (agent.faults.frozen, agent.faults.holding) == (False, 0)
    assert (await dns_tools.ask(agent, NAME, "A"))[0] == "NOERROR aa"
    assert len(agent.queries) == 1


# Connections


def framed(tools: Any, id: int) -> bytes:
    packet: bytes = tools.question(NAME, "A", id=id)
    return len(packet).to_bytes(2, "big") + packet


async def message(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(length)


@pytest.fixture
async def stream(agent: DevAgent) -> Any:
    """A TCP connection to the agent, made when first called."""
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(agent.address, agent.dns_port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()


async def test_tcp_pipelined_and_in_pieces(stream: Any, dns_tools: Any) -> None:
    reader, writer = await stream()
    data = framed(dns_tools, 1) + framed(dns_tools, 2)
    for at in range(0, len(data), 7):
        writer.write(data[at : at + 7])
        await writer.drain()
    assert [(await message(reader))[:2] for _ in range(2)] == [b"\x00\x01", b"\x00\x02"]


async def test_tcp_closes_after_so_many_queries(
    agent: DevAgent, stream: Any, dns_tools: Any
) -> None:
    assert agent.limits.queries == 128
    agent.limits.queries = 2
    reader, writer = await stream()
    writer.write(b"".join(framed(dns_tools, id) for id in (1, 2, 3)))
    assert [(await message(reader))[:2] for _ in range(2)] == [b"\x00\x01", b"\x00\x02"]
    assert await reader.read() == b""


async def test_tcp_closes_when_idle(agent: DevAgent, stream: Any) -> None:
    assert agent.limits.idle_s == 8.0
    agent.limits.idle_s = 0.01
    reader, _ = await stream()
    assert await reader.read() == b""


async def test_tcp_refuse_resets(agent: DevAgent, stream: Any, dns_tools: Any) -> None:
    agent.faults.tcp.refuse.on(count=1)
    reader, _ = await stream()
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert (await dns_tools.ask_tcp(agent, NAME, "A"))[0] == "NOERROR aa"


async def test_tcp_half_close_and_stall(agent: DevAgent, stream: Any, dns_tools: Any) -> None:
    agent.faults.tcp.half_close.on(count=1)
    reader, writer = await stream()
    writer.write(framed(dns_tools, 1))
    half = await reader.read()
    assert 2 < len(half) < int.from_bytes(half[:2], "big")
    agent.faults.tcp.stall.on(count=1)
    reader, writer = await stream()
    writer.write(framed(dns_tools, 1))
    assert await reader.readexactly(len(half)) == half
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.02)


async def test_tcp_slow_comes_byte_by_byte_and_whole(
    agent: DevAgent, stream: Any, dns_tools: Any
) -> None:
    agent.faults.tcp.slow.on(0.0001, count=1)
    reader, writer = await stream()
    writer.write(framed(dns_tools, 1) + framed(dns_tools, 2))
    first = await reader.read(1000)
    rest = int.from_bytes(first + await reader.readexactly(2 - len(first)), "big")
    assert len(first) == 1
    assert (await reader.readexactly(rest))[:2] == b"\x00\x01"
    assert (await message(reader))[:2] == b"\x00\x02"


async def test_faults_of_messages_work_over_tcp(
    agent: DevAgent, stream: Any, dns_tools: Any
) -> None:
    agent.faults.tcp.spoofed.on(1, count=1)
    reader, writer = await stream()
    writer.write(framed(dns_tools, 7))
    assert [(await message(reader))[:2] for _ in range(2)] == [b"\x00\x08", b"\x00\x07"]
    agent.faults.tcp.drop.on(count=1)
    writer.write(framed(dns_tools, 8) + framed(dns_tools, 9))
    assert (await message(reader))[:2] == b"\x00\x09"
