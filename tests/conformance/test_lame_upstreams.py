"""Servers without the zone, without TCP worth the name, or without a word for EDNS: what they say
is no answer."""

from __future__ import annotations

import pytest

from tests.conformance.octets import NOERROR, SERVFAIL
from tests.conformance.test_upstreams import Arm, both
from tests.net.world import GALERA

# How a recursor says, in other words, that it does not know.
LAME: dict[str, Arm] = {
    "hollow": lambda it: it.hollow.on(),
    "referral": lambda it: it.referral.on(),
    "upward": lambda it: it.upward.on(),
}


@pytest.mark.parametrize("which", LAME)
async def test_one_that_has_no_answer(which: str) -> None:
    """RFC 1034 sections 4.3.1 and 5.3.3, RFC 2308 section 2.2: NOERROR without anything, or with
    name servers only, is no denial."""
    async with both() as it:
        it.spoil(LAME[which], slice(1))
        for _ in range(2):
            reply = await it.ask("galeradb.service.test")
            assert (reply.rcode, reply.rdata) == (NOERROR, GALERA)


@pytest.mark.parametrize("which", ["referral", "upward"])
async def test_nobody_has_an_answer(which: str) -> None:
    """RFC 1034 section 4.3.1: a stub can do nothing with a referral; it must not take it for
    NODATA."""
    async with both() as it:
        it.spoil(LAME[which], slice(2))
        reply = await it.ask("galeradb.service.test")
        assert (reply.rcode, reply.authority, len(reply.ede)) == (SERVFAIL, [], 1)


@pytest.mark.parametrize("zone", ["consul", "test"])
async def test_one_that_always_cuts(zone: str) -> None:
    """RFC 7766 section 5: TC over TCP is no answer either, while there is somebody else."""
    async with both() as it:
        it.spoil(lambda faults: faults.truncate.on(), slice(1))
        for _ in range(2):
            reply = await it.ask(f"galeradb.service.{zone}")
            assert (reply.rcode, reply.rdata) == (NOERROR, GALERA)


async def test_nobody_knows_edns() -> None:
    """RFC 6891 section 7: who says nothing to a query with an OPT may answer one without."""
    async with both(deadline=3.0) as it:
        it.spoil(lambda faults: faults.edns_drop.on(), slice(2))
        reply = await it.ask("galeradb.service.test")
        assert (reply.rcode, reply.rdata) == (NOERROR, GALERA)


@pytest.mark.parametrize("zone", ["consul", "test"])
async def test_one_knows_no_edns(zone: str) -> None:
    """RFC 6891 section 7: another one is asked meanwhile."""
    async with both() as it:
        it.spoil(lambda faults: faults.edns_drop.on(), slice(1))
        reply = await it.ask(f"galeradb.service.{zone}")
        assert (reply.rcode, reply.rdata) == (NOERROR, GALERA)
