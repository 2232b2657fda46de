"""The queries by which operators of servers are checked for EDNS: a SOA asked in twenty ways.

Those of ISC's EDNS compliance tester, by its names; where the answer has to be long, a DNSKEY.
"""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Served
from tests.conformance.octets import (
    AA,
    AD,
    BADVERS,
    CD,
    DO,
    NOERROR,
    NOTIMP,
    RA,
    RD,
    SOA,
    TC,
    Z,
    opt,
    option,
    query,
    record,
)
from tests.conformance.upstream import SOA_DATA, Asked

pytestmark = pytest.mark.asyncio(loop_scope="module")

DNSKEY, ZONE = 48, "zone.test"
UNKNOWN = option(100)
COOKIE = option(10, bytes(8))
LIST = option(3) + option(8, b"\0\1\0\0") + option(9) + COOKIE
SIGNATURE = bytes(18) + b"\4test\0" + bytes(64)
KEYS = [record(b"\xc0\x0c", DNSKEY, b"\1\1\3\x08" + bytes(128)) for _ in range(4)]


@pytest.fixture(autouse=True)
def zone(served: Served) -> None:
    def say(asked: Asked) -> bytes:
        rows = KEYS if asked.qtype == DNSKEY else [record(ZONE, SOA, SOA_DATA)]
        if asked.opt[7:8] == b"\x80":
            rows = [*rows, record(b"\xc0\x0c", 46, asked.question[-4:-2] + SIGNATURE)]
        return asked.reply(*rows)

    served.upstream.on(ZONE, say)


# Query, then whether the SOA is there, and the flags of the OPT (None: no OPT).
COMPLIANCE = {
    "dns": (query(ZONE, SOA, flags=0), NOERROR, None),
    "edns": (query(ZONE, SOA, edns=opt(4096)), NOERROR, 0),
    "edns1": (query(ZONE, SOA, edns=opt(4096, version=1)), BADVERS, 0),
    "ednsopt": (query(ZONE, SOA, edns=opt(4096, options=UNKNOWN)), NOERROR, 0),
    "edns1opt": (query(ZONE, SOA, edns=opt(4096, version=1, options=UNKNOWN)), BADVERS, 0),
    "do": (query(ZONE, SOA, edns=opt(4096, flags=DO)), NOERROR, DO),
    "edns1do": (query(ZONE, SOA, edns=opt(4096, version=1, flags=DO)), BADVERS, DO),
    "ednsflags": (query(ZONE, SOA, edns=opt(4096, flags=0x80)), NOERROR, 0),
    "edns1flags": (query(ZONE, SOA, edns=opt(4096, version=1, flags=0x80)), BADVERS, 0),
    "docookie": (query(ZONE, SOA, edns=opt(4096, flags=DO, options=COOKIE)), NOERROR, DO),
    "optlist": (query(ZONE, SOA, edns=opt(4096, options=LIST)), NOERROR, 0),
    "ednsnsid": (query(ZONE, SOA, edns=opt(4096, options=option(3))), NOERROR, 0),
    "edns1nsid": (query(ZONE, SOA, edns=opt(4096, version=1, options=option(3))), BADVERS, 0),
    "ednspad": (query(ZONE, SOA, edns=opt(4096, options=option(12, bytes(64)))), NOERROR, 0),
    **{
        name: (query(ZONE, SOA, flags=bits), NOERROR, None)
        for name, bits in (("aa", AA), ("ad", AD), ("cd", CD), ("ra", RA), ("rd", RD), ("tc", TC))
    },
    "zflag": (query(ZONE, SOA, flags=Z), NOERROR, None),
    "opcode": (query(ZONE, SOA, flags=15 << 11), NOTIMP, None),
    "opcodeflg": (query(ZONE, SOA, flags=15 << 11 | TC | RD | RA | CD | AD | AA | Z), NOTIMP, None),
    "type666": (query(ZONE, 666, edns=opt(4096)), NOERROR, 0),
}


@pytest.mark.parametrize("which", COMPLIANCE)
async def test_compliance(served: Served, which: str) -> None:
    """RFC 6891 sections 6 and 7, RFC 3225 section 3."""
    packet, rcode, flags = COMPLIANCE[which]
    for reply in (await served.ask(packet, times=3), await served.ask_tcp(packet)):
        assert reply.rcode == rcode
        assert any("SOA" in line for line in reply.answers) is (rcode == NOERROR)
        assert (reply.opt is None) is (flags is None)
        if reply.opt is not None:
            assert (reply.opt.version, reply.opt.flags, reply.opt.options) == (0, flags, [])


@pytest.mark.parametrize(
    ("which", "edns", "whole"),
    [
        pytest.param("edns@512", opt(512), False, id="edns@512"),
        pytest.param("signed", opt(512, flags=DO), False, id="signed"),
        pytest.param("signed@4096", opt(4096, flags=DO), True, id="signed@4096"),
    ],
)
async def test_long_answers(served: Served, which: str, edns: bytes, whole: bool) -> None:
    """RFC 6891 section 6.2.5, RFC 4035 section 3.1.1: 512 octets, and TC says so."""
    reply = await served.ask(query(ZONE, DNSKEY, edns=edns), times=3)
    assert (len(reply.data) <= 512) is not whole
    assert (reply.rcode, reply.has(TC), reply.opt is not None) == (NOERROR, not whole, True)


@pytest.mark.parametrize("flags", [0, DO], ids=["edns", "signed"])
async def test_ednstcp(served: Served, flags: int) -> None:
    """RFC 6891 section 6.2.3, RFC 7766 section 5: over TCP no size is too small."""
    for size in (0, 512, 4096):
        reply = await served.ask_tcp(query(ZONE, DNSKEY, edns=opt(size, flags=flags)))
        assert (reply.rcode, reply.has(TC)) == (NOERROR, False)
        assert len(reply.answers) == (5 if flags else 4)
        assert reply.opt is not None
        assert reply.opt.flags == flags
