"""Large answers: whole over TCP up to the last octet, cut over UDP so that nobody is misled."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.conformance.conftest import Served
from tests.conformance.octets import (
    AAAA,
    MX,
    NOERROR,
    NS,
    SOA,
    TC,
    A,
    opt,
    query,
    record,
)
from tests.conformance.upstream import SOA_DATA, Asked, Script

pytestmark = pytest.mark.asyncio(loop_scope="module")

HERE = b"\xc0\x0c"
# Of no type the reader of the tests takes long to show.
OPAQUE = 65280


def over_tcp(
    *rows: bytes, authority: Sequence[bytes] = (), additional: Sequence[bytes] = ()
) -> Script:
    """Say all of it over TCP, and TC over UDP."""

    def say(asked: Asked) -> bytes:
        if asked.transport == "udp":
            return asked.reply(bits=TC)
        return asked.reply(*rows, authority=authority, additional=additional)

    return say


def texts(octets: int) -> list[bytes]:
    """Return strings that take exactly so much room."""
    rows = []
    while octets > 600:
        rows.append(record(HERE, OPAQUE, bytes((255,)) + b"x" * 255))
        octets -= len(rows[-1])
    first, second = (octets - 24) // 2, octets - 24 - (octets - 24) // 2
    for size in (first, second):
        rows.append(record(HERE, OPAQUE, bytes((size - 1,)) + b"y" * (size - 1)))
    return rows


ROOM = 65535 - 12 - len(b"\4huge\4test\0") - 4 - 11


@pytest.mark.parametrize("less", [0, 1, 11])
async def test_the_largest_answer(served: Served, less: int) -> None:
    """RFC 1035 section 4.2.2: 65,535 octets are a message."""
    name = f"hug{'abcdefghijkl'[less % 12]}.test"
    rows = texts(ROOM - less)
    served.upstream.on(name, over_tcp(*rows))
    for edns in (opt(), None):
        whole = await served.ask_tcp(query(name, OPAQUE, edns=edns))
        assert len(whole.data) == 65535 - less - (0 if edns else 11)
        assert (whole.rcode, whole.has(TC), len(whole.answers)) == (NOERROR, False, len(rows))
    assert [one.transport for one in served.upstream.heard(name)] == ["udp", "tcp"]


@pytest.mark.parametrize("size", [0, 1232, 65507, 65535])
async def test_the_largest_answer_over_udp(served: Served, size: int) -> None:
    """RFC 2181 section 9, RFC 6891 section 6.2.5: a datagram of 65,507 octets at most, and TC."""
    served.upstream.on("cut.test", over_tcp(*texts(ROOM)))
    reply = await served.ask(query("cut.test", OPAQUE, edns=opt(size)), times=2)
    assert reply.has(TC)
    assert len(reply.data) <= max(min(size, 65507), 512)
    assert (await served.ask_tcp(query("cut.test", OPAQUE))).has(TC) is False


GLUE = tuple(
    record(f"ns{number}.glue.test", kind, data)
    for number in range(12)
    for kind, data in ((A, f"192.0.2.{number}"), (AAAA, f"2001:db8::{number}"))
)
SERVERS = tuple(record("test", NS, f"ns{number}.glue.test.") for number in range(12))
EXCHANGES = tuple(record(HERE, MX, f"10 mx{number}.glue.test.") for number in range(3))


@pytest.mark.parametrize("edns", [None, opt(512), opt(600), opt(900)], ids=["none", *"569"])
@pytest.mark.parametrize("which", ["additional", "authority", "both"])
async def test_what_is_beside_the_answer_may_go(
    served: Served, which: str, edns: bytes | None
) -> None:
    """RFC 2181 sections 5.1 and 9: TC is for an answer that is cut, not for what only helps; and no
    RRset is sent in part."""
    name = f"{which}.beside.test"
    authority = SERVERS if which != "additional" else ()
    additional = GLUE if which != "authority" else ()
    served.upstream.on(name, over_tcp(*EXCHANGES, authority=authority, additional=additional))
    whole = await served.ask_tcp(query(name, MX))
    assert (len(whole.authority), len(whole.additional)) == (len(authority), len(additional))
    reply = await served.ask(query(name, MX, edns=edns), times=3)
    assert (reply.has(TC), len(reply.answers)) == (False, 3)
    assert len(reply.data) <= (512 if edns is None else int.from_bytes(edns[3:5], "big"))
    # One name server of several would be taken for all of them.
    assert len(reply.authority) in (0, len(authority))


async def test_a_denial_is_cut_as_an_answer_is(served: Served) -> None:
    """RFC 2181 section 9, RFC 2308 section 3: what proves that there is nothing is the answer."""
    soa = record("test", SOA, SOA_DATA)
    proof = tuple(record(f"{number}{'x' * 60}.test", 47, "y.test. A NSEC") for number in range(10))

    def deny(asked: Asked) -> bytes:
        return asked.reply(rcode=3, authority=[*proof, soa])

    served.upstream.on("proof.test", deny)
    reply = await served.ask(query("proof.test"), times=3)
    assert (reply.rcode, reply.has(TC), len(reply.data) <= 512) == (3, True, True)
    assert (await served.ask(query("proof.test", edns=opt(4096)), times=3)).has(TC) is False


async def test_tc_is_the_senders_and_is_not_passed_on(served: Served) -> None:
    """RFC 2181 section 9: what could be had whole is not marked as cut, nor is a part kept."""
    row = record(HERE, A, "192.0.2.1")

    def cut(asked: Asked) -> bytes:
        return asked.reply(row, bits=TC if asked.transport == "udp" else 0)

    served.upstream.on("part.test", cut)
    reply = await served.ask(query("part.test"), times=4)
    assert (reply.has(TC), reply.rdata) == (False, ["192.0.2.1"])
    assert [one.transport for one in served.upstream.heard("part.test")] == ["udp", "tcp"]


async def test_only_a_part_can_be_had(served: Served) -> None:
    """RFC 2181 section 9, RFC 7766 section 5: TC over UDP, an error over TCP, where TC means
    nothing."""
    row = record(HERE, A, "192.0.2.1")
    served.upstream.on("always.test", lambda asked: asked.reply(row, bits=TC))
    over_udp = await served.ask(query("always.test", edns=opt()))
    assert (over_udp.rcode, over_udp.has(TC)) == (NOERROR, True)
    stream = await served.ask_tcp(query("always.test", edns=opt()))
    assert (stream.rcode, stream.has(TC), stream.answers) == (2, False, [])
