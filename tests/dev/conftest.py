"""What the tests of the development agents share: a client of their own and readable replies.

Replies are decoded by dnspython, which the agents do not use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from consulfwd.dev import DevAgent, DevCluster

PATIENCE_S = 5.0
EXAMPLES = Path(__file__).parents[2] / "examples" / "consul.d"


class Datagrams(asyncio.DatagramProtocol):
    """A UDP client that keeps whatever comes back."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.arrived.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        self.arrived.put_nowait(exc)


class Client:
    """One UDP socket connected to an agent; `send` and `receive` in any order."""

    def __init__(self, agent: DevAgent) -> None:
        self._agent = agent

    async def __aenter__(self) -> Client:
        loop = asyncio.get_running_loop()
        remote = (self._agent.address, self._agent.dns_port)
        self._transport, self._protocol = await loop.create_datagram_endpoint(
            Datagrams, remote_addr=remote
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        self._transport.close()
        await asyncio.sleep(0)

    def send(self, packet: bytes) -> None:
        self._transport.sendto(packet)

    async def receive(self) -> bytes:
        """The next datagram; raises what the socket reported, such as ConnectionRefusedError."""
        found = await asyncio.wait_for(self._protocol.arrived.get(), PATIENCE_S)
        if isinstance(found, Exception):
            raise found
        return found

    @property
    def waiting(self) -> int:
        return self._protocol.arrived.qsize()


@dataclass(frozen=True)
class Row:
    """One record, its data as text."""

    name: str
    ttl: int
    type: str
    data: str


@dataclass(frozen=True)
class Message:
    """A reply taken apart; `flags` in dig's words, `opt` the EDNS size or None without EDNS."""

    id: int
    rcode: str
    flags: tuple[str, ...]
    question: str
    answers: list[Row]
    authority: list[Row]
    additional: list[Row]
    opt: int | None
    ecs: bytes | None


def question(
    name: str, qtype: str, *, edns: int | None = None, ecs: bytes | None = None, id: int = 4711
) -> bytes:
    query = dns.message.make_query(name, qtype, id=id)
    if edns is not None:
        options: list[dns.edns.Option] = []
        if ecs is not None:
            options.append(dns.edns.GenericOption(dns.edns.OptionType.ECS, ecs))
        query.use_edns(0, payload=edns, options=options)
    return query.to_wire()


def parse(packet: bytes) -> Message:
    found = dns.message.from_wire(packet, one_rr_per_rrset=True)
    assert found.flags & dns.flags.QR
    assert found.opcode() == dns.opcode.QUERY
    (asked,) = found.question
    flags = ("aa", dns.flags.AA), ("tc", dns.flags.TC), ("ra", dns.flags.RA)
    return Message(
        id=found.id,
        rcode=dns.rcode.to_text(found.rcode()),
        flags=tuple(word for word, bit in flags if found.flags & bit),
        question=str(asked.name),
        answers=_rows(found.answer),
        authority=_rows(found.authority),
        additional=_rows(found.additional),
        opt=found.payload if found.edns >= 0 else None,
        ecs=next((option.to_wire() for option in found.options), None),
    )


def _rows(section: list[dns.rrset.RRset]) -> list[Row]:
    assert {rrset.rdclass for rrset in section} <= {dns.rdataclass.IN}
    return [
        Row(str(rrset.name), rrset.ttl, dns.rdatatype.to_text(rrset.rdtype), str(rrset[0]))
        for rrset in section
    ]


def show(reply: Message) -> list[str]:
    """`NOERROR aa`, then one line per record, sorted inside each section; SOA serials masked."""
    lines = [" ".join([reply.rcode, *reply.flags])]
    sections = ("an", reply.answers), ("ns", reply.authority), ("ar", reply.additional)
    for section, rows in sections:
        texts = []
        for row in rows:
            parts = row.data.split()
            if row.type == "SOA":
                parts[2] = "#"
            texts.append(f"{section} {row.name} {row.ttl} {row.type} {' '.join(parts)}")
        lines += sorted(texts)
    if reply.opt is not None:
        lines.append(f"OPT {reply.opt}")
    return lines


async def over_udp(agent: DevAgent, query: bytes) -> Message:
    async with Client(agent) as client:
        client.send(query)
        return parse(await client.receive())


async def over_tcp(agent: DevAgent, query: bytes) -> Message:
    reader, writer = await asyncio.open_connection(agent.address, agent.dns_port)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), PATIENCE_S), "big")
        return parse(await asyncio.wait_for(reader.readexactly(length), PATIENCE_S))
    finally:
        writer.close()
        await writer.wait_closed()


class Tools:
    """The functions above, for tests that ask an agent something."""

    client = staticmethod(Client)
    question = staticmethod(question)
    parse = staticmethod(parse)
    show = staticmethod(show)
    over_udp = staticmethod(over_udp)
    over_tcp = staticmethod(over_tcp)
    examples = EXAMPLES

    async def ask(
        self, agent: DevAgent, name: str, qtype: str, *, edns: int | None = None
    ) -> list[str]:
        return show(await over_udp(agent, question(name, qtype, edns=edns)))

    async def ask_tcp(self, agent: DevAgent, name: str, qtype: str) -> list[str]:
        return show(await over_tcp(agent, question(name, qtype)))


@pytest.fixture
def dns_tools() -> Tools:
    return Tools()


class HandClock:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def cluster(clock: HandClock) -> AsyncIterator[DevCluster]:
    """Three agents with the example services, DNS only."""
    running = DevCluster(EXAMPLES, clock=clock, http=False)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def agent(cluster: DevCluster) -> DevAgent:
    return cluster.agents[0]
