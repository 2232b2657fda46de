"""Servers that misanswer, agents and recursors alike: one is passed over, and if all do so nobody
is misled.

Each is asked for a service of the development agents, which stand for the recursors of `test` too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from consulfwd.dev import DevAgent, DevCluster, DnsFaults
from tests.conformance.conftest import answered
from tests.conformance.octets import (
    AA,
    AD,
    CD,
    NOERROR,
    NXDOMAIN,
    QR,
    RA,
    RD,
    SERVFAIL,
    Reply,
    Z,
    opt,
    query,
)
from tests.net.world import EXAMPLES, GALERA, World, world

WEB = ["10.0.20.11", "10.0.20.12"]
ZONES = ("consul", "test")
Arm = Callable[[DnsFaults], None]


class Both:
    """Two agents, two recursors and the server that asks them."""

    def __init__(self, here: World, outside: DevCluster) -> None:
        self.here = here
        self.servers = {"consul": here.agents, "test": outside.agents}

    def spoil(self, arm: Arm, servers: slice) -> None:
        for group in self.servers.values():
            for one in group[servers]:
                arm(one.faults.any)

    def asked(self, zone: str) -> list[DevAgent]:
        """Who was asked for a service."""
        return [one for one in self.servers[zone]
                if any(".service." in query.name and "galera" in query.name
                       for query in one.queries)]  # fmt: skip

    async def ask(self, name: str, edns: bytes | None = None, flags: int = RD) -> Reply:
        """Return the one reply to a query over UDP, and see that over TCP there is one too."""
        packet = query(name, edns=edns or opt(), flags=flags)
        async with self.here.udp() as client:
            client.send(packet)
            reply = answered(packet, await client.receive())
            for _ in range(5):
                await asyncio.sleep(0)
            assert client.waiting == 0
        async with self.here.tcp() as stream:
            stream.send(packet)
            answered(packet, await stream.receive())
        return reply


@asynccontextmanager
async def both(deadline: float = 0.5) -> AsyncIterator[Both]:
    query = {"deadline": deadline, "recursor_deadline": deadline}
    async with DevCluster(EXAMPLES, 2, http=False) as outside:
        outside.dns.domain = "test"
        places = [f"{one.address}:{one.dns_port}" for one in outside.agents]
        async with world(recursors=places, agents=2, query=query) as here:
            yield Both(here, outside)


FALSE: dict[str, Arm] = {
    "servfail": lambda it: it.servfail.on(),
    "refused": lambda it: it.refused.on(),
    "badvers": lambda it: it.edns_badvers.on(),
    "two opts": lambda it: it.opt_twice.on(),
    "other name": lambda it: it.wrong_question.on(),
    "class ch": lambda it: it.wrong_class.on(),
    "qr 0": lambda it: it.query_again.on(),
    "half": lambda it: it.half.on(),
    "garbage": lambda it: it.garbage.on(),
    "other id": lambda it: it.wrong_id.on(),
    "silent": lambda it: it.drop.on(),
}


@pytest.mark.parametrize("which", FALSE)
async def test_what_is_no_answer(which: str) -> None:
    """RFC 1034 section 5.3.3, RFC 5452 sections 4 and 9.1, RFC 6891 sections 6.1.1 and 7: another
    one is asked, and if there is none the client gets SERVFAIL."""
    async with both() as it:
        it.spoil(FALSE[which], slice(1))
        for zone in ZONES:
            reply = await it.ask(f"galeradb.service.{zone}")
            assert (reply.rcode, reply.rdata) == (NOERROR, GALERA)
            assert len(it.asked(zone)) == 2
        it.spoil(FALSE[which], slice(2))
        replies = await asyncio.gather(*(it.ask(f"web.service.{zone}") for zone in ZONES))
        for zone, reply in zip(ZONES, replies, strict=True):
            if which == "two opts" and zone == "test":
                # Of a recursor that was never seen to know EDNS the answer is had without.
                assert (reply.rcode, reply.ede) == (NOERROR, [])
                continue
            assert (reply.rcode, reply.answers, len(reply.ede)) == (SERVFAIL, [], 1)


ODD: dict[str, Arm] = {
    "notimp to opt": lambda it: it.edns_notimp.on(),
    "no opt": lambda it: it.no_edns.on(),
    "other case": lambda it: it.wrong_case.on(),
    "behind": lambda it: it.behind.on(7),
    "opt behind": lambda it: it.behind.on(11),
    "twice": lambda it: it.twice.on(),
    "z": lambda it: it.bits.on(Z),
    "aa": lambda it: it.bits.on(AA),
    "ad": lambda it: it.bits.on(AD),
    "cd": lambda it: it.bits.on(CD),
    "ra": lambda it: it.bits.on(RA),
    "all bits": lambda it: it.bits.on(AA | Z | AD | CD | RA),
}


@pytest.mark.parametrize("which", ODD)
async def test_what_is_odd_and_an_answer(which: str) -> None:
    """RFC 1035 section 4.1.1, RFC 4343 section 4.1, RFC 6840 section 5.8, RFC 6891 section 7: what
    is odd about it does not reach the client."""
    async with both() as it:
        it.spoil(ODD[which], slice(2))
        for zone in ZONES:
            for flags in (RD, CD):
                reply = await it.ask(f"galeradb.service.{zone}", flags=flags)
                assert (reply.rcode, reply.rdata) == (NOERROR, GALERA)
                assert reply.bits & ~AA == QR | RA | flags
                assert reply.opt is not None
                assert len(it.asked(zone)) == 1


@pytest.mark.parametrize("ttl", [2**31, 2**32 - 1], ids=["2^31", "2^32-1"])
async def test_ttls_that_are_none(ttl: int) -> None:
    """RFC 2181 section 8: such a TTL is 0."""
    async with both() as it:
        it.spoil(lambda faults: faults.ttl.on(ttl), slice(2))
        for zone in ZONES:
            reply = await it.ask(f"galeradb.service.{zone}")
            assert (reply.rdata, reply.ttls) == (GALERA, [0, 0, 0])


async def test_aliases_that_lead_to_each_other() -> None:
    """RFC 1034 section 3.6.2: one reply, and an end to asking."""
    async with both() as it:
        it.spoil(lambda faults: faults.alias_loop.on(), slice(2))
        for zone in ZONES:
            reply = await it.ask(f"galeradb.service.{zone}")
            assert reply.rcode in (NOERROR, SERVFAIL)
            assert {line.split()[2] for line in reply.answers} <= {"CNAME"}
            assert sum(len(one.queries) for one in it.servers[zone]) < 12


async def test_an_alias_without_its_target() -> None:
    """RFC 1034 section 4.3.2, RFC 2308 section 2.1: the alias, and what is known of its target."""
    async with both() as it:
        it.spoil(lambda faults: faults.alias_alone.on(), slice(2))
        for zone in ZONES:
            reply = await it.ask(f"galeradb.service.{zone}")
            assert reply.rcode in (NOERROR, NXDOMAIN)
            assert [line.split()[3] for line in reply.answers] == ["alias-target.invalid."]


async def test_64_kb() -> None:
    """RFC 1035 section 4.2.1, RFC 2181 section 9, RFC 6891 section 6.2.5: more than was announced,
    which is nobody's loss."""
    async with both() as it:
        it.spoil(lambda faults: faults.huge.on(65_000), slice(2))
        for zone in ZONES:
            name = f"galeradb.service.{zone}"
            async with it.here.udp() as client, it.here.tcp() as stream:
                stream.send(query(name))
                data = await stream.receive()
                whole = count(data)
                assert (len(data) > 64_000, data[2] & 2, whole > 4000) == (True, 0, True)
                for size in (512, 1232, 65_535):
                    client.send(query(name, edns=opt(size)))
                    data = await client.receive()
                    # Short of a record at most; the reader of the tests would take a second.
                    assert size - 16 - 20 < len(data) <= size or count(data) == whole
                    assert bool(data[2] & 2) is (count(data) < whole) is (size < 65_535)


def count(data: bytes) -> int:
    """Return how many answers a message has by its header."""
    return int.from_bytes(data[6:8], "big")
