"""Names that are answered here and asked of nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest
import pytest_asyncio

from tests.conformance.conftest import Served, serving
from tests.conformance.octets import (
    AA,
    AAAA,
    ANY,
    HINFO,
    MX,
    NOERROR,
    NS,
    NXDOMAIN,
    PTR,
    SOA,
    SRV,
    TXT,
    A,
    Reply,
    opt,
    query,
    wire,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SVCB, HTTPS = 64, 65
EVERY = [A, AAAA, NS, SOA, MX, TXT, SRV, PTR, HINFO, SVCB, HTTPS, 65280]


@pytest_asyncio.fixture(loop_scope="module")
async def behind_public() -> AsyncIterator[Served]:
    """A server whose recursor is a public one, which is asked nothing here.

    Of each test: sockets that the module's server opens meanwhile would look like its own.
    """
    async with serving(recursors=["9.9.9.9"]) as found:
        yield found


async def ask(served: Served, name: str, kind: int = A) -> Reply:
    """Ask for a name over UDP and TCP, with nobody else being asked."""
    before = len(served.upstream.asked), len(served.here.agents[0].queries)
    packet = query(name, kind, edns=opt())
    async with served.here.udp() as client:
        client.send(packet)
        await client.receive()
    reply = await served.ask_tcp(packet)
    assert (len(served.upstream.asked), len(served.here.agents[0].queries)) == before
    assert (reply.has(AA), reply.ede) == (True, [])
    if not reply.answers:
        # A SOA, so that the denial can be kept, for as long as its MINIMUM says (RFC 2308).
        (soa,) = reply.authority
        assert (soa.split()[2], soa.split()[1]) == ("SOA", soa.split()[-1])
    return reply


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "a.localhost", "a.b.localhost"])
async def test_localhost(served: Served, name: str) -> None:
    """RFC 6761 section 6.3: loopback for addresses, nothing of any other type."""
    assert (await ask(served, name)).rdata == ["127.0.0.1"]
    assert (await ask(served, name, AAAA)).rdata == ["::1"]
    for kind in EVERY[2:]:
        reply = await ask(served, name, kind)
        assert (reply.rcode, reply.answers) == (NOERROR, [])


async def test_what_only_looks_like_localhost(served: Served) -> None:
    """RFC 6761 section 6.3: it is the name localhost and those below, and no other."""
    for name in ("localhost.test", "xlocalhost", "localhost.localdomain"):
        assert (await served.ask(query(name))).rcode == NXDOMAIN
        assert len(served.upstream.heard(name)) == 1


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.1.1", "127.255.255.255", "127.9.8.7", "::1"]
)
async def test_loopback_addresses(served: Served, address: str) -> None:
    """RFC 6303 section 4.2, RFC 6761 section 6.1: addresses of this host are its own."""
    name = ip_address(address).reverse_pointer
    assert (await ask(served, name, PTR)).rdata == ["localhost."]
    for kind in (A, TXT):
        assert (await ask(served, name, kind)).answers == []


@pytest.mark.parametrize(
    "name", ["127.in-addr.arpa", "0.127.in-addr.arpa", "2.0.0.127.in-addr.arpa"]
)
async def test_loopback_zones(served: Served, name: str) -> None:
    """RFC 6303 section 4.2: nothing of them is asked outside, whatever the type."""
    for kind in (PTR, NS, A):
        reply = await ask(served, name, kind)
        assert reply.rcode in (NOERROR, NXDOMAIN)


@pytest.mark.parametrize("kind", EVERY, ids=str)
@pytest.mark.parametrize("zone", ["invalid", "onion"])
async def test_what_never_exists(served: Served, zone: str, kind: int) -> None:
    """RFC 6761 section 6.4, RFC 7686 section 2: NXDOMAIN, and no word of it to anyone."""
    for name in (zone, f"www.{zone}", f"a.b.{zone.upper()}"):
        reply = await ask(served, name, kind)
        assert (reply.rcode, reply.answers) == (NXDOMAIN, [])


@pytest.mark.parametrize("kind", [SVCB, HTTPS, A, TXT], ids=["SVCB", "HTTPS", "A", "TXT"])
async def test_ways_to_this_server(served: Served, kind: int) -> None:
    """RFC 9462 sections 4 and 6.1: there is no encrypted one, and nobody else is asked for those
    to itself."""
    for name in ("_dns.resolver.arpa", "resolver.arpa", "x.resolver.arpa"):
        reply = await ask(served, name, kind)
        assert (reply.rcode, reply.answers) == (NOERROR, [])


PRIVATE = [
    *("0.1.2.3", "10.0.0.1", "10.255.255.255", "169.254.1.1", "172.16.0.1", "172.31.255.255"),
    *("192.0.2.1", "192.168.0.1", "198.51.100.1", "203.0.113.1"),
    *("fd00::1", "fe80::1", "febf::1", "2001:db8::1"),
]
SHARED = ["100.64.0.1", "100.127.255.255"]
PUBLIC = [
    *("9.9.9.9", "11.0.0.1", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1"),
    *("192.167.0.1", "198.51.99.1", "255.255.255.254", "2001:db9::1", "fec0::1", "fc00::1", "::2"),
]


@pytest.mark.parametrize("address", PRIVATE)
async def test_private_addresses(behind_public: Served, address: str) -> None:
    """RFC 6303 sections 3 and 4: nobody outside knows them, so nobody there is asked."""
    reply = await ask(behind_public, ip_address(address).reverse_pointer, PTR)
    assert (reply.rcode, reply.answers) == (NXDOMAIN, [])


@pytest.mark.parametrize("address", SHARED)
async def test_shared_addresses(behind_public: Served, address: str) -> None:
    """RFC 7793 section 1: those of carriers' networks are like private ones."""
    reply = await ask(behind_public, ip_address(address).reverse_pointer, PTR)
    assert (reply.rcode, reply.answers) == (NXDOMAIN, [])


