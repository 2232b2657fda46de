"""Types: each is answered once, what nobody knows is passed on, what is no data is not."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from tests.conformance.conftest import Served
from tests.conformance.octets import (
    ANY,
    FORMERR,
    NOERROR,
    OPT,
    RD,
    REFUSED,
    SERVFAIL,
    SOA,
    message,
    opt,
    query,
    question,
    read,
    record,
    wire,
)  # fmt: skip
from tests.conformance.upstream import Asked

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = wire("types.test")
# Data for the types of which the form is known to a receiver (RFC 1035, RFC 3597 section 4):
# names are the root.
KNOWN = {
    1: bytes(4), 28: bytes(16), 6: bytes(22), 14: bytes(2), 15: bytes(3), 17: bytes(2),
    18: bytes(3), 21: bytes(3), 26: bytes(4), 33: bytes(7), 35: bytes(8), 36: bytes(3),
    **dict.fromkeys((2, 3, 4, 5, 7, 8, 9, 12, 39), b"\0"),
}  # fmt: skip
# What would be a compression pointer in a type that may hold one.
OPAQUE = b"\xc0\x0c\xff\0"
IXFR, AXFR, TKEY, TSIG = 251, 252, 249, 250
NOT_DATA = {0: FORMERR, OPT: FORMERR, TKEY: FORMERR, TSIG: FORMERR, IXFR: REFUSED, AXFR: REFUSED}
# What the random profile asks instead of a part: that takes a quarter of a minute.
ALL = os.environ.get("HYPOTHESIS_PROFILE") == "random"
AT_ONCE = 64


def types() -> list[int]:
    """Those assigned and their neighbours, those for private use, and some of all others."""
    if ALL:
        return list(range(65536))
    powers = {2**n + near for n in range(9, 16) for near in (-1, 0, 1)}
    chosen = {*range(512), *powers, *range(65275, 65536), *range(512, 65536, 97)}
    return sorted(chosen)


def parts(numbers: list[int]) -> Iterator[list[int]]:
    for begin in range(0, len(numbers), AT_ONCE):
        yield numbers[begin : begin + AT_ONCE]


def some(asked: Asked) -> bytes:
    """One record of the type asked, made quickly: the OPT of the query is the reply's."""
    data = asked.data
    kind = data[-15:-13]
    rdata = KNOWN.get(kind[0] << 8 | kind[1], OPAQUE)
    answer = b"\xc0\x0c" + kind + b"\0\1\0\0\1\x2c" + struct.pack("!H", len(rdata)) + rdata
    return data[:2] + b"\x81\x80\0\1\0\1\0\0\0\1" + data[12:-11] + answer + data[-11:]


def answer_of(kind: int) -> bytes:
    rdata = KNOWN.get(kind, OPAQUE)
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 300, len(rdata)) + rdata


async def test_every_type(served: Served) -> None:
    """RFC 3597 section 3, RFC 6895 section 3.1: types nobody knows are data like any other."""
    served.upstream.on(NAME, some)
    empty = opt(1232)
    async with served.here.udp() as client:
        for numbers in parts(types()):
            for number in numbers:
                asked = question(NAME, number)
                client.send(message(number, RD, asked, additional=[empty]))
            replies = [await client.receive() for _ in numbers]
            seen = {int.from_bytes(reply[:2], "big"): reply for reply in replies}
            assert sorted(seen) == numbers
            for number, reply in seen.items():
                asked = question(NAME, number)
                rcode = NOT_DATA.get(number, NOERROR)
                found = [answer_of(number)] if rcode == NOERROR else []
                if number == ANY:
                    found = [b"\xc0\x0c" + record(b"", 13, b"\x07RFC8482\0", 3789)]
                whole = message(number, 0x8180 | rcode, asked, found, additional=[empty])
                assert reply == whole, number
        assert client.waiting == 0


