"""When nobody answers: stale answers marked as such, and errors that say why."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Served, serving
from tests.conformance.octets import (
    AA,
    AD,
    DO,
    NOERROR,
    NXDOMAIN,
    RD,
    REFUSED,
    SERVFAIL,
    A,
    Reply,
    opt,
    option,
    query,
    record,
)
from tests.conformance.upstream import Asked

EDE = 15
STALE, PROHIBITED, NO_AUTHORITY, NETWORK = 3, 18, 22, 23


async def ask_both(served: Served, name: str) -> Reply:
    """Ask with EDNS over UDP and TCP, and without: who speaks none is told no reason."""
    packet = query(name, edns=opt())
    found, stream = await served.ask(packet), await served.ask_tcp(packet)
    plain = await served.ask(query(name))
    assert (found.rcode, found.ede, found.rdata) == (stream.rcode, stream.ede, stream.rdata)
    assert (plain.rcode, plain.opt, plain.rdata) == (found.rcode, None, found.rdata)
    return found


async def test_stale_answers() -> None:
    """RFC 8767 sections 4 and 5: for want of another, with TTL 30 at most, and marked (RFC 8914
    section 4.4)."""
    async with serving() as served:
        rows = [record("stale.test", A, f"192.0.2.{at}", (9, 300)[at]) for at in range(2)]
        served.upstream.on("stale.test", lambda asked: asked.reply(*rows, bits=AA | AD))
        await served.ask(query("stale.test", edns=opt()))
        await served.upstream.stop()
        served.here.skip(8)
        fresh = await served.ask(query("stale.test", edns=opt()))
        assert (fresh.ede, fresh.rcode) == ([], NOERROR)
        for _ in range(3):
            served.here.skip(31)
            reply = await ask_both(served, "stale.test")
            assert (reply.rcode, reply.ede) == (NOERROR, [STALE])
            assert reply.rdata == ["192.0.2.0", "192.0.2.1"]
            assert (max(reply.ttls) <= 30, reply.has(AA), reply.has(AD)) == (True, False, False)
        await served.upstream.__aenter__()


async def test_stale_aliases() -> None:
    """RFC 8767 section 4: no record of a stale answer has a TTL above 30."""
    async with serving() as served:
        rows = [
            record("alias.test", 5, "www.test.", 100_000),
            record("www.test", A, "192.0.2.1", 5),
        ]
        served.upstream.answers("alias.test", *rows)
        await served.ask(query("alias.test", edns=opt()))
        await served.upstream.stop()
        served.here.skip(10)
        reply = await ask_both(served, "alias.test")
        assert (reply.ede, reply.ttls[0] <= 30, len(reply.answers)) == ([STALE], True, 2)
        await served.upstream.__aenter__()


@pytest.mark.parametrize("rcode", [NOERROR, NXDOMAIN], ids=["NODATA", "NXDOMAIN"])
async def test_denials_are_not_stale(rcode: int) -> None:
    """RFC 8767 section 7: what did not exist then may exist now, so that is said of nothing."""
    async with serving() as served:
        served.upstream.on("denied.test", lambda asked: asked.nothing(rcode, 10, 10))
        assert (await served.ask(query("denied.test"))).rcode == rcode
        await served.upstream.stop()
        served.here.skip(11)
        reply = await ask_both(served, "denied.test")
        assert (reply.rcode, reply.ede) == (SERVFAIL, [NETWORK])
        await served.upstream.__aenter__()


@pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED])
async def test_stale_beside_errors(rcode: int) -> None:
    """RFC 8767 section 4: an error is no answer; NXDOMAIN is one, and ends what was known."""
    async with serving() as served:
        served.upstream.answers("was.test", record("was.test", A, "192.0.2.1", 5))
        packet = query("was.test", edns=opt())
        await served.ask(packet)
        served.here.skip(10)
        served.upstream.on("was.test", lambda asked: asked.reply(rcode=rcode))
        reply = await served.ask(packet)
        assert (reply.rcode, reply.ede, reply.rdata) == (NOERROR, [STALE], ["192.0.2.1"])
        served.here.skip(400)
        served.upstream.on("was.test", lambda asked: asked.nothing(NXDOMAIN))
        await served.ask(packet)
        reply = await served.ask(packet)
        assert (reply.rcode, reply.ede, reply.answers) == (NXDOMAIN, [], [])


async def test_how_long_stale_answers_are_good() -> None:
    """RFC 8767 section 5: not for ever."""
    async with serving(cache={"stale_for": 100}) as served:
        served.upstream.answers("old.test", record("old.test", A, "192.0.2.1", 10))
        await served.ask(query("old.test"))
        await served.upstream.stop()
        served.here.skip(108)
        assert (await ask_both(served, "old.test")).ede == [STALE]
        served.here.skip(3)
        reply = await ask_both(served, "old.test")
        assert (reply.rcode, reply.ede) == (SERVFAIL, [NETWORK])
        await served.upstream.__aenter__()


async def test_an_answer_again() -> None:
    """RFC 8767 section 5: as soon as somebody answers, that counts."""
    async with serving() as served:
        served.upstream.answers("back.test", record("back.test", A, "192.0.2.1", 5))
        packet = query("back.test", edns=opt())
        await served.ask(packet)
        served.here.skip(10)
        served.upstream.on("back.test", lambda asked: asked.reply(rcode=SERVFAIL))
        assert (await served.ask(packet)).ede == [STALE]
        served.upstream.answers("back.test", record("back.test", A, "192.0.2.2", 5))
        served.here.skip(400)
        await served.ask(packet)
        reply = await served.ask(packet)
        assert (reply.ede, reply.rdata) == ([], ["192.0.2.2"])


# Errors


@pytest.mark.parametrize("rcode", [2, 5, 9], ids=["SERVFAIL", "REFUSED", "NOTAUTH"])
async def test_errors_of_a_recursor(rcode: int) -> None:
    """RFC 8914 sections 2 and 4.23: SERVFAIL, with a reason for who speaks EDNS."""
    async with serving() as served:
        served.upstream.on("bad.test", lambda asked: asked.reply(rcode=rcode))
        reply = await ask_both(served, "bad.test")
        assert (reply.rcode, reply.ede, reply.answers) == (SERVFAIL, [NO_AUTHORITY], [])


async def test_nobody_there() -> None:
    """RFC 8914 section 4.24: nobody could be reached."""
    async with serving() as served:
        await served.upstream.stop()
        reply = await ask_both(served, "lost.test")
        assert (reply.rcode, reply.ede) == (SERVFAIL, [NETWORK])
        await served.upstream.__aenter__()


async def test_nobody_to_ask() -> None:
    """RFC 8914 section 4.23: a server without anyone to ask still answers."""
    async with serving(recursors=None) as served:
        packet = query("www.test", edns=opt())
        reply = await served.ask_tcp(packet)
        assert (reply.rcode, reply.ede) == (SERVFAIL, [NO_AUTHORITY])


async def test_prohibited() -> None:
    """RFC 8914 section 4.19: REFUSED, whatever it is that is asked."""
    async with serving(access={"allow": ["192.0.2.0/24"]}) as served:
        for name in ("www.test", "localhost", "galeradb.service.consul"):
            reply = await ask_both(served, name)
            assert (reply.rcode, reply.ede, reply.answers) == (REFUSED, [PROHIBITED], [])
        assert served.upstream.asked == []


async def test_the_form_of_an_extended_error() -> None:
    """RFC 8914 section 2: a code, then UTF-8 for people that does not end with a null."""
    async with serving() as served:
        served.upstream.on("bad.test", lambda asked: asked.reply(rcode=SERVFAIL))
        for flags in (0, DO):
            reply = await served.ask(query("bad.test", edns=opt(flags=flags)))
            assert reply.opt is not None
            ((code, data),) = reply.opt.options
            text = data[2:].decode()
            assert (code, reply.opt.flags, text[-1:] not in ("", "\0")) == (EDE, flags, True)


@pytest.mark.parametrize(
    "text", [b"", b"signature expired", "nön-ascii ☠".encode(), b"\xff\xfe", b"a\0", b"x" * 5000]
)
async def test_extended_errors_of_a_recursor(text: bytes) -> None:
    """RFC 8914 sections 3 and 6: what a recursor gives as its reason is told on as text, and does
    no harm."""
    data = option(EDE, b"\0\x06" + text)

    def bogus(asked: Asked) -> bytes:
        return asked.reply(rcode=SERVFAIL, edns=opt(options=data))

    async with serving() as served:
        served.upstream.on("bogus.test", bogus)
        reply = await ask_both(served, "bogus.test")
        assert (reply.rcode, reply.ede) == (SERVFAIL, [6])
        assert reply.opt is not None
        reply.opt.options[0][1][2:].decode()
        assert len(reply.data) < 512


async def test_no_reason_where_there_is_no_error() -> None:
    """RFC 8914 section 2: an answer needs none."""
    async with serving() as served:
        served.upstream.answers("good.test", record("good.test", A, "192.0.2.1"))
        for name in ("good.test", "none.test", "localhost", "galeradb.service.consul"):
            assert (await served.ask(query(name, edns=opt(), flags=RD), times=3)).ede == []
