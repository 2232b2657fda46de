"""Over TCP (RFC 7766): a stream of messages, in whatever pieces it comes, answered in any order."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from tests.conformance.conftest import Served, answered
from tests.conformance.octets import FORMERR, QR, A, message, opt, query, question, record, wire
from tests.conformance.upstream import Asked, Script
from tests.net.world import TcpClient, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROW = record(b"\xc0\x0c", A, "192.0.2.1")
ONE, OTHER = query("one.test"), query("two.test")


def framed(*packets: bytes) -> bytes:
    return b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)


def into(held: list[Asked]) -> Script:
    """Hold queries back: they are answered when the test says so."""

    def hold(asked: Asked) -> list[bytes]:
        held.append(asked)
        return []

    return hold


async def in_pieces(client: TcpClient, pieces: list[bytes]) -> None:
    """Send each piece as a segment of its own, and let the server read it before the next."""
    for piece in pieces:
        client.writer.write(piece)
        await client.writer.drain()
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def names(served: Served) -> None:
    for name in ("one.test", "two.test"):
        served.upstream.answers(name, ROW)


WHOLE = framed(ONE, OTHER)
END = len(framed(ONE))
PIECES = {
    "one segment": [WHOLE],
    "two": [WHOLE[:END], WHOLE[END:]],
    "octets": [WHOLE[at : at + 1] for at in range(len(WHOLE))],
    "length": [WHOLE[:1], WHOLE[1:]],
    "length alone": [WHOLE[:2], WHOLE[2:END], WHOLE[END : END + 1], WHOLE[END + 1 :]],
    "header": [WHOLE[:14], WHOLE[14:]],
    "name": [WHOLE[:17], WHOLE[17:]],
    "last octet": [WHOLE[: END - 1], WHOLE[END - 1 :]],
    "one and a half": [WHOLE[: END + 1], WHOLE[END + 1 :]],
    "all but one": [WHOLE[:-1], WHOLE[-1:]],
}


@pytest.mark.parametrize("how", PIECES)
async def test_in_any_pieces(served: Served, how: str) -> None:
    """RFC 1035 section 4.2.2, RFC 7766 section 8: the length counts, not how segments are cut."""
    async with served.tcp() as client:
        await in_pieces(client, PIECES[how])
        replies = {data[:2]: data for data in [await client.receive() for _ in range(2)]}
    for packet in (ONE, OTHER):
        assert answered(packet, replies[packet[:2]]).rdata == ["192.0.2.1"]


async def test_a_reply_is_one_segment(served: Served) -> None:
    """RFC 7766 section 8: length and message leave together."""
    async with served.tcp() as client:
        client.send(ONE)
        data = await client.reader.read(65537)
        assert int.from_bytes(data[:2], "big") == len(data) - 2


async def test_replies_in_any_order(served: Served) -> None:
    """RFC 7766 sections 6.2.1.1 and 7: no reply waits for one before it."""
    held: list[Asked] = []
    slow = [query(f"slow{number}.test") for number in range(3)]
    for number in range(3):
        served.upstream.on(f"slow{number}.test", into(held))
    async with served.tcp() as client:
        client.send(*slow, ONE)
        assert (await client.receive())[:2] == ONE[:2]
        await until(lambda: len(held) == 3)
        for asked in reversed(held):
            asked.send(asked.reply(ROW))
            reply = await client.receive()
            packet = next(one for one in slow if wire(_name(one)) == asked.name)
            assert answered(packet, reply).rdata == ["192.0.2.1"]


def _name(packet: bytes) -> str:
    return f"{packet[13 : 13 + packet[12]].decode()}.test"


@pytest.mark.parametrize("count", [2, 100, 500])
async def test_pipelining(served: Served, count: int) -> None:
    """RFC 7766 section 6.2.1.1: many at once, each answered once under its own ID."""
    asked = question("one.test")
    packets = [message(ident, 0x100, asked, additional=[opt()]) for ident in range(count)]
    async with served.tcp() as client:
        client.send(*packets)
        replies = [await client.receive() for _ in range(count)]
        assert sorted(int.from_bytes(one[:2], "big") for one in replies) == list(range(count))
        assert len({one[2:] for one in replies}) == 1
        client.send(ONE)
        assert answered(ONE, await client.receive()).rcode == 0


async def test_the_same_id_twice(served: Served) -> None:
    """RFC 7766 section 6.2.1: what tells replies apart is ID and question."""
    packets = [message(1, 0x100, question(name)) for name in ("one.test", "two.test", "one.test")]
    async with served.tcp() as client:
        client.send(*packets)
        found = [await client.receive() for _ in packets]
        assert sorted(one[12:20] for one in found) == sorted(one[12:20] for one in packets)


async def test_one_connection_for_many(served: Served) -> None:
    """RFC 7766 section 6.2.1: a connection is good for the next query too."""
    async with served.tcp() as client:
        for packet in [ONE, OTHER] * 5:
            client.send(packet)
            assert answered(packet, await client.receive()).rdata == ["192.0.2.1"]


async def test_half_closed(served: Served) -> None:
    """RFC 7766 section 6.2.4: who says that it has asked all gets all its replies."""
    async with served.tcp() as client:
        client.send(ONE, OTHER)
        client.writer.write_eof()
        found = {(await client.receive())[:2] for _ in range(2)}
        assert found == {ONE[:2], OTHER[:2]}
        assert await client.closed()


async def test_half_closed_while_it_is_asked(served: Served) -> None:
    """RFC 7766 section 6.2.4: also those that are not there yet."""
    held: list[Asked] = []
    served.upstream.on("late.test", into(held))
    packet = query("late.test")
    async with served.tcp() as client:
        client.send(packet)
        client.writer.write_eof()
        await until(lambda: held)
        held[0].send(held[0].reply(ROW))
        assert answered(packet, await client.receive()).rdata == ["192.0.2.1"]
        assert await client.closed()


@pytest.mark.parametrize("how", ["reset", "half a message", "length", "nothing"])
async def test_broken_off(served: Served, how: str) -> None:
    """RFC 7766 section 6.2.4: a connection that ends in the middle costs nobody else anything."""
    sent = {"reset": framed(ONE), "half a message": WHOLE[:9], "length": WHOLE[:1], "nothing": b""}
    for _ in range(3):
        async with served.tcp() as client:
            client.writer.write(sent[how])
            await client.writer.drain()
            if how == "reset":
                sock = client.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert (await served.ask_tcp(ONE)).rdata == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("packet", "rcode"),
    [
        pytest.param(message(7, 0x100, question("one.test"))[:-1], FORMERR, id="cut"),
        pytest.param(message(7, 0x100, question("one.test")) + b"\0", FORMERR, id="longer"),
        pytest.param(message(7, 0x100)[:12], FORMERR, id="header"),
        pytest.param(message(7, 0x100) + bytes(65000), FORMERR, id="65012"),
        pytest.param(b"", None, id="empty"),
        pytest.param(b"\0\7\1", None, id="3"),
        pytest.param(message(7, QR, question("one.test")), None, id="response"),
    ],
)
async def test_malformed(served: Served, packet: bytes, rcode: int | None) -> None:
    """RFC 1035 section 4.2.2, RFC 7766 section 10: an error is told, what is no query ends it."""
    async with served.tcp() as client:
        client.send(packet)
        if rcode is None:
            assert await client.closed()
            return
        assert answered(packet, await client.receive()).rcode == rcode
        client.send(ONE)
        assert answered(ONE, await client.receive()).rdata == ["192.0.2.1"]


@pytest.mark.parametrize("size", [513, 1300, 5000, 65535])
async def test_long_queries(served: Served, size: int) -> None:
    """RFC 1035 section 4.2.2, RFC 7830 section 3: a padded query is one, to the last octet."""
    bare = len(query("one.test", edns=opt())) + 4
    padding = struct.pack("!HH", 12, size - bare) + bytes(size - bare)
    packet = query("one.test", edns=opt(options=padding))
    assert len(packet) == size
    assert (await served.ask_tcp(packet)).rdata == ["192.0.2.1"]


async def test_udp_and_tcp_say_the_same(served: Served) -> None:
    """RFC 7766 section 5: TCP is as good as UDP."""
    for name in ("one.test", "none.test", "localhost", "x.invalid", "galeradb.service.consul"):
        for edns in (None, opt(65535)):
            packet = query(name, edns=edns)
            udp, tcp = await served.ask(packet, times=2), await served.ask_tcp(packet)
            assert udp.timeless == tcp.timeless
