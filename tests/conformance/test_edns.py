"""EDNS (RFC 6891): versions, sizes, flags, options, and an OPT where none belongs."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Served
from tests.conformance.octets import (
    AAAA,
    BADVERS,
    DO,
    FORMERR,
    NOERROR,
    NXDOMAIN,
    RD,
    TC,
    TXT,
    A,
    Opt,
    message,
    opt,
    option,
    query,
    question,
    record,
)  # fmt: skip

pytestmark = pytest.mark.asyncio(loop_scope="module")

NSID, SUBNET, EXPIRE, COOKIE, KEEPALIVE, PADDING, CHAIN, KEY_TAG, EDE = (
    3, 8, 9, 10, 11, 12, 13, 14, 15,
)  # fmt: skip
ASKED = question("www.test")
OURS = 1232
# Ten strings of 200 octets: more than one datagram without EDNS, less than three of 1232.
LONG = [record(b"\xc0\x0c", TXT, f'"{number}{"x" * 199}"') for number in range(10)]


@pytest.fixture(autouse=True)
def names(served: Served) -> None:
    served.upstream.answers("www.test", record("www.test", A, "192.0.2.1"))
    served.upstream.answers("long.test", *LONG)


# Who says what


@pytest.mark.parametrize(
    ("name", "rcode"),
    [
        *(("www.test", 0), ("none.test", 3), ("galeradb.service.consul", 0)),
        *(("none.service.consul", 3), ("localhost", 0), ("x.invalid", 3)),
    ],
)
async def test_an_opt_for_who_sends_one(served: Served, name: str, rcode: int) -> None:
    """RFC 6891 section 6.1.1: an OPT in the reply to a query with one, none in that to another."""
    for edns, found in ((None, None), (opt(), Opt(OURS, 0, 0, [])), (None, None)):
        reply = await served.ask(query(name, edns=edns), times=3)
        assert (reply.rcode, reply.opt) == (rcode, found)
        assert (await served.ask_tcp(query(name, edns=edns))).opt == found


@pytest.mark.parametrize("rcode", [1, 2, 4, 5, 6, 9])
async def test_errors_have_an_opt_too(served: Served, rcode: int) -> None:
    """RFC 6891 section 6.1.1: an error is a reply like any other."""
    name = f"error-{rcode}.test"
    served.upstream.on(name, lambda asked: asked.reply(rcode=rcode))
    assert (await served.ask(query(name, edns=opt(flags=DO)))).opt is not None
    assert (await served.ask(query(name))).opt is None


# Versions


@pytest.mark.parametrize("version", [1, 2, 100, 255])
@pytest.mark.parametrize("name", ["www.test", "galeradb.service.consul", "localhost"])
async def test_versions(served: Served, version: int, name: str) -> None:
    """RFC 6891 section 6.1.3: BADVERS, with the version there is."""
    for flags in (0, DO):
        packet = query(name, edns=opt(version=version, flags=flags))
        reply = await served.ask(packet, times=3)
        assert (reply.rcode, reply.answers, reply.authority) == (BADVERS, [], [])
        assert reply.opt == Opt(OURS, 0, flags, [])
        assert reply.flags & 15 == 0
        assert (await served.ask_tcp(packet)).rcode == BADVERS


@pytest.mark.parametrize(("kind", "qclass"), [(252, 1), (255, 1), (0, 1), (16, 3), (1, 255)])
async def test_versions_come_first(served: Served, kind: int, qclass: int) -> None:
    """RFC 6891 section 6.1.3: what a query of another version means nobody can say."""
    reply = await served.ask(query("www.test", kind, qclass, edns=opt(version=1)))
    assert (reply.rcode, reply.opt) == (BADVERS, Opt(OURS, 0, 0, []))


async def test_the_extended_rcode_of_a_query(served: Served) -> None:
    """RFC 6891 section 6.1.3: a part of an RCODE means nothing in a query."""
    reply = await served.ask(query(edns=opt(rcode=255)), times=3)
    assert (reply.rcode, reply.rdata) == (NOERROR, ["192.0.2.1"])


# Flags


@pytest.mark.parametrize("flags", [1 << bit for bit in range(16)], ids=hex)
async def test_flags(served: Served, flags: int) -> None:
    """RFC 3225 section 3, RFC 6891 section 6.1.4: DO comes back, and none that is unknown."""
    reply = await served.ask(query(edns=opt(flags=flags)), times=4)
    assert (reply.rcode, reply.opt) == (NOERROR, Opt(OURS, 0, flags & DO, []))
    assert served.upstream.heard("www.test")[-1].opt[7:9] in (b"\0\0", b"\x80\0")


# Sizes


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1232, 1400, 2048, 4096, 65535])
async def test_sizes(served: Served, size: int) -> None:
    """RFC 6891 sections 6.2.3 and 6.2.5: less than 512 is 512; never more than was said."""
    reply = await served.ask(query("long.test", TXT, edns=opt(size)), times=4)
    limit = max(size, 512)
    whole = 12 + len(question("long.test")) + sum(map(len, LONG)) + 11
    assert len(reply.data) <= limit
    assert reply.has(TC) is (limit < whole)
    # What does not fit is left out record by record: one more would not have fitted.
    assert limit < whole or len(reply.answers) == len(LONG)
    assert limit - len(reply.data) < len(LONG[0]) or len(reply.answers) == len(LONG)
    assert reply.opt == Opt(OURS, 0, 0, [])


async def test_the_size_without_edns(served: Served) -> None:
    """RFC 1035 section 4.2.1, RFC 2181 section 9: 512 octets, TC, and all of it over TCP."""
    reply = await served.ask(query("long.test", TXT), times=4)
    assert (len(reply.data) <= 512, reply.has(TC), len(reply.answers)) == (True, True, 2)
    for edns in (None, opt(0), opt(65535)):
        whole = await served.ask_tcp(query("long.test", TXT, edns=edns))
        assert (whole.has(TC), len(whole.answers)) == (False, 10)


# Options


OPTIONS = {
    "nsid": option(NSID),
    "nsid-data": option(NSID, b"never"),
    "ecs-4": option(SUBNET, b"\0\1\x18\0\xc0\0\2"),
    "ecs-6": option(SUBNET, b"\0\2\x38\0" + bytes(7)),
    "ecs-none": option(SUBNET, b"\0\1\0\0"),
    "ecs-family": option(SUBNET, b"\0\x63\x08\0\1"),
    "expire": option(EXPIRE),
    "cookie": option(COOKIE, bytes(8)),
    "cookie-server": option(COOKIE, bytes(24)),
    "cookie-odd": option(COOKIE, bytes(3)),
    "padding": option(PADDING, bytes(100)),
    "padding-0": option(PADDING),
    "chain": option(CHAIN, b"\0"),
    "key-tag": option(KEY_TAG, b"\x4f\x66"),
    "ede": option(EDE, b"\0\0"),
    "zero": option(0, b"x"),
    "unknown": option(100, b"unknown"),
    "local": option(65001, bytes(50)),
    "last": option(65535),
    "twice": option(100, b"a") * 2,
    "many": option(100) * 200,
    "all": b"".join(option(code, b"x" * (code % 5)) for code in range(16, 120)),
}


@pytest.mark.parametrize("name", ["www.test", "galeradb.service.consul", "localhost"])
@pytest.mark.parametrize("which", OPTIONS)
async def test_options(served: Served, which: str, name: str) -> None:
    """RFC 6891 section 6.1.2, RFC 5001 section 2.1, RFC 7830 section 4, RFC 7871 section 7.2,
    RFC 7873 section 5.2, RFC 8914 section 2: what is not known does no harm, and does not come
    back."""
    packet = query(name, edns=opt(options=OPTIONS[which]))
    reply = await served.ask(packet, times=2)
    assert (reply.rcode, bool(reply.answers), reply.opt) == (NOERROR, True, Opt(OURS, 0, 0, []))
    assert (await served.ask_tcp(packet)).opt == Opt(OURS, 0, 0, [])


async def test_options_are_not_passed_on(served: Served) -> None:
    """RFC 6891 section 6.2.6, RFC 7871 section 11.1: an OPT is between two, and no subnet leaks."""
    served.upstream.answers("hop.test", record("hop.test", A, "192.0.2.1"))
    for which in OPTIONS.values():
        await served.ask(query("hop.test", edns=opt(4096, options=which)))
    assert [one.opt for one in served.upstream.heard("hop.test")] == [opt(OURS)]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(b"\0", id="1"),
        pytest.param(b"\0\x0a\0", id="3"),
        pytest.param(b"\0\x0a\0\1", id="short"),
        pytest.param(option(COOKIE, bytes(8)) + b"\0\x0a\xff\xff", id="second"),
        pytest.param(option(PADDING, bytes(8))[:-1], id="last octet"),
    ],
)
async def test_options_cut_short(served: Served, options: bytes) -> None:
    """RFC 6891 section 6.1.2: an option that does not end where the OPT does."""
    packet = query(edns=opt(options=options))
    assert (await served.ask(packet)).rcode == FORMERR
    assert (await served.ask_tcp(packet)).rcode == FORMERR


# Where it stands


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        pytest.param(([], [], [opt(), opt()]), True, id="twice"),
        pytest.param(([], [], [opt(), opt(version=1)]), True, id="two versions"),
        pytest.param(([], [], [opt(owner=b"\1a\0")]), False, id="owner"),
        pytest.param(([], [], [opt(owner=b"\xc0\x0c")]), False, id="owner pointer"),
        pytest.param(([opt()], [], []), False, id="answer"),
        pytest.param(([], [opt()], []), False, id="authority"),
        pytest.param(([opt()], [], [opt()]), True, id="both"),
    ],
)
async def test_where_the_opt_stands(
    served: Served, sections: tuple[list[bytes], list[bytes], list[bytes]], told: bool
) -> None:
    """RFC 6891 section 6.1.1: one, at the root, in Additional."""
    packet = message(1, RD, ASKED, *sections)
    reply = await served.ask(packet)
    assert (reply.rcode, reply.answers, reply.authority) == (FORMERR, [], [])
    # Whoever sent one that can be read is told that there is EDNS here.
    assert (reply.opt is not None) is told
    assert (await served.ask_tcp(packet)).rcode == FORMERR


async def test_the_pointer_to_the_root(served: Served) -> None:
    """RFC 6891 section 6.1.2: the owner of an OPT is the root, which is no pointer."""
    packet = message(1, RD, question("."), additional=[opt(owner=b"\xc0\x0c")])
    assert (await served.ask(packet)).rcode == FORMERR


@pytest.mark.parametrize("kind", [A, AAAA], ids=["A", "AAAA"])
async def test_what_goes_upstream(served: Served, kind: int) -> None:
    """RFC 6891 sections 6.2.3 and 6.2.5: the size announced is our own, whatever a client's."""
    for number, edns in enumerate((None, opt(0), opt(512), opt(65535), opt(flags=DO))):
        name = f"up-{kind}-{number}.test"
        await served.ask(query(name, kind, edns=edns))
        (asked,) = served.upstream.heard(name)
        assert asked.opt == opt(OURS, flags=DO if edns == opt(flags=DO) else 0)
        assert (await served.ask(query(name, kind, edns=edns))).rcode == NXDOMAIN
