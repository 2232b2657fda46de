"""A connection to an agent that says anything at any time."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.consul.connection import EARLY, Answer, HttpConnection, Lost, Silent
from tests.consul.server import http

PIECES = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 500 x\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n",
    b"Content-Length: 3\r\n", b"Content-Length: 200\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n", b"X: y\r\n", b"abc", b"3\r\n", b"0\r\n\r\n", b"ffffffff\r\n", b"\0",
]  # fmt: skip


class Transport(asyncio.Transport):
    """One that notes what becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[Any] = []
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted


@pytest.fixture
def made() -> tuple[HttpConnection, Transport, list[HttpConnection]]:
    return connection()


def connection() -> tuple[HttpConnection, Transport, list[HttpConnection]]:
    """A connection that is open, and who was told that it ended."""
    ended: list[HttpConnection] = []
    found, transport = HttpConnection(ended.append), Transport()
    found.connection_made(transport)
    return found, transport, ended


def future() -> asyncio.Future[Answer]:
    return asyncio.get_running_loop().create_future()


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=12), st.integers(0, 12))
def test_whatever_is_said_a_request_has_one_end(pieces: list[bytes], early: int) -> None:
    async def run() -> None:
        said, transport, ended = connection()
        for piece in pieces[:early]:
            said.data_received(piece)
        done = future()
        said.ask(b"GET / HTTP/1.1\r\n\r\n", 100, done)
        for piece in pieces[early:]:
            if transport.aborted:
                break
            said.data_received(piece)
        kept = said.usable
        # It goes on only where a whole reply came, and nothing else.
        assert not kept or (done.done() and done.exception() is None)
        said.connection_lost(None)
        assert done.done()
        error = done.exception()
        assert error is None or isinstance(error, Lost | ValueError)
        assert ended == [said]

    asyncio.run(run())


async def test_the_next_request_has_a_reply_of_its_own(
    made: tuple[HttpConnection, Transport, list[HttpConnection]],
) -> None:
    said, transport, _ = made
    assert said.fresh
    for body in (b"[1]", b"[2]"):
        assert said.usable
        done = future()
        said.ask(b"?", 100, done)
        assert not said.usable
        for octet in http(body):
            said.data_received(bytes([octet]))
        assert (await done).body == body
    assert transport.written == [b"?", b"?"]
    assert not said.fresh


async def test_a_reply_in_tiny_pieces_takes_no_more_room_than_it_is_long() -> None:
    said, _, _ = connection()
    done = future()
    said.ask(b"?", 1 << 20, done)
    said.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    tracemalloc.start()
    try:
        for _ in range(50_000):
            said.data_received(b"ab")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * 100_000
    said.abort()


async def test_early_words_are_bounded(
    made: tuple[HttpConnection, Transport, list[HttpConnection]],
) -> None:
    said, transport, _ = made
    said.data_received(b"x" * EARLY)
    assert not transport.aborted
    said.data_received(b"x")
    assert transport.aborted


async def test_one_that_was_lost_before_it_was_asked(
    made: tuple[HttpConnection, Transport, list[HttpConnection]],
) -> None:
    said, _, ended = made
    said.connection_lost(ConnectionResetError(104, "reset"))
    assert (said.lost, said.usable, ended) == (True, False, [said])
    done = future()
    said.ask(b"?", 100, done)
    with pytest.raises(ConnectionResetError):
        await done
    said, _, _ = connection()
    said.connection_lost(None)
    done = future()
    said.ask(b"?", 100, done)
    with pytest.raises(Silent):
        await done


async def test_one_that_comes_about_after_it_was_given_up() -> None:
    said, transport = HttpConnection(lambda _: None), Transport()
    said.abort()
    said.connection_made(transport)
    assert transport.aborted