COMMON = [1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 43, 46, 48, 64, 65, 99, 255, 257, 65280, 65535]


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("galeradb.service.consul", [one for one in range(130) if one not in NOT_DATA]),
        *(("none.service.consul", COMMON), ("consul", COMMON)),
    ],
    ids=["service", "none", "apex"],
)
async def test_every_type_at_consul(served: Served, name: str, numbers: list[int]) -> None:
    """RFC 1034 section 3.7: an agent is asked for whatever type it is."""
    async with served.here.udp() as client:
        for few in parts(numbers):
            for number in few:
                client.send(message(number, RD, question(name, number)))
            replies = [read(await client.receive()) for _ in few]
            assert sorted(reply.ident for reply in replies) == few
            for reply in replies:
                assert reply.question == question(name, reply.ident)
                assert reply.rcode in (0, 3)


@pytest.mark.parametrize("kind", NOT_DATA)
async def test_what_is_no_data_is_not_passed_on(served: Served, kind: int) -> None:
    """RFC 5936 section 2.2.1, RFC 6891 section 6.1.1, RFC 6895 section 3.1, RFC 8945 section 5."""
    name = f"no-data-{kind}.test"
    for packet in (query(name, kind, edns=opt()), query(name, kind)):
        reply = await served.ask(packet, times=3)
        assert (reply.rcode, reply.answers, reply.authority) == (NOT_DATA[kind], [], [])
        assert (await served.ask_tcp(packet)).rcode == NOT_DATA[kind]
    assert served.upstream.heard(name) == []


async def test_ixfr_says_what_it_has(served: Served) -> None:
    """RFC 1995 section 3: the SOA that the client has is in Authority."""
    soa = record("zone.test", SOA, "ns.test. nobody.test. 7 1 1 1 1")
    for kind, rcode in ((IXFR, REFUSED), (AXFR, FORMERR), (1, FORMERR)):
        packet = message(7, 0, question("zone.test", kind), authority=[soa])
        assert (await served.ask(packet)).rcode == rcode
        assert (await served.ask_tcp(packet)).rcode == rcode


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_any_outside_consul(served: Served, transport: str) -> None:
    """RFC 8482 section 4.2: one record that says why there are no others."""
    ask = served.ask if transport == "udp" else served.ask_tcp
    reply = await ask(query("any.test", ANY, edns=opt()))
    assert reply.answers == ['any.test. 3789 HINFO "RFC8482" ""']
    assert served.upstream.heard("any.test") == []


async def test_any_at_consul(served: Served) -> None:
    """RFC 1035 section 3.2.3: Consul answers ANY itself."""
    reply = await served.ask(query("galeradb.service.consul", ANY, edns=opt()))
    assert {line.split()[2] for line in reply.answers} == {"A"}


async def test_data_of_unknown_types_is_not_touched(served: Served) -> None:
    """RFC 3597 section 4: names are compressed in no type that is new, nor in a new class."""
    kind, rdata = 65280, bytes(range(256))
    served.upstream.answers("opaque.test", record("opaque.test", kind, rdata))
    reply = await served.ask(query("opaque.test", kind, edns=opt()), times=4)
    assert reply.data.count(rdata) == 1


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize(
    ("kind", "rdata"),
    [
        pytest.param(1, b"\1\2\3", id="A of 3"),
        pytest.param(1, b"\1\2\3\4\5", id="A of 5"),
        pytest.param(28, bytes(15), id="AAAA of 15"),
        pytest.param(5, b"\1a", id="CNAME cut"),
        pytest.param(5, b"\xc0\xff", id="CNAME ahead"),
        pytest.param(15, b"\0\1", id="MX without name"),
        pytest.param(33, bytes(6), id="SRV without target"),
        pytest.param(6, bytes(21), id="SOA short"),
    ],
)
async def test_data_that_is_none(served: Served, kind: int, rdata: bytes) -> None:
    """RFC 1035 section 3.3, RFC 3596 section 2.2: what is malformed reaches nobody."""
    name = f"bad-{kind}-{len(rdata)}.test"
    served.upstream.answers(name, record(name, kind, rdata))
    assert (await served.ask(query(name, kind, edns=opt()))).rcode == SERVFAIL
