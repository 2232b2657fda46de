"""The header: opcodes, flags, counts, classes. What is refused, and what is not even answered."""

from __future__ import annotations

import random

import pytest

from tests.conformance.conftest import Served, answered
from tests.conformance.octets import (
    AA,
    AD,
    ANY_CLASS,
    CD,
    CH,
    DO,
    FORMERR,
    HS,
    NOERROR,
    NONE,
    NOTIMP,
    QR,
    RA,
    RD,
    REFUSED,
    SOA,
    TC,
    TXT,
    A,
    Z,
    message,
    opt,
    query,
    question,
    record,
)  # fmt: skip
from tests.fuzz.corpus import QUERIES, spoiled

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKED = question("www.test")
ROW = record("www.test", A, "192.0.2.1")
EVERY_BIT = AA | TC | RD | RA | Z | AD | CD


@pytest.fixture(autouse=True)
def www(served: Served) -> None:
    served.upstream.answers("www.test", ROW)


# Opcodes


@pytest.mark.parametrize("bits", [0, RD, EVERY_BIT], ids=["none", "rd", "all"])
@pytest.mark.parametrize("opcode", range(1, 16))
async def test_opcodes(served: Served, opcode: int, bits: int) -> None:
    """RFC 1035 section 4.1.1, RFC 1996 section 3, RFC 2136 section 3.1, RFC 6895 section 2.2."""
    packet = message(opcode, opcode << 11 | bits, ASKED)
    reply = await served.ask(packet)
    assert (reply.rcode, reply.answers, reply.has(AA)) == (NOTIMP, [], False)
    # What CD says is about a QUERY: nobody knows what the others' bits mean.
    assert reply.flags & (RD | CD) == bits & RD
    assert reply.question in (b"", ASKED)
    assert (await served.ask_tcp(packet)).data == reply.data


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6, 15])
async def test_opcodes_with_edns(served: Served, opcode: int) -> None:
    """RFC 6891 section 6.1.1: who speaks EDNS is told so with every reply."""
    packet = message(opcode, opcode << 11, ASKED, additional=[opt(flags=DO)])
    reply = await served.ask(packet)
    assert (reply.rcode, reply.opt and reply.opt.flags) == (NOTIMP, DO)


async def test_update(served: Served) -> None:
    """RFC 2136 section 3.1: an update as clients send it."""
    zone, new = question("test", SOA), record("new.test", A, "192.0.2.9")
    for extra in ((), (opt(),)):
        reply = await served.ask(message(1, 5 << 11, zone, (), [new], extra))
        assert (reply.rcode, reply.opt is None) == (NOTIMP, not extra)


async def test_notify(served: Served) -> None:
    """RFC 1996 section 3.7: a primary's notice, with its SOA."""
    soa = record("test", SOA, "ns.test. nobody.test. 7 1 1 1 1")
    reply = await served.ask(message(1, 4 << 11 | AA, question("test", SOA), [soa]))
    assert (reply.rcode, reply.has(AA)) == (NOTIMP, False)


# What is no query


@pytest.mark.parametrize("opcode", [0, 1, 4, 5, 15])
@pytest.mark.parametrize("bits", [0, EVERY_BIT], ids=["plain", "all"])
async def test_responses_are_not_answered(served: Served, opcode: int, bits: int) -> None:
    """RFC 1035 section 7.3: an answer to an answer would go on for ever."""
    for packet in (
        message(1, QR | opcode << 11 | bits, ASKED),
        message(1, QR | opcode << 11 | bits | FORMERR),
        message(1, QR | opcode << 11 | bits, ASKED, [ROW], [], [opt()]),
    ):
        assert await served.silent(packet)


@pytest.mark.parametrize("size", range(12))
async def test_less_than_a_header(served: Served, size: int) -> None:
    """RFC 1035 section 4.1.1: without a whole header there is nobody to be answered."""
    assert await served.silent(query()[:size])


async def test_a_response_ends_a_connection(served: Served) -> None:
    """RFC 7766 section 10: a client that speaks nonsense on a stream loses it."""
    async with served.tcp() as client:
        client.send(message(1, QR, ASKED))
        assert await client.closed()


# Counts


@pytest.mark.parametrize(
    "counts",
    [
        *((0, 0, 0, 0), (2, 0, 0, 0), (65535, 0, 0, 0)),
        *((1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1), (1, 0, 0, 3), (1, 65535, 65535, 65535)),
    ],
    ids=lambda counts: "-".join(map(str, counts)),
)
async def test_counts_of_what_is_not_there(
    served: Served, counts: tuple[int, int, int, int]
) -> None:
    """RFC 1035 section 4.1.1, RFC 9619 section 4: what the header says must be there."""
    for packet in (message(1, RD, ASKED, counts=counts), message(1, RD, counts=counts)):
        reply = await served.ask(packet)
        assert (reply.rcode, reply.answers, reply.authority) == (FORMERR, [], [])
        assert (await served.ask_tcp(packet)).rcode == FORMERR


@pytest.mark.parametrize("before", [(), ((),)], ids=["answers", "authority"])
async def test_records_in_queries(served: Served, before: tuple[()]) -> None:
    """RFC 1035 sections 4.1 and 6.4: inverse queries are over, answers are not asked."""
    for rows in ([ROW], [ROW, ROW], [opt()]):
        reply = await served.ask(message(1, RD, ASKED, *before, rows))
        assert (reply.rcode, reply.answers) == (FORMERR, [])


