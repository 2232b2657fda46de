"""A DNS server in the test's own loop, asked: what its answers are worth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dnslib import RR, DNSRecord

from consulfwd.failover.model import Result
from tests.failover.checks.targets import checked, serving, told
from tests.loopback import OWN

OK, FAIL, ERROR = Result.OK, Result.FAIL, Result.ERROR
Answer = Callable[[bytes], list[bytes]]


def answer(query: bytes, *records: str, rcode: int = 0, cut: bool = False) -> bytes:
    reply = DNSRecord.parse(query).reply()
    reply.header.rcode = rcode
    reply.header.tc = cut
    for one in records:
        reply.add_answer(*RR.fromZone(one))
    return bytes(reply.pack())


class _Server(asyncio.DatagramProtocol):
    def __init__(self, answers: Answer) -> None:
        self._answers = answers

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for one in self._answers(data):
            self._transport.sendto(one, addr)


@asynccontextmanager
async def server(answers: Answer, port: int = 0) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Server(answers), local_addr=(OWN, port)
    )
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


A = "www.example.com. 5 A 192.0.2.1"
SOA = "example.com. 5 SOA ns.example.com. h.example.com. 2026 1 2 3 4"


@pytest.mark.parametrize(
    ("records", "given", "result", "reason"),
    [
        ([A], {}, OK, "NOERROR, 192.0.2.1"),
        ([A], {"values": ["192.0.2.2", "192.0.2.1"]}, OK, "NOERROR, 192.0.2.1"),
        ([A], {"values": ["192.0.2.2"]}, FAIL, "none of the values in its answer: 192.0.2.1"),
        ([A], {"type": "AAAA"}, FAIL, "no AAAA record in its answer"),
        ([A], {"rcode": "NXDOMAIN"}, FAIL, "NOERROR instead of NXDOMAIN"),
        ([], {}, FAIL, "no A record in its answer"),
        (
            ["www.example.com. 5 CNAME Web.example.com.", "web.example.com. 5 A 192.0.2.1"],
            {"type": "CNAME", "values": ["WEB.example.com."]},
            OK,
            "NOERROR, web.example.com.",
        ),
    ],
)
async def test_an_answer(
    records: list[str], given: dict[str, Any], result: Result, reason: str
) -> None:
    async with server(lambda query: [answer(query, *records)]) as port:
        outcome = await checked("dns", name="www.example.com", port=port, **given)
    assert told(outcome) == (result, reason.replace("web.", "Web.") if "web." in reason else reason)


async def test_another_response_code() -> None:
    async with server(lambda query: [answer(query, rcode=3)]) as port:
        name: dict[str, Any] = {"name": "no.example.com", "port": port}
        assert told(await checked("dns", **name, rcode="NXDOMAIN")) == (OK, "NXDOMAIN")
        assert told(await checked("dns", **name)) == (FAIL, "NXDOMAIN instead of NOERROR")


async def test_what_is_no_reply_is_waited_past() -> None:
    def answers(query: bytes) -> list[bytes]:
        right = answer(query, A)
        forged = answer(bytes([query[0] ^ 1]) + query[1:], "www.example.com. 5 A 203.0.113.66")
        other = answer(bytes(DNSRecord.question("evil.example").pack()))
        return [b"", b"x" * 600, forged, query[:2] + other[2:], right]

    async with server(answers) as port:
        outcome = await checked("dns", name="www.example.com", port=port)
        assert told(outcome) == (OK, "NOERROR, 192.0.2.1")
    async with server(lambda query: answers(query)[:-1]) as port:
        outcome = await checked("dns", name="www.example.com", port=port, timeout=0.1)
        late = "no answer within 100 ms (waiting for its reply; what came is none)"
        assert told(outcome) == (FAIL, late)


async def test_a_datagram_that_was_lost_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consulfwd.failover.checks.dns.AGAIN", 0.02)
    seen: list[bytes] = []

    def answers(query: bytes) -> list[bytes]:
        seen.append(query)
        return [answer(query, A)] if len(seen) == 3 else []

    async with server(answers) as port:
        assert (await checked("dns", name="www.example.com", port=port)).result is OK
    assert seen[0] == seen[2]


async def test_a_closed_port_is_the_targets_fault() -> None:
    async with server(lambda _: []) as port:
        pass
    outcome = await checked("dns", name="www.example.com", port=port)
    assert told(outcome) == (FAIL, "connection refused")


async def test_an_answer_that_is_cut_is_fetched_over_tcp() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        reply = answer(await reader.readexactly(length), A)
        writer.write(len(reply).to_bytes(2, "big") + reply)
        await writer.drain()

    async with (
        serving(talk) as port,
        server(lambda query: [answer(query, cut=True)], port),
    ):
        for transport in ("udp", "tcp"):
            outcome = await checked("dns", name="www.example.com", port=port, transport=transport)
            assert told(outcome) == (OK, "NOERROR, 192.0.2.1")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "the connection was closed without an answer"),
        (b"\0\5hello", "what came over TCP is no reply to the query"),
    ],
)
async def test_what_is_no_answer_over_tcp(said: bytes, reason: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(12)
        writer.write(said)
        await writer.drain()

    async with serving(talk) as port:
        outcome = await checked("dns", name="www.example.com", port=port, transport="tcp")
    assert told(outcome) == (FAIL, reason)
