"""Replies of a recursor that are malformed, or only look so: what is taken for one."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import pytest

from tests.conformance.conftest import Served
from tests.conformance.octets import (
    CNAME,
    NOERROR,
    QR,
    RA,
    RD,
    SERVFAIL,
    SOA,
    TXT,
    A,
    message,
    opt,
    option,
    query,
    question,
    record,
)
from tests.conformance.upstream import SOA_DATA, Asked

pytestmark = pytest.mark.asyncio(loop_scope="module")

FLAGS = QR | RA | RD
ROW = record(b"\xc0\x0c", A, "192.0.2.1", 0)
DENIAL = record("test", SOA, SOA_DATA)
Make = Callable[[Asked], bytes]


def said(
    asked: Asked,
    answers: Sequence[bytes] = (),
    authority: Sequence[bytes] = (),
    additional: Sequence[bytes] = (),
    counts: tuple[int, int, int, int] | None = None,
) -> bytes:
    """A reply of these sections, which may lie about its counts."""
    return message(asked.ident, FLAGS, asked.question, answers, authority, additional, counts)


def at(asked: Asked, place: int, *, forward: bool = False) -> bytes:
    """A record whose owner points there, or so far ahead of itself."""
    target = len(asked.question) + 12 + place if forward else place
    return struct.pack("!H", 0xC000 | target) + ROW[2:]


FALSE: dict[str, Make] = {
    "no question": lambda it: message(it.ident, FLAGS, (), [ROW]),
    "two questions": lambda it: message(it.ident, FLAGS, [it.question] * 2, [ROW]),
    "another type": lambda it: message(it.ident, FLAGS, question(it.name, TXT), [ROW]),
    "another class": lambda it: message(it.ident, FLAGS, question(it.name, A, 3), [ROW]),
    "a name below": lambda it: message(it.ident, FLAGS, b"\1x" + it.question, [ROW]),
    "notify": lambda it: message(it.ident, FLAGS | 4 << 11, it.question, [ROW]),
    "more than is there": lambda it: said(it, [ROW], counts=(1, 2, 0, 0)),
    "65535 of them": lambda it: said(it, [ROW], counts=(1, 65535, 65535, 65535)),
    "cut in a record": lambda it: said(it, [ROW])[:-1],
    "cut in a name": lambda it: said(it, [ROW])[: 12 + len(it.question) + 1],
    "header alone": lambda it: said(it, [ROW])[:12],
    "owner ahead": lambda it: said(it, [at(it, 16, forward=True)]),
    "owner itself": lambda it: said(it, [at(it, 0, forward=True)]),
    "owner in the header": lambda it: said(it, [at(it, 2)]),
    "owner too long": lambda it: said(it, [(b"\x3f" + b"x" * 63) * 4 + ROW]),
    "label of 64": lambda it: said(it, [b"\x40" + b"x" * 64 + ROW]),
    "data past the end": lambda it: said(it, [ROW[:10] + b"\0\5" + ROW[12:]]),
    "an address of 3": lambda it: said(it, [ROW[:10] + b"\0\3" + ROW[12:15]]),
    "alias past its data": lambda it: said(it, [record(b"\xc0\x0c", CNAME, b"\1a\0\0")]),
    "two opts": lambda it: said(it, [ROW], (), [opt(), opt()]),
    "opt as an answer": lambda it: said(it, [ROW, opt()]),
    "opt in authority": lambda it: said(it, [ROW], [opt()]),
    "opt below the root": lambda it: said(it, [ROW], (), [opt(owner=b"\1a\0")]),
    "an option cut short": lambda it: said(it, [ROW], (), [opt(options=b"\0\x0a\0\1")]),
    "soa too short": lambda it: said(it, (), [record("test", SOA, b"\0\0" + bytes(19))]),
}


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("which", FALSE)
async def test_what_is_no_reply(served: Served, which: str) -> None:
    """RFC 1035 sections 4.1.4 and 7.3, RFC 5452 section 9.1, RFC 6891 section 6.1.1: it is not
    believed in parts."""
    name = f"{which.replace(' ', '-')}.test"
    served.upstream.on(name, FALSE[which])
    reply = await served.ask(query(name, edns=opt()))
    assert (reply.rcode, reply.answers, len(reply.ede)) == (SERVFAIL, [], 1)
    # Nobody has lost anything by it: who answers is asked.
    assert (await served.ask(query(f"not-{name}"))).rcode == 3
    served.here.skip(60)


GOOD: dict[str, Make] = {
    "no edns": lambda it: said(it, [ROW]),
    "version 1": lambda it: said(it, [ROW], (), [opt(version=1)]),
    "unknown options": lambda it: said(it, [ROW], (), [opt(options=option(100, b"x") * 9)]),
    "size 0": lambda it: said(it, [ROW], (), [opt(0)]),
    "opt first": lambda it: said(it, [ROW], (), [opt(), record("x.test", TXT, b"\1a")]),
    "flags": lambda it: said(it, [ROW], (), [opt(flags=0x7FFF)]),
    "behind": lambda it: said(it, [ROW]) + b"\0" * 30,
    "spelled out": lambda it: said(it, [it.name + ROW[2:]]),
    "upper case": lambda it: message(
        it.ident, FLAGS, it.name.upper() + it.question[-4:], [ROW]
    ),
    "soa too": lambda it: said(it, [ROW], [DENIAL]),
    "the same twice": lambda it: said(it, [ROW, ROW]),
    "no ra": lambda it: message(it.ident, QR | RD, it.question, [ROW]),
    "no rd": lambda it: message(it.ident, QR | RA, it.question, [ROW]),
}  # fmt: skip


@pytest.mark.parametrize("which", GOOD)
async def test_what_is_one(served: Served, which: str) -> None:
    """RFC 1035 section 4.1.1, RFC 6891 sections 6.1.2 and 6.1.4: what is odd about it concerns
    nobody."""
    name = f"{which.replace(' ', '-')}.good.test"
    served.upstream.on(name, GOOD[which])
    reply = await served.ask(query(name, edns=opt()), times=2)
    assert (reply.rcode, set(reply.rdata)) == (NOERROR, {"192.0.2.1"})
    assert reply.opt is not None
    assert (reply.opt.version, reply.opt.flags, reply.opt.options) == (0, 0, [])
    plain = await served.ask(query(name))
    assert (plain.rcode, plain.opt) == (NOERROR, None)


@pytest.mark.parametrize("rcode", range(1, 16))
async def test_every_rcode(served: Served, rcode: int) -> None:
    """RFC 1035 section 4.1.1, RFC 6895 section 2.3: one of a recursor is passed on or becomes
    SERVFAIL, and is never NOERROR."""
    name = f"rcode-{rcode}.test"
    served.upstream.on(name, lambda asked: asked.reply(rcode=rcode))
    reply = await served.ask(query(name, edns=opt()))
    assert reply.rcode in (rcode, SERVFAIL)
    served.here.skip(60)


@pytest.mark.parametrize("rcode", [16, 17, 22, 23, 100, 4095])
async def test_extended_rcodes(served: Served, rcode: int) -> None:
    """RFC 6891 section 6.1.3, RFC 6895 section 2.3: an RCODE that no header can hold is not
    NOERROR for who speaks no EDNS."""
    name = f"extended-{rcode}.test"
    edns = opt(rcode=rcode >> 4)
    served.upstream.on(name, lambda asked: asked.reply(rcode=rcode & 15, edns=edns))
    for packet in (query(name, edns=opt()), query(name)):
        reply = await served.ask(packet)
        assert reply.rcode in (rcode, SERVFAIL)
        assert reply.answers == []
    served.here.skip(60)


@pytest.mark.parametrize("count", [2, 3])
async def test_several_replies(served: Served, count: int) -> None:
    """RFC 5452 section 9.1: the first that is right counts, what comes behind it is nobody's."""

    def say(asked: Asked) -> list[bytes]:
        rows = [record(b"\xc0\x0c", A, f"192.0.2.{number}", 0) for number in range(count)]
        return [asked.reply(row) for row in rows]

    served.upstream.on(f"several-{count}.test", say)
    for _ in range(3):
        assert (await served.ask(query(f"several-{count}.test"))).rdata == ["192.0.2.0"]
