"""TTLs: they count down, are forgotten in time, and are never what no TTL can be."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Served
from tests.conformance.octets import (
    AAAA,
    NOERROR,
    NXDOMAIN,
    SOA,
    A,
    Reply,
    opt,
    query,
    record,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_TTL, MAX_NEGATIVE_TTL = 86_400, 60


def rows(name: str, *ttls: int) -> list[bytes]:
    return [record(name, A, f"192.0.2.{at}", ttl) for at, ttl in enumerate(ttls)]


async def repeated(served: Served, packet: bytes) -> Reply:
    """Ask until the answer is a hot one; all must say the same TTLs, but for a second's change."""
    first, *others = [await served.ask(packet) for _ in range(4)]
    for other in others:
        assert all(0 <= a - b <= 1 for a, b in zip(sorted(first.ttls), sorted(other.ttls),
                                                   strict=True))  # fmt: skip
    return others[-1]


async def test_ageing(served: Served) -> None:
    """RFC 1035 section 4.1.3, RFC 2181 section 8: a TTL is what is left of it, down to the end."""
    served.upstream.answers("ages.test", *rows("ages.test", 100))
    packet = query("ages.test", edns=opt())
    left = 100
    assert (await served.ask(packet)).ttls == [left]
    for seconds in (1, 1, 8, 50, 39):
        served.here.skip(seconds)
        left -= seconds
        assert abs((await repeated(served, packet)).ttls[0] - left) <= 1
        assert abs((await served.ask_tcp(packet)).ttls[0] - left) <= 1
    assert len(served.upstream.heard("ages.test")) == 1
    served.here.skip(2)
    assert (await served.ask(packet)).ttls == [100]


