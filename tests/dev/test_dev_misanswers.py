"""Each way an agent can misanswer, as a client sees it: what was asked, what came back."""

from __future__ import annotations

from typing import Any

import dns.exception
import pytest

from consulfwd.dev import DevAgent

NAME = "galeradb.service.consul"
GOOD = "NOERROR aa"
SERVER, NAMES = "3600 NS ", ("a.ns.invalid", "b.ns.invalid")


async def raw(tools: Any, agent: DevAgent, query: bytes) -> bytes:
    async with tools.client(agent) as client:
        client.send(query)
        found: bytes = await client.receive()
    return found


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        ("hollow", ["NOERROR"]),
        ("referral", ["NOERROR", *(f"ns service.consul. {SERVER}{one}." for one in NAMES)]),
        ("upward", ["NOERROR", *(f"ns . {SERVER}{one}." for one in NAMES)]),
        ("alias_alone", [GOOD, f"an {NAME}. 60 CNAME alias-target.invalid."]),
        (
            "alias_loop",
            [
                GOOD, f"an {NAME}. 60 CNAME loop.{NAME}.", f"an loop.{NAME}. 60 CNAME {NAME}.",
            ],
        ),
        ("edns_notimp", ["NOTIMP"]),
        ("edns_badvers", ["BADVERS"]),
    ],
)  # fmt: skip
async def test_replies_of_another_kind(
    agent: DevAgent, dns_tools: Any, fault: str, lines: list[str]
) -> None:
    getattr(agent.faults.any, fault).on(count=2)
    edns = [] if fault == "edns_notimp" else ["OPT 1232"]
    assert await dns_tools.ask(agent, NAME, "A", edns=1232) == lines + edns
    about_edns = fault.startswith("edns")
    over_tcp = await dns_tools.ask_tcp(agent, NAME, "A")
    assert over_tcp[0] == GOOD if about_edns else over_tcp == lines
    assert getattr(agent.faults.any, fault).hits == (1 if about_edns else 2)


async def test_queries_with_an_opt_are_dropped(agent: DevAgent, dns_tools: Any) -> None:
    agent.faults.udp.edns_drop.on()
    async with dns_tools.client(agent) as client:
        client.send(dns_tools.question(NAME, "A", edns=1232, id=1))
        client.send(dns_tools.question(NAME, "A", id=2))
        assert (await client.receive())[:2] == b"\0\2"
        assert client.waiting == 0


@pytest.mark.parametrize("octets", [600, 20_000, 65_000])
async def test_huge(agent: DevAgent, dns_tools: Any, octets: int) -> None:
    agent.faults.any.huge.on(octets)
    packet = await raw(dns_tools, agent, dns_tools.question(NAME, "A", edns=512))
    assert octets - 300 <= len(packet) <= octets
    reply = dns_tools.parse(packet)
    assert len({row.data for row in reply.answers}) == len(reply.answers) > 10
    stream = await dns_tools.over_tcp(agent, dns_tools.question(NAME, "A"))
    assert len(stream.answers) == len(reply.answers)


async def test_two_opts(agent: DevAgent, dns_tools: Any) -> None:
    agent.faults.any.opt_twice.on()
    packet = await raw(dns_tools, agent, dns_tools.question(NAME, "A", edns=1232))
    assert packet[10:12] == b"\0\2"
    assert packet[-11:] == packet[-22:-11]
    with pytest.raises(dns.exception.FormError):
        dns_tools.parse(packet)
    assert await dns_tools.ask(agent, NAME, "A") == await dns_tools.ask_tcp(agent, NAME, "A")


async def test_wrong_case(agent: DevAgent, dns_tools: Any) -> None:
    agent.faults.any.wrong_case.on()
    reply = await dns_tools.over_udp(agent, dns_tools.question("GaleraDB.service.consul", "A"))
    assert (reply.question, len(reply.answers)) == ("gALERAdb.SERVICE.CONSUL.", 3)


async def test_wrong_class(agent: DevAgent, dns_tools: Any) -> None:
    agent.faults.any.wrong_class.on()
    query = dns_tools.question(NAME, "A")
    packet = await raw(dns_tools, agent, query)
    assert packet[12 : len(query)] == query[12:]
    assert packet[len(query) :].count(b"\xc0\x0c\0\1\0\3") == 3


@pytest.mark.parametrize("bits", [0x0020, 0x0040, 0x0080, 0x0010, 0x00F0])
async def test_bits(agent: DevAgent, dns_tools: Any, bits: int) -> None:
    query = dns_tools.question(NAME, "A")
    before = await raw(dns_tools, agent, query)
    agent.faults.any.bits.on(bits)
    after = await raw(dns_tools, agent, query)
    assert int.from_bytes(after[2:4], "big") == int.from_bytes(before[2:4], "big") | bits


@pytest.mark.parametrize("ttl", [1, 2**31, 2**32 - 1])
async def test_ttl(agent: DevAgent, dns_tools: Any, ttl: int) -> None:
    agent.faults.any.ttl.on(ttl)
    # dnspython shows a TTL with the highest bit as 0.
    packet = await raw(dns_tools, agent, dns_tools.question(NAME, "A"))
    assert packet.count(b"\0\1\0\1" + ttl.to_bytes(4, "big") + b"\0\4\x0a") == 3


async def test_octets(agent: DevAgent, dns_tools: Any) -> None:
    query = dns_tools.question("mariadb1.node.consul", "A")
    good = await raw(dns_tools, agent, query)
    agent.faults.any.query_again.on(count=1)
    assert await raw(dns_tools, agent, query) == good[:2] + b"\x05" + good[3:]
    agent.faults.any.behind.on(7, count=1)
    assert await raw(dns_tools, agent, query) == good + bytes(7)
    agent.faults.any.half.on(count=1)
    assert await raw(dns_tools, agent, query) == good[: len(good) // 2]
    agent.faults.any.twice.on(count=1)
    async with dns_tools.client(agent) as client:
        client.send(query)
        assert [await client.receive(), await client.receive()] == [good, good]
    assert await raw(dns_tools, agent, query) == good