async def test_two_questions(served: Served) -> None:
    """RFC 9619 section 4: a query has one question."""
    for second in (ASKED, question("other.test")):
        assert (await served.ask(message(1, RD, [ASKED, second]))).rcode == FORMERR
    assert (await served.ask(message(1, RD, []))).rcode == FORMERR
    assert served.upstream.heard("other.test") == []


async def test_no_question_but_edns(served: Served) -> None:
    """RFC 7873 section 5.4, RFC 9619 section 4: without a cookie no empty query is answered."""
    reply = await served.ask(message(1, RD, [], additional=[opt()]))
    assert (reply.rcode, reply.opt is not None) == (FORMERR, True)


@pytest.mark.parametrize("kind", [A, TXT, 250, 65280], ids=str)
async def test_one_more_record_beside_the_opt(served: Served, kind: int) -> None:
    """RFC 6891 section 6.1.1, RFC 8945 section 5.1: the OPT may stand anywhere in Additional."""
    rdata = {A: bytes(4), TXT: b"\0"}.get(kind, bytes(16))
    other = record(b"\0", kind, rdata, rclass=255 if kind == 250 else 1)
    for extra in ([other, opt()], [opt(), other]):
        reply = await served.ask(message(1, RD, ASKED, additional=extra))
        assert (reply.rcode, reply.rdata, reply.opt is not None) == (0, ["192.0.2.1"], True)


@pytest.mark.parametrize("behind", [b"\0", b"\0" * 11, ASKED, opt()], ids=["1", "11", "q", "opt"])
async def test_octets_behind_a_query(served: Served, behind: bytes) -> None:
    """RFC 1035 section 4.1.1: what no count speaks of is no part of a query."""
    reply = await served.ask(query(behind=behind))
    assert reply.rcode == FORMERR


async def test_spoiled_queries(served: Served) -> None:
    """RFC 1035 section 4.1.1: whatever it is, it has one reply to the letter, or none if nobody
    could have one."""
    rng = random.Random(1035)
    found = set()
    async with served.here.udp() as client:
        for _ in range(500):
            packet = spoiled(rng, QUERIES)
            client.send(packet)
            if len(packet) >= 12 and not packet[2] & 0x80:
                found.add(answered(packet, await client.receive()).rcode)
        assert client.waiting == 0
    assert {NOERROR, FORMERR, NOTIMP} <= found


# Flags


@pytest.mark.parametrize("bit", [AA, TC, RA, Z, AD], ids=["aa", "tc", "ra", "z", "ad"])
async def test_bits_that_mean_nothing_in_a_query(served: Served, bit: int) -> None:
    """RFC 1035 section 4.1.1, RFC 6895 section 2.1: ignored, and not given back."""
    reply = await served.ask(query(flags=RD | bit), times=4)
    assert (reply.rcode, reply.rdata) == (NOERROR, ["192.0.2.1"])
    assert reply.bits == QR | RD | RA


@pytest.mark.parametrize("bits", [0, RD, CD, RD | CD], ids=["none", "rd", "cd", "rd+cd"])
async def test_bits_that_are_copied(served: Served, bits: int) -> None:
    """RFC 1035 section 4.1.1, RFC 4035 section 3.2.2: RD and CD come back, RA is always there."""
    for name in ("www.test", "none.test", "localhost", "x.invalid", "galeradb.service.consul"):
        for times in (1, 3):
            reply = await served.ask(query(name, flags=bits), times=times)
            assert reply.bits & ~AA == QR | RA | bits


async def test_rcode_of_a_query(served: Served) -> None:
    """RFC 1035 section 4.1.1: the RCODE is a response's, in a query it says nothing."""
    for rcode in range(1, 16):
        reply = await served.ask(query(flags=RD | rcode))
        assert (reply.rcode, reply.rdata) == (NOERROR, ["192.0.2.1"])


@pytest.mark.parametrize(
    ("name", "times", "authoritative"),
    [
        pytest.param("www.test", 4, False, id="cached"),
        pytest.param("localhost", 1, True, id="localhost"),
        pytest.param("x.invalid", 1, True, id="invalid"),
    ],
)
async def test_authoritative(served: Served, name: str, times: int, authoritative: bool) -> None:
    """RFC 1035 section 4.1.1, RFC 2181 section 5.4.1, RFC 6303 section 3."""
    assert (await served.ask(query(name), times=times)).has(AA) is authoritative


# Classes


@pytest.mark.parametrize("qclass", [0, 2, CH, HS, NONE, ANY_CLASS, 65280, 65535], ids=str)
@pytest.mark.parametrize("name", ["www.test", "version.bind", "galeradb.service.consul"])
async def test_classes(served: Served, qclass: int, name: str) -> None:
    """RFC 1035 section 3.2.4, RFC 6895 section 3.2: there is only the Internet here."""
    before = len(served.here.agents[0].queries)
    for kind in (A, TXT, 255):
        packet = query(name, kind, qclass, edns=opt())
        reply = await served.ask(packet, times=2)
        assert (reply.rcode, reply.answers) == (REFUSED, [])
        assert (await served.ask_tcp(packet)).rcode == REFUSED
    assert {one.qtype for one in served.upstream.heard("version.bind")} == set()
    assert len(served.here.agents[0].queries) == before