@pytest.mark.parametrize(
    "zone",
    [
        *("10.in-addr.arpa", "168.192.in-addr.arpa", "16.172.in-addr.arpa", "d.f.ip6.arpa"),
        *(ip_address(one).reverse_pointer for one in ("255.255.255.255", "::")),
    ],
)
async def test_apexes_of_private_zones(behind_public: Served, zone: str) -> None:
    """RFC 6303 section 3: the zone itself exists."""
    for kind in (A, PTR, TXT):
        reply = await ask(behind_public, zone, kind)
        assert (reply.rcode, reply.answers) == (NOERROR, [])
        assert reply.authority[0].startswith(f"{zone}. ")
    numbers = "nobody.invalid. 1 3600 1200 604800 60"
    assert (await ask(behind_public, zone, SOA)).rdata == [f"{zone}. {numbers}"]
    assert (await ask(behind_public, zone, NS)).rdata == [f"{zone}."]


@pytest.mark.parametrize("address", [*PRIVATE, *SHARED, *PUBLIC])
async def test_a_recursor_inside_knows_them(served: Served, address: str) -> None:
    """RFC 6303 section 1: a site's own recursor has the site's zones, and is asked."""
    name = ip_address(address).reverse_pointer
    await served.ask(query(name, PTR))
    assert len(served.upstream.heard(name)) == 1


@pytest.mark.parametrize("name", ["x.invalid", "x.onion", "3.0.0.127.in-addr.arpa", "localhost"])
async def test_any(served: Served, name: str) -> None:
    """RFC 6761 section 6.4, RFC 8482 section 4: what does not exist has no records of any type."""
    packet = query(name, ANY, edns=opt())
    for reply in (await served.ask(packet, times=3), await served.ask_tcp(packet)):
        exists = not name.startswith("x.")
        assert reply.rcode == (NOERROR if exists else NXDOMAIN)
        assert len(reply.answers) == (1 if exists else 0)


@pytest.mark.parametrize("address", PUBLIC)
async def test_zones_around_the_private_ones(behind_public: Served, address: str) -> None:
    """RFC 6303 section 4: not one address more."""
    name = wire(ip_address(address).reverse_pointer)
    assert behind_public.here.engine.table.routes.find(name).zone == b"\0"
