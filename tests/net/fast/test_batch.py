"""Batches of datagrams, the compiled and the pure one: the same of the same, sent and received."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from consulfwd.net import _fast, mmsg

Pair = tuple[socket.socket, socket.socket]
TWINS = pytest.mark.parametrize("kind", [mmsg.PureBatch, _fast.Batch], ids=["pure", "compiled"])


def bound(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A server's socket, and a client's that is connected to it."""
    server, client = bound(request.param), bound(request.param)
    client.connect(server.getsockname())
    with server, client:
        yield server, client


def received(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(65535))
        except BlockingIOError:
            return found


@TWINS
def test_what_is_received_and_sent_back(kind: type[mmsg.PureBatch], pair: Pair) -> None:
    server, client = pair
    batch = kind(server)
    assert (batch.receive(), batch.lengths, batch.messages()) == (0, [], [])
    sent = [b"", b"a", b"ab", b"x" * 255, b"y" * 256, b"z" * 257, b"w" * 4096]
    for one in [*sent, b"v" * 5000]:
        client.send(one)
    assert batch.receive() == 8
    assert batch.lengths[:7] == [len(one) for one in sent]
    assert [batch.message(index) for index in range(7)] == sent
    # What is longer than there is room for comes cut.
    assert batch.message(7) == b"v" * 4096
    size = batch.name_size
    assert {mmsg.to_address(batch.names[at : at + size]) for at in range(0, 8 * size, size)} == {
        client.getsockname()[:2]
    }
    assert batch.data[256 * 3 : 256 * 4] == b"x" * 255 + b"\0"


@TWINS
def test_replies_keep_the_ids_of_their_queries(kind: type[mmsg.PureBatch], pair: Pair) -> None:
    server, client = pair
    batch = kind(server)
    for number in range(64):
        client.send(number.to_bytes(2, "big") + b"question")
    assert batch.receive() == 64
    tails = [b"answer %d" % number for number in range(64)]
    assert batch.send_back(tails) == 0
    assert received(client) == [
        number.to_bytes(2, "big") + tail for number, tail in enumerate(tails)
    ]


@TWINS
@pytest.mark.parametrize("count", [1, 2, 64, 65, 200])
def test_any_number_is_sent(kind: type[mmsg.PureBatch], pair: Pair, count: int) -> None:
    server, client = pair
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    batch = kind(server)
    client.send(b"where I am")
    batch.receive()
    replies = [number.to_bytes(2, "big") * 50 for number in range(count)]
    assert batch.send(replies, [batch.names] * count) == 0
    assert received(client) == replies


@TWINS
def test_large_ones_are_sent_in_parts(kind: type[mmsg.PureBatch]) -> None:
    server, client = bound(), bound()
    with server, client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        client.connect(server.getsockname())
        batch = kind(server)
        for _ in range(6):
            client.send(b"id")
        batch.receive()
        replies = [bytes((number,)) * 60_000 for number in range(6)]
        names = [batch.names[at : at + 16] for at in range(0, 96, 16)]
        assert batch.send(replies, names) == 0
        assert received(client) == replies
        assert batch.send_back([reply[2:] for reply in replies]) == 0
        assert received(client) == [b"id" + reply[2:] for reply in replies]


@TWINS
def test_on_a_connected_socket(kind: type[mmsg.PureBatch]) -> None:
    here, there = bound(), bound()
    with here, there:
        here.connect(there.getsockname())
        there.connect(here.getsockname())
        batch = kind(here, 2048, 65535, named=False)
        assert batch.send([b"ab", b"cd" * 20_000]) == 0
        assert received(there) == [b"ab", b"cd" * 20_000]
        there.send(b"x" * 30_000)
        there.send(b"y")
        assert batch.receive() == 2
        assert batch.messages() == [b"x" * 30_000, b"y"]
        there.close()
        # News of an earlier message: what is sent meanwhile is tried again, once.
        assert batch.send([b"nobody"]) == 0
        assert batch.send([b"is there", b"any more"]) == errno.ECONNREFUSED


@TWINS
@pytest.mark.parametrize("count", [1, 3])
def test_what_no_route_leads_to_is_left_out(
    kind: type[mmsg.PureBatch], pair: Pair, count: int
) -> None:
    server, client = pair
    batch = kind(server)
    client.send(b"where I am")
    batch.receive()
    nowhere = bytearray(batch.names)
    # Port 0 is nobody's.
    nowhere[2:4] = b"\0\0"
    names = [bytes(nowhere)] * (count - 1) + [batch.names]
    assert batch.send([b"reply"] * count, names) == (errno.EINVAL if count > 1 else 0)
    assert received(client) == [b"reply"]
    assert batch.send([b"reply"], [bytes(nowhere)]) == errno.EINVAL


@TWINS
def test_closed_it_sends_nothing(kind: type[mmsg.PureBatch], pair: Pair) -> None:
    server, client = pair
    batch = kind(server)
    client.send(b"where I am")
    batch.receive()
    names = [batch.names]
    batch.close()
    # The number of the socket may be that of another one by now.
    batch.send([b"too late"], names)
    assert received(client) == []


@pytest.mark.parametrize(
    "arguments", [(), (["no bytes"],), ([b"xy"], [b"too short"]), ([b"xy"], []), (5, 6)]
)
def test_the_compiled_one_takes_nothing_else(
    pair: Pair, arguments: tuple[object, ...]
) -> None:
    batch = _fast.Batch(pair[0])
    with pytest.raises((TypeError, ValueError)):
        batch.send(*arguments)  # type: ignore[arg-type]
    for wrong in (["x"], "x", [b"one too many"]):
        with pytest.raises((TypeError, ValueError)):
            batch.send_back(wrong)  # type: ignore[arg-type]
    for index in (-1, 0, 64, 1 << 40):
        with pytest.raises((IndexError, OverflowError)):
            batch.message(index)
    # One that never was made is nobody's.
    with pytest.raises(OSError, match="Bad file"):
        _fast.Batch.__new__(_fast.Batch).receive()
    for size in (-1, 0, 1 << 20):
        with pytest.raises(ValueError, match="size"):
            _fast.Batch(pair[0], size)
