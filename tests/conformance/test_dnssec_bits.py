"""AD, CD and DO: who asked for what is told what, and what is asked upstream for all of them."""

from __future__ import annotations

import itertools

import pytest

from tests.conformance.conftest import Served, serving
from tests.conformance.octets import (
    AD,
    CD,
    DO,
    DS,
    NOERROR,
    RD,
    SERVFAIL,
    A,
    Reply,
    opt,
    query,
    record,
)
from tests.conformance.upstream import Asked, Script, Upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

RRSIG = 46
ROW = record(b"\xc0\x0c", A, "192.0.2.1", 0)
SIGNATURE = record(b"\xc0\x0c", RRSIG, bytes((0, A, 8, 2)) + bytes(14) + b"\0" + bytes(64), 0)
# How a client may ask: AD, CD, and no EDNS, EDNS, or EDNS with DO.
ASKING = [
    pytest.param(ad | cd, do, id="+".join(filter(None, ("ad" * bool(ad), "cd" * bool(cd), name))))
    for ad, cd, (do, name) in itertools.product(
        (0, AD), (0, CD), ((None, "plain"), (0, "edns"), (DO, "do"))
    )
]


def asking(name: str, bits: int, do: int | None) -> bytes:
    return query(name, flags=RD | bits, edns=None if do is None else opt(4096, flags=do))


def signed(ad: int, ttl: int = 0) -> Script:
    """Answer with signatures for who asks for them, and as authentic or not."""

    def say(asked: Asked) -> bytes:
        rows = [ROW, SIGNATURE] if asked.opt[7:8] == b"\x80" else [ROW]
        rows = [row[:6] + ttl.to_bytes(4, "big") + row[10:] for row in rows]
        return asked.reply(*rows, bits=ad)

    return say


def told(reply: Reply) -> tuple[bool, bool, int | None, int]:
    flags = None if reply.opt is None else reply.opt.flags
    return reply.has(AD), reply.has(CD), flags, len(reply.answers)


@pytest.mark.parametrize(("bits", "do"), ASKING)
@pytest.mark.parametrize("authentic", [0, AD], ids=["unproved", "authentic"])
async def test_who_is_told_what(
    served: Served, bits: int, do: int | None, authentic: int
) -> None:
    """RFC 4035 sections 3.2.1, 3.2.2 and 3.2.3, RFC 6840 sections 5.7 and 5.8: AD for who asked by
    AD or DO, and only if it was found so; CD and DO as they came; signatures for DO."""
    name = f"told-{bits}-{do}-{authentic}.test"
    served.upstream.on(name, signed(authentic))
    packet = asking(name, bits, do)
    wants = bool(bits & AD or do)
    expected = (bool(authentic) and wants, bool(bits & CD), do, 2 if do else 1)
    for _ in range(2):
        assert told(await served.ask(packet)) == expected
    assert told(await served.ask_tcp(packet)) == expected


@pytest.mark.parametrize(("bits", "do"), ASKING)
async def test_what_goes_upstream(served: Served, bits: int, do: int | None) -> None:
    """RFC 4035 section 3.2.2, RFC 6840 sections 5.7 and 5.9: CD and DO as asked; AD always, so that
    the answer is good for whoever asks next."""
    name = f"up-{bits}-{do}.test"
    served.upstream.on(name, signed(AD))
    await served.ask(asking(name, bits, do))
    (asked,) = served.upstream.heard(name)
    assert asked.flags == RD | AD | bits & CD
    assert asked.opt == opt(1232, flags=do or 0)


async def test_what_goes_to_consul() -> None:
    """RFC 4035 section 3.2.2, RFC 6891 section 6.2.5: CD and DO as asked, room for all instances,
    and no AD, as Consul's domain is not signed."""
    async with Upstream() as agent:
        host, _, port = agent.place.partition(":")
        consul = {"agents": [{"address": host, "dns_port": int(port)}]}
        agent.on("web.service.consul", signed(AD))
        async with serving(consul=consul) as served:
            for bits, do in itertools.product((0, AD, CD), (None, 0, DO)):
                reply = await served.ask(asking("web.service.consul", bits, do))
                assert (reply.rcode, "192.0.2.1" in reply.rdata) == (NOERROR, True)
                asked = agent.heard("web.service.consul")[-1]
                assert (asked.flags, asked.opt) == (RD | bits & CD, opt(65000, flags=do or 0))


@pytest.mark.parametrize("flags", [0, RD], ids=["no rd", "rd"])
async def test_recursion_is_desired_upstream(served: Served, flags: int) -> None:
    """RFC 1035 section 4.1.1: whoever is asked is a recursor, and asked as one."""
    name = f"rd-{flags}.test"
    served.upstream.on(name, signed(0))
    reply = await served.ask(query(name, flags=flags))
    assert reply.has(RD) is bool(flags)
    assert served.upstream.heard(name)[0].flags & RD


async def test_answers_differ_by_do_and_cd(served: Served) -> None:
    """RFC 4035 sections 3.2.1 and 3.2.2: what is kept for one is not given to one who asked
    otherwise."""
    served.upstream.on("kept.test", signed(0, 300))
    for times in (1, 2):
        for bits, do in itertools.product((0, CD), (0, DO)):
            for asked_ad in (0, AD):
                reply = await served.ask(asking("kept.test", bits | asked_ad, do), times=times)
                assert told(reply)[1:] == (bool(bits), do, 2 if do else 1)
    assert len(served.upstream.heard("kept.test")) == 4


async def test_bogus_for_who_did_not_say_that_they_check(served: Served) -> None:
    """RFC 4035 sections 3.2.2 and 5.5: a recursor's SERVFAIL is for those without CD alone."""

    def bogus(asked: Asked) -> bytes:
        return asked.reply(ROW) if asked.flags & CD else asked.reply(rcode=SERVFAIL)

    served.upstream.on("bogus.test", bogus)
    for _ in range(2):
        assert (await served.ask(query("bogus.test"))).rcode == SERVFAIL
        checked = await served.ask(query("bogus.test", flags=RD | CD))
        assert (checked.rcode, checked.rdata) == (NOERROR, ["192.0.2.1"])


async def test_nothing_from_the_cache_is_authentic(served: Served) -> None:
    """RFC 4035 section 3.2.3: AD is what was said of this reply; a cache proves nothing."""
    served.upstream.on("cached.test", signed(AD, 300))
    packet = asking("cached.test", AD, DO)
    assert (await served.ask(packet)).has(AD)
    for _ in range(4):
        assert not (await served.ask(packet)).has(AD)


@pytest.mark.parametrize("name", ["localhost", "x.invalid", "none.service.consul"])
async def test_nothing_made_here_is_authentic(served: Served, name: str) -> None:
    """RFC 4035 section 3.2.3, RFC 6303 section 7: what is not signed is not proved."""
    reply = await served.ask(asking(name, AD, DO), times=3)
    assert not reply.has(AD)


async def test_the_ds_of_consul(served: Served) -> None:
    """RFC 4035 section 3.1.4.1: there is none at the parent, which is not asked."""
    reply = await served.ask(query("consul", DS, edns=opt(flags=DO)), times=3)
    assert (reply.rcode, reply.answers, len(reply.authority)) == (NOERROR, [], 1)
    assert served.upstream.heard("consul") == []
