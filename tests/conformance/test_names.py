"""Names: as long as they may be, of any octets, in whatever case, and never compressed in a
question."""

from __future__ import annotations

import struct

import pytest

from tests.conformance.conftest import Served
from tests.conformance.octets import (
    CNAME,
    FORMERR,
    NOERROR,
    NXDOMAIN,
    PTR,
    RD,
    A,
    from_labels,
    message,
    opt,
    query,
    question,
    record,
    wire,
)
from tests.conformance.upstream import Asked

pytestmark = pytest.mark.asyncio(loop_scope="module")

X63 = b"x" * 63
ROW = record(b"\xc0\x0c", A, "192.0.2.1")
LONGEST = from_labels(X63, X63, X63, b"y" * 61)
MOST = from_labels(*[b"z"] * 127)


async def passed_on(served: Served, name: bytes) -> None:
    """A name is asked upstream as it is, answered, and comes back to the letter."""
    served.upstream.on(name, lambda asked: asked.reply(ROW))
    for edns in (None, opt()):
        reply = await served.ask(query(name, edns=edns), times=3)
        assert (reply.rcode, reply.rdata, reply.question) == (0, ["192.0.2.1"], question(name))
    assert {one.name for one in served.upstream.asked if one.name.lower() == name.lower()} == {
        name.lower()
    }


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(from_labels(X63), id="label of 63"),
        pytest.param(LONGEST, id="255 octets"),
        pytest.param(MOST, id="127 labels"),
        pytest.param(b"\0", id="root"),
        pytest.param(from_labels(b"single"), id="one label"),
    ],
)
async def test_sizes(served: Served, name: bytes) -> None:
    """RFC 1035 sections 2.3.4 and 3.1: labels of 63, names of 255 octets."""
    await passed_on(served, name)
    assert len(LONGEST) == len(MOST) == 255


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(from_labels(X63, X63, X63, b"y" * 62), id="256 octets"),
        pytest.param(from_labels(*[b"z"] * 127, b"z"), id="128 labels"),
        pytest.param(from_labels(*[X63] * 4), id="257 octets"),
        pytest.param(from_labels(*[X63] * 20), id="1281 octets"),
        pytest.param(b"\x40" + b"x" * 64 + b"\0", id="label of 64"),
        pytest.param(b"\x41\x08x\0", id="bit string"),
        pytest.param(b"\x80x\0", id="label type 10"),
        pytest.param(b"\3www", id="no root"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_what_is_no_name(served: Served, name: bytes) -> None:
    """RFC 1035 sections 2.3.4 and 4.1.4, RFC 6891 section 5: too long, or of a label type that is
    no more."""
    before = len(served.upstream.asked)
    packet = query(name)
    (data,) = await served.all_replies(packet)
    assert (data[:2], data[3] & 15, data[4:12]) == (packet[:2], FORMERR, bytes(8))
    assert (await served.ask_tcp(packet)).rcode == FORMERR
    assert {one.name for one in served.upstream.asked[before:]} <= {wire("last.test")}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"\xc0\x0c", id="itself"),
        pytest.param(b"\1a\xc0\x0c", id="loop"),
        pytest.param(b"\xc0\x00", id="header"),
        pytest.param(b"\xc0\x04", id="counts"),
        pytest.param(b"\xc0\x12", id="ahead"),
        pytest.param(b"\xff\xff", id="outside"),
        pytest.param(b"\xc0", id="half"),
    ],
)
async def test_pointers_in_a_question(served: Served, name: bytes) -> None:
    """RFC 1035 section 4.1.4: a pointer leads to a name before it, and there is none."""
    packet = query(name)
    assert (await served.ask(packet)).rcode == FORMERR
    assert (await served.ask_tcp(packet)).rcode == FORMERR


async def test_a_pointer_in_the_second_question(served: Served) -> None:
    """RFC 1035 section 4.1.4, RFC 9619 section 4: it could be followed, and still is none."""
    packet = message(1, RD, [question("www.test"), question(b"\xc0\x0c")])
    assert (await served.ask(packet)).rcode == FORMERR


# What is in labels


@pytest.mark.parametrize("begin", range(0, 256, 32))
async def test_every_octet(served: Served, begin: int) -> None:
    """RFC 2181 section 11: any octets can be in a label."""
    octets = bytes(range(begin, begin + 32))
    await passed_on(served, from_labels(octets.lower(), b"octets", b"test"))


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param((b"www.test",), id="dot"),
        pytest.param((b".", b"test"), id="dot alone"),
        pytest.param((b"\0", b"test"), id="null"),
        pytest.param((b"www\0", b"test"), id="null behind"),
        pytest.param((b"\\", b"test"), id="backslash"),
        pytest.param((b" ", b"test"), id="space"),
        pytest.param((b"*", b"test"), id="star"),
        pytest.param((b"_dns", b"_udp", b"test"), id="underscores"),
        pytest.param((b"-", b"test"), id="dash"),
        pytest.param((b"\xff\xfe", b"test"), id="high"),
        pytest.param((b"xn--bcher-kva", b"test"), id="idn"),
        pytest.param("bücher.test".encode().split(b"."), id="utf-8"),
    ],
)
async def test_labels_of_anything(served: Served, labels: tuple[bytes, ...]) -> None:
    """RFC 2181 section 11, RFC 4343 section 2: what looks strange is a name all the same."""
    await passed_on(served, from_labels(*labels))


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param((b"galeradb.service.consul",), id="all"),
        pytest.param((b"galeradb", b"service.consul"), id="half"),
        pytest.param((b"galeradb", b"service", b"consul\0"), id="null"),
        pytest.param((b"a.localhost",), id="localhost"),
        pytest.param((b"a", b".onion"), id="onion"),
    ],
)
async def test_dots_in_labels_are_no_boundaries(served: Served, labels: tuple[bytes, ...]) -> None:
    """RFC 4343 section 2.1: a dot inside a label does not make it two: other zones are others."""
    await passed_on(served, from_labels(*labels))


