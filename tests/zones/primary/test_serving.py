"""Serving on sockets: limits, slow clients, changes meanwhile, and no turn that takes long."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import dns.asyncquery
import dns.message
import dns.rcode
import dns.xfr
import pytest

from consulfwd.config import Endpoint
from consulfwd.dns import const
from consulfwd.dns.framing import StreamReader
from consulfwd.errors import StartError
from consulfwd.zones.model import Key, RRset, difference
from consulfwd.zones.primary import sockets, transfers
from consulfwd.zones.primary.serving import Limits, Server
from consulfwd.zones.primary.sockets import Sockets
from consulfwd.zones.primary.versions import Versions
from tests.zones.made import ORIGIN
from tests.zones.primary.pulled import (
    KEYRING,
    THEIR_KEY,
    WIRE,
    Site,
    change,
    secondary,
    shown,
    some_records,
    versions,
    wanted,
)

HOST = "127.0.0.1"
SOA = dns.message.make_query(ORIGIN, "SOA")
AXFR = dns.message.make_query(ORIGIN, "AXFR").to_wire()


@asynccontextmanager
async def running(
    held: Versions,
    host: str = HOST,
    limits: Limits | None = None,
    *,
    unsigned: bool = False,
    allow: str = "",
) -> AsyncIterator[int]:
    """A server for a zone; its port."""
    had = Sockets(Endpoint(host=host, port=0))
    allow = allow or ("::/0" if ":" in host else "127.0.0.0/8")
    served = Site(held, allow=allow, unsigned=unsigned).served
    server = Server(had, {WIRE: served}, limits)
    await server.start()
    try:
        yield had.port
    finally:
        await server.close()


@pytest.fixture
def held() -> Versions:
    return versions(some_records(random.Random(1), 500), 7)


@pytest.mark.parametrize("host", [HOST, "::1"])
async def test_over_udp_and_tcp(held: Versions, host: str) -> None:
    async with running(held, host) as port:
        for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
            reply = await ask(SOA, host, 5, port)
            assert reply.answer[0][0].serial == 7


@pytest.mark.parametrize("asked", ["127.0.0.1", "127.0.0.77"])
async def test_replies_leave_from_the_address_that_was_asked(held: Versions, asked: str) -> None:
    async with running(held, "0.0.0.0") as port:
        # Those of another address are not taken.
        await dns.asyncquery.udp(SOA, asked, 5, port)
        reply = await dns.asyncquery.tcp(SOA, asked, 5, port)
        assert reply.answer


@pytest.mark.parametrize("turns", range(5))
async def test_who_was_accepted_a_moment_before_it_ends_is_cut_off(
    held: Versions, turns: int
) -> None:
    """Whatever asyncio was at: nothing is left half made, nor waits for queries any more."""
    with socket.socket() as sock, warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always")
        sock.settimeout(2)
        async with running(held) as port:
            sock.connect((HOST, port))
            for _ in range(turns):
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        with suppress(ConnectionResetError):
            assert sock.recv(1) == b""
        gc.collect()
    assert [str(one.message) for one in left] == []


async def test_a_signed_transfer(held: Versions) -> None:
    async with running(held) as port:
        zone = secondary()
        query, _ = dns.xfr.make_query(zone, keyring=KEYRING, keyname=THEIR_KEY.name)
        await dns.asyncquery.inbound_xfr(HOST, zone, query, port, 10, 30)
        assert shown(zone) == wanted(held)


async def test_several_queries_on_one_connection(held: Versions) -> None:
    async with running(held, unsigned=True) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        axfr = dns.message.make_query(ORIGIN, "AXFR").to_wire()
        for wire in (SOA.to_wire(), axfr, SOA.to_wire()):
            writer.write(len(wire).to_bytes(2, "big") + wire)
        idents: list[bytes] = []
        while len(idents) < 2 or idents[-1] != SOA.to_wire()[:2]:
            size = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 5), "big")
            idents.append((await reader.readexactly(size))[:2])
        assert axfr[:2] in idents
        writer.close()


def whole(held: Versions) -> bytes:
    """The records of a transfer of all there is now."""
    return b"".join(piece.octets for piece in transfers.all_of(held))


def body(messages: list[bytes]) -> bytes:
    """The records of messages that have nothing else."""
    return b"".join(one[12 + len(WIRE) + 4 :] for one in messages)


async def test_who_has_no_more_to_ask_gets_all_of_it() -> None:
    held = bulky(1)
    async with running(held, unsigned=True) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(len(AXFR).to_bytes(2, "big") + AXFR)
        writer.write_eof()
        octets = await asyncio.wait_for(reader.read(), 20)
        assert body(StreamReader().feed(octets)) == whole(held)
        writer.close()


async def test_hostile_streams(held: Versions) -> None:
    async with running(held, unsigned=True, limits=Limits(idle=0.2)) as port:

        async def closed(octets: bytes) -> None:
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(octets)
            # It is closed after a while, and nothing comes.
            with suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

        http = b"GET / HTTP/1.1\r\n\r\n"
        hostile = (b"\0", b"\xff\xff" + bytes(100), b"\0\0", b"\0\1a", http)
        await asyncio.gather(*map(closed, hostile))
        assert (await dns.asyncquery.tcp(SOA, HOST, 5, port)).answer


async def test_strangers_leave_room(
    held: Versions, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits(strangers=2, idle=5)
    async with running(held, unsigned=True, limits=limits, allow="127.0.0.9/32") as port:
        kept = [await asyncio.open_connection(HOST, port) for _ in range(2)]
        await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection(HOST, port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        writer.close()
        secondary_there = await dns.asyncquery.tcp(SOA, HOST, 5, port, source="127.0.0.9")
        assert secondary_there.answer
        # They are told why, and no more.
        for reader, writer in kept:
            wire = SOA.to_wire()
            writer.write(2 * (len(wire).to_bytes(2, "big") + wire))
            octets = await asyncio.wait_for(reader.read(), 5)
            assert [one[3] & 15 for one in StreamReader().feed(octets)] == [dns.rcode.REFUSED]
            writer.close()
    assert [one.getMessage() for one in caplog.records] == [
        "svc.example.com.: 127.0.0.1 is refused: its address is not in `allow`"
    ]


async def test_the_largest_message_there_can_be(held: Versions) -> None:
    async with running(held, unsigned=True) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        wire = SOA.to_wire()
        filler = b"\0\0\x29\x04\xd0\0\0\0\0"
        room = 0xFFFF - len(wire) - len(filler) - 2
        options = b"\0\x0c" + (room - 4).to_bytes(2, "big") + bytes(room - 4)
        large = wire[:11] + b"\1" + wire[12:] + filler + len(options).to_bytes(2, "big") + options
        assert len(large) == 0xFFFF
        writer.write(2 * (b"\xff\xff" + large))
        for _ in range(2):
            size = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 5), "big")
            assert (await reader.readexactly(size))[3] & 15 == dns.rcode.NOERROR
        writer.close()


async def test_a_thousand_connections_cost_the_others_nothing(held: Versions) -> None:
    async with running(held) as port:
        flood = [socket.socket() for _ in range(1000)]
        for one in flood:
            one.setblocking(False)
            one.connect_ex((HOST, port))
        assert (await dns.asyncquery.udp(SOA, HOST, 5, port)).answer
        reply = await dns.asyncquery.tcp(SOA, HOST, 5, port, source="127.0.0.9")
        assert reply.answer
        for one in flood:
            one.close()
        await until(lambda: asks(port))


async def test_connections_are_limited(held: Versions) -> None:
    async with running(held, limits=Limits(connections_of_one=3)) as port:
        kept = [await asyncio.open_connection(HOST, port) for _ in range(3)]
        await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection(HOST, port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        writer.close()
        # Another client has room.
        other, writer = await asyncio.open_connection(HOST, port, local_addr=("127.0.0.9", 0))
        wire = SOA.to_wire()
        writer.write(len(wire).to_bytes(2, "big") + wire)
        assert await asyncio.wait_for(other.readexactly(2), 5)
        writer.close()
        for _, each in kept:
            each.close()
        await until(lambda: asks(port))


async def until(holds: Callable[[], object]) -> None:
    for _ in range(200):
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not become so")


async def asks(port: int) -> bool:
    try:
        return bool((await dns.asyncquery.tcp(SOA, HOST, 5, port)).answer)
    except (OSError, EOFError):
        return False


def bulky(sets: int) -> Versions:
    """A zone of sets of a megabyte each."""
    texts = [b"\xfa" + b"%04d" % one + bytes(246) for one in range(4_000)]
    return versions(
        {Key(b"\1%c" % (97 + one) + WIRE, const.TXT): RRset(30, frozenset(texts))
         for one in range(sets)}, 7,
    )  # fmt: skip


async def test_transfers_are_limited_and_stalled_ones_end() -> None:
    held = bulky(3)
    limits = Limits(transfers_of_one=2, stalled=0.5)
    async with running(held, unsigned=True, limits=limits) as port:
        axfr = dns.message.make_query(ORIGIN, "AXFR").to_wire()
        asked = len(axfr).to_bytes(2, "big") + axfr
        stalled = []
        for _ in range(2):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (HOST, port))
            sock.send(asked)
            stalled.append(sock)
        await until(lambda: refused(port, axfr))
        # After a while without reading they are given up.
        await until(lambda: not_refused(port, axfr))
        for sock in stalled:
            sock.close()


async def test_what_slow_secondaries_hold_is_bounded() -> None:
    """Three megabytes each are asked for and not read: of them one message or two are made."""
    held = bulky(3)
    had = Sockets(Endpoint(host=HOST, port=0))
    server = Server(had, {WIRE: Site(held, unsigned=True).served}, Limits(stalled=0.5))
    await server.start()
    slow = []
    for _ in range(3):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (HOST, had.port))
        # Pipelined: the next is begun when the one before has been read.
        sock.send(5 * (len(AXFR).to_bytes(2, "big") + AXFR))
        slow.append(sock)
    writers = vars(server)["_tasks"]

    def buffered() -> int:
        return max((one.transport.get_write_buffer_size() for one in writers.values()), default=0)

    await until(buffered)
    for _ in range(5):
        assert buffered() < 0x10000 + transfers.FULL + 300
        # An octet now and then is no progress.
        for sock in slow:
            with suppress(OSError):
                sock.recv(1)
        await asyncio.sleep(0.02)
    await until(lambda: not writers)
    for sock in slow:
        sock.close()
    await server.close()


async def refused(port: int, axfr: bytes) -> bool:
    return await first_rcode(port, axfr) == dns.rcode.SERVFAIL


async def not_refused(port: int, axfr: bytes) -> bool:
    return await first_rcode(port, axfr) == dns.rcode.NOERROR


async def first_rcode(port: int, wire: bytes) -> int:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(len(wire).to_bytes(2, "big") + wire)
    reply = await asyncio.wait_for(reader.readexactly(14), 5)
    writer.transport.abort()
    return reply[5] & 15


async def test_a_large_zone_holds_nobody_up() -> None:
    """Sixty thousand records: others have their turns between, and all is one version."""
    records = {
        Key(b"%cweb-%05d" % (9, number) + WIRE, const.A): RRset(
            30, frozenset(number.to_bytes(2, "big") + bytes((one, 1)) for one in range(5))
        )
        for number in range(12_000)
    }
    held = versions(records, 7)
    before = whole(held)
    async with running(held, unsigned=True) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(len(AXFR).to_bytes(2, "big") + AXFR)
        longest = 0.0
        messages: list[bytes] = []
        gc.collect()
        gc.disable()
        try:
            last = time.process_time()
            while not messages or not is_last(messages, 60_004):
                size = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 20), "big")
                messages.append(await reader.readexactly(size))
                now = time.process_time()
                longest = max(longest, now - last)
                last = now
                if len(messages) == 3:
                    # It changes meanwhile, all of it.
                    change(held, difference(held.content.records, {}))
                    last = time.process_time()
        finally:
            gc.enable()
        writer.close()
    assert body(messages) == before
    assert longest < 0.1


def is_last(messages: list[bytes], records: int) -> bool:
    """Whether so many records have come."""
    total = sum(int.from_bytes(one[6:8], "big") for one in messages)
    return total >= records


async def test_closing_ends_transfers(held: Versions) -> None:
    async with running(held, unsigned=True) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()


def test_addresses_that_cannot_be_had() -> None:
    first = Sockets(Endpoint(host=HOST, port=0))
    taken = Endpoint(host=HOST, port=first.port)
    free = Endpoint(host=HOST, port=0)
    with pytest.raises(StartError, match=f"cannot listen on {HOST}:{first.port}: Address already"):
        sockets.bind([free, taken])
    first.close()
    bound = sockets.bind([taken, free, taken])
    assert list(bound) == [taken, free]
    assert bound[taken].port == taken.port
    for one in bound.values():
        one.close()
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1"):
        sockets.bind([Endpoint(host="192.0.2.1", port=0)])
