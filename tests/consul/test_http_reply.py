"""Replies of HTTP, octet by octet and at once; and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consulfwd.consul.http_reply import HEAD, BadReply, HttpReply

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhello, and more"
_CHUNKS = b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = _CHUNKS + b"3;x=y\r\nhel\r\n02\r\nlo\r\n0\r\nT: x\r\n"
CLOSED = b"HTTP/1.0 503 Sorry\r\n\r\nhello"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH


def read(octets: bytes, piece: int, *, head_only: bool = False) -> tuple[HttpReply, bytes]:
    reply = HttpReply(head_only=head_only)
    body = b"".join(reply.feed(octets[at : at + piece]) for at in range(0, len(octets), piece))
    return reply, body


@pytest.mark.parametrize("piece", [1, 2, 7, 1_000])
@pytest.mark.parametrize(
    ("octets", "status"), [(LENGTH, 200), (CHUNKED, 200), (CLOSED, 503), (INTERIM, 200)]
)
def test_a_reply_is_read(octets: bytes, status: int, piece: int) -> None:
    reply, body = read(octets, piece)
    assert (reply.status, body) == (status, b"hello")
    assert reply.whole is (octets != CLOSED)
    reply.end()
    assert reply.whole


def test_a_head_alone_has_no_body() -> None:
    reply, body = read(LENGTH, 10, head_only=True)
    assert (reply.whole, body, reply.headers["x-a"]) == (True, b"", "b")


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what came is not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "what came is not HTTP"),
        (b"HTTP/1.1 99 no\r\n\r\n", "what came is not HTTP"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "it went over to something that is not HTTP"),
        (b"HTTP/1.1 102 x\r\n\r\n" * 9, "it goes on saying that it is at it (HTTP 1xx)"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * HEAD, "its head has more than 32768 octets"),
        (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", "a line of its head is no header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "how long its page is cannot be known"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "it says its content-length twice",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "how long its page is cannot be known",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            "a chunk of its page does not say how long it is",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 300,
            "a chunk of its page does not say how long it is",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
            "a chunk of its page is longer than it says",
        ),
    ],
)
@pytest.mark.parametrize("piece", [13, 1 << 20])
def test_what_is_no_reply_is_told(octets: bytes, why: str, piece: int) -> None:
    with pytest.raises(BadReply) as told:
        read(octets, piece)
    assert str(told.value) == why


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "the connection was closed without a reply"),
        (b"HTTP/1.1 2", "the connection was closed in the middle of the reply's head"),
        (LENGTH[:-14], "the connection was closed in the middle of the page"),
        (CHUNKED[:-9], "the connection was closed in the middle of the page"),
    ],
)
def test_what_ends_too_early_is_told(octets: bytes, why: str) -> None:
    reply, _ = read(octets, 5)
    with pytest.raises(BadReply) as told:
        reply.end()
    assert str(told.value) == why


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([LENGTH, CHUNKED, CLOSED, b""]), st.binary(max_size=40), st.integers(0, 80))
def test_nothing_else_is_raised(octets: bytes, more: bytes, at: int) -> None:
    try:
        reply, _ = read(octets[:at] + more + octets[at:], 9)
        reply.end()
    except BadReply:
        pass


@pytest.mark.parametrize(
    ("octets", "lasting"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (_CHUNKS.replace(b"200", b"200 OK") + b"5\r\nhello\r\n0\r\n\r\n", True),
        # What is behind it, or may yet come, would be taken for the next one.
        (LENGTH, False),
        (CHUNKED, False),
        (_CHUNKS + b"5\r\nhello\r\n0\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", False),
        # It is to be the last one (RFC 9112 section 9.3).
        (b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
    ],
)
def test_whether_another_may_follow(octets: bytes, lasting: bool) -> None:
    for piece in (1, 7, 1_000):
        assert read(octets, piece)[0].lasting is lasting


def test_one_that_ends_with_the_connection_is_the_last_one() -> None:
    reply, _ = read(CLOSED.replace(b"1.0", b"1.1"), 10)
    reply.end()
    assert (reply.whole, reply.lasting) == (True, False)


def crumbs(least: int, size: int) -> None:
    reply = HttpReply(least=least)
    reply.feed(_CHUNKS)
    for _ in range(1_001):
        reply.feed(b"%x\r\n%b\r\n" % (size, b"a" * size))


def test_a_page_in_crumbs() -> None:
    crumbs(0, 1)
    crumbs(32, 32)
    with pytest.raises(BadReply, match="its page comes in crumbs"):
        crumbs(32, 31)


def test_a_longest_head_of_one_s_own() -> None:
    head = b"HTTP/1.1 200 OK\r\nX: %b\r\n\r\n"
    reply = HttpReply(most=100)
    reply.feed(head % (b"y" * 80))
    assert reply.status == 200
    with pytest.raises(BadReply, match="its head has more than 100 octets"):
        HttpReply(most=100).feed(head % (b"y" * 81))