async def test_names_that_differ_by_where_labels_end(served: Served) -> None:
    """RFC 1035 section 3.1: what one is answered with is not the other's."""
    names = [from_labels(*labels) for labels in [(b"a", b"b"), (b"a.b",), (b"a\1b",), (b"ab",)]]

    def number(asked: Asked) -> bytes:
        return asked.reply(record(b"\xc0\x0c", A, f"192.0.2.{names.index(asked.name)}"))

    for name in names:
        served.upstream.on(name, number)
    for _ in range(3):
        for at, name in enumerate(names):
            assert (await served.ask(query(name))).rdata == [f"192.0.2.{at}"]


# Case


SPELLINGS = ["case.test", "CASE.TEST", "CaSe.TeSt", "cAsE.tEsT"]


@pytest.mark.parametrize("ttl", [300, 0])
async def test_case_comes_back(served: Served, ttl: int) -> None:
    """RFC 1034 section 3.1, RFC 4343 section 4.1: one answer, each with the spelling it was asked
    in."""
    name = f"ttl-{ttl}"
    row = record(b"\xc0\x0c", A, "192.0.2.1", ttl)
    served.upstream.on(f"{name}.case.test", lambda asked: asked.reply(row))
    for spelling in SPELLINGS * 3:
        asked = wire(f"{name}.{spelling}")
        reply = await served.ask(query(asked, edns=opt()))
        assert (reply.question, reply.rdata) == (question(asked), ["192.0.2.1"])
        assert reply.answers[0].split()[0] == f"{name}.{spelling}."
    assert len(served.upstream.heard(f"{name}.case.test")) == (1 if ttl else len(SPELLINGS) * 3)


@pytest.mark.parametrize("name", ["GaLeRaDb.SeRvIcE.cOnSuL", "LoCaLhOsT", "X.iNvAlId", "nOnE.test"])
async def test_case_comes_back_from_everywhere(served: Served, name: str) -> None:
    """RFC 4343 section 4.1: from Consul, from here, for what is not there."""
    reply = await served.ask(query(name), times=3)
    assert reply.question == question(name)
    assert reply.rcode == (NOERROR if reply.answers else NXDOMAIN)


async def test_case_is_that_of_ascii_only(served: Served) -> None:
    """RFC 4343 section 3: an octet over 127 has no other case, in whatever encoding."""
    small, large = from_labels(b"\xe4", b"test"), from_labels(b"\xc4", b"test")
    served.upstream.on(small, lambda asked: asked.reply(ROW))
    assert (await served.ask(query(small), times=2)).rcode == NOERROR
    assert (await served.ask(query(large), times=2)).rcode == NXDOMAIN


async def test_case_of_data_is_kept(served: Served) -> None:
    """RFC 4343 section 4.2: how a name is spelled in data is its owner's business."""
    served.upstream.answers("data.test", record("data.test", PTR, "HOST.Name.test."))
    for name in ("data.test", "DATA.test"):
        assert (await served.ask(query(name, PTR), times=3)).rdata == ["HOST.Name.test."]


# Compression in replies


@pytest.mark.parametrize(
    "rdata",
    [
        pytest.param(b"\xc0\x0c", id="question"),
        pytest.param(b"\1a\xc0\x0c", id="below"),
        pytest.param(b"\xc0\x11", id="parent"),
        pytest.param(b"\1b\4test\0", id="spelled out"),
    ],
)
async def test_compressed_names_in_replies(served: Served, rdata: bytes) -> None:
    """RFC 1035 section 4.1.4: pointers of a reply still lead where they led."""
    name = f"c{len(rdata)}{rdata[-1]:02x}.test"
    served.upstream.on(name, lambda asked: asked.reply(record(b"\xc0\x0c", CNAME, rdata)))
    asked = wire(name)
    target = rdata
    if rdata[-2:-1] == b"\xc0":
        target = rdata[:-2] + asked[rdata[-1] - 12 :]
    expected = question(name, CNAME) + b"\xc0\x0c" + struct.pack("!HHI", CNAME, 1, 300)
    for edns in (None, opt()):
        reply = await served.ask(query(name, CNAME, edns=edns), times=3)
        assert reply.data[12 : 12 + len(expected)] == expected
        (line,) = reply.answers
        assert wire(line.split()[3]) == target