async def test_ageing_of_every_section(served: Served) -> None:
    """RFC 2181 section 5.4.1: what is beside the answer grows old with it."""
    servers, glue = [record("test", 2, "ns.test.", 50)], [record("ns.test", A, "192.0.2.9", 5)]
    served.upstream.on("all.test", lambda asked: asked.reply(
        *rows("all.test", 20), authority=servers, additional=glue
    ))  # fmt: skip
    packet = query("all.test", edns=opt())
    await served.ask(packet)
    served.here.skip(10)
    reply = await repeated(served, packet)
    assert [ttl // 2 for ttl in reply.ttls] in ([5, 20], [4, 19])
    assert [line.split()[1] for line in reply.additional] == ["0"]


@pytest.mark.parametrize("ttl", [0, 1, 2, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1], ids=hex)
async def test_the_highest_bit(served: Served, ttl: int) -> None:
    """RFC 2181 section 8, RFC 8767 section 4: with it set a TTL is 0; none is too long."""
    name = f"bit-{ttl}.test"
    served.upstream.answers(name, *rows(name, ttl))
    shown = 0 if ttl >= 2**31 else min(ttl, MAX_TTL)
    for edns in (None, opt()):
        assert (await served.ask(query(name, edns=edns))).ttls == [shown]
        assert (await served.ask_tcp(query(name, edns=edns))).ttls == [shown]
    assert len(served.upstream.heard(name)) == (1 if shown else 4)


async def test_ttl_0(served: Served) -> None:
    """RFC 1035 section 3.2.1: for the question at hand, and for no other."""
    served.upstream.answers("zero.test", *rows("zero.test", 0))
    for number in range(1, 5):
        assert (await served.ask(query("zero.test"))).ttls == [0]
        assert len(served.upstream.heard("zero.test")) == number


async def test_ttls_that_differ(served: Served) -> None:
    """RFC 2181 section 5.2: the set is as good as the shortest of them."""
    served.upstream.answers("differ.test", *rows("differ.test", 100, 10, 50))
    packet = query("differ.test", edns=opt())
    await served.ask(packet)
    served.here.skip(9)
    await repeated(served, packet)
    assert len(served.upstream.heard("differ.test")) == 1
    served.here.skip(2)
    await served.ask(packet)
    assert len(served.upstream.heard("differ.test")) == 2


# Denials


@pytest.mark.parametrize("rcode", [NOERROR, NXDOMAIN], ids=["NODATA", "NXDOMAIN"])
@pytest.mark.parametrize(
    ("ttl", "minimum", "lasts"),
    [(30, 10, 10), (10, 30, 10), (20, 20, 20), (3600, 3600, MAX_NEGATIVE_TTL), (7, 0, 0), (0, 7, 0),
     (2**31, 30, 0), (30, 2**31, 30)],
)  # fmt: skip
async def test_denials(served: Served, rcode: int, ttl: int, minimum: int, lasts: int) -> None:
    """RFC 2308 sections 3, 4 and 5: the smaller of the SOA's TTL and its MINIMUM."""
    name = f"denied-{rcode}-{ttl}-{minimum}.test"
    served.upstream.on(name, lambda asked: asked.nothing(rcode, ttl, minimum))
    packet = query(name, edns=opt())
    reply = await served.ask(packet)
    assert (reply.rcode, reply.answers, len(reply.authority)) == (rcode, [], 1)
    # Who keeps it behind us goes by this one: the MINIMUM does not count down.
    assert reply.ttls == [lasts]
    served.here.skip(max(lasts - 1.5, 0))
    assert (await served.ask(packet)).ttls[0] <= (2 if lasts else 0)
    assert len(served.upstream.heard(name)) == (1 if lasts else 2)
    served.here.skip(2)
    await served.ask(packet)
    assert len(served.upstream.heard(name)) == (2 if lasts else 3)


@pytest.mark.parametrize("rcode", [NOERROR, NXDOMAIN], ids=["NODATA", "NXDOMAIN"])
async def test_denials_age(served: Served, rcode: int) -> None:
    """RFC 2308 section 5: the SOA goes with the denial, and its TTL counts down."""
    name = f"aged-{rcode}.test"
    served.upstream.on(name, lambda asked: asked.nothing(rcode, 40, 40))
    packet = query(name, edns=opt())
    assert (await served.ask(packet)).ttls == [40]
    served.here.skip(25)
    reply = await repeated(served, packet)
    assert (reply.rcode, 14 <= reply.ttls[0] <= 15) == (rcode, True)
    assert reply.authority[0].split()[2] == "SOA"


@pytest.mark.parametrize("rcode", [NOERROR, NXDOMAIN], ids=["NODATA", "NXDOMAIN"])
async def test_denials_without_a_soa(served: Served, rcode: int) -> None:
    """RFC 2308 section 5: nothing says how long they hold, so they are not kept."""
    name = f"no-soa-{rcode}.test"
    served.upstream.on(name, lambda asked: asked.reply(rcode=rcode))
    for number in range(1, 4):
        await served.ask(query(name, edns=opt()))
        assert len(served.upstream.heard(name)) >= number


async def test_no_data_is_about_one_type(served: Served) -> None:
    """RFC 2308 section 5: that there is no A says nothing of AAAA."""
    served.upstream.on("type.test", lambda asked: (
        asked.nothing() if asked.qtype == A
        else asked.reply(record("type.test", AAAA, "2001:db8::1"))
    ))  # fmt: skip
    for _ in range(3):
        assert (await served.ask(query("type.test", A))).answers == []
        assert (await served.ask(query("type.test", AAAA))).rdata == ["2001:db8::1"]


@pytest.mark.parametrize("rcode", [1, 2, 4, 5, 9])
async def test_errors_are_not_kept_for_long(served: Served, rcode: int) -> None:
    """RFC 2308 section 7.1, RFC 9520 section 3.2: not asked again at once, and not for five
    minutes."""
    name = f"fails-{rcode}.test"
    served.upstream.on(name, lambda asked: asked.reply(rcode=rcode))
    packet = query(name, edns=opt())
    await served.ask(packet)
    served.upstream.answers(name, *rows(name, 10))
    served.here.skip(301)
    reply = await served.ask(packet)
    assert (reply.rcode, reply.rdata) == (NOERROR, ["192.0.2.0"])


async def test_the_soa_itself(served: Served) -> None:
    """RFC 2308 section 5: a SOA that was asked for is an answer like any other."""
    row = record("apex.test", SOA, "ns.test. hostmaster.test. 1 2 3 4 5", 300)
    served.upstream.answers("apex.test", row)
    packet = query("apex.test", SOA, edns=opt())
    assert (await served.ask(packet)).ttls == [300]
    served.here.skip(100)
    assert abs((await repeated(served, packet)).ttls[0] - 200) <= 1
