"""Whoever asks too much, too slowly or what is not HTTP: clear, bounded, and gone after a while."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from consulfwd.ops.admin import connections, http
from consulfwd.ops.admin.connections import Limits
from consulfwd.ops.admin.http import HttpError
from tests.loopback import OWN
from tests.ops.admin.world import Process, World, error, everything, taken_apart


@pytest.fixture
def hasty() -> tuple[str, ...]:
    """Limits that are short; where nobody is to be let go a busy machine may take its time."""
    return ()


@pytest.fixture
async def world(
    hasty: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    short: dict[str, Any] = dict.fromkeys(hasty, 0.2)
    limits = Limits(connections=8, parting=10)._replace(**short)
    monkeypatch.setattr(connections.Connections.__init__, "__defaults__", (limits,))
    async with World(tmp_path) as made:
        yield made


GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"\0" * 100_000, 400),
        (b"GET / HTTP/1.1\n\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET http://evil.example/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /%s HTTP/1.1\r\n\r\n" % (b"x" * 8_192), 414),
        (GET + b"X: " + b"x" * 8_192 + b"\r\n\r\n", 431),
        (GET + b"X: y\r\n" * 101 + b"\r\n", 431),
        (GET + (b"X: " + b"x" * 1_000 + b"\r\n") * 33 + b"\r\n", 431),
        (GET + b"X: " + b"x" * 1_000_000, 431),
        (GET + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n", 431),
        (GET + b"Host: localhost\r\n\r\n", 400),
        (GET + b" folded\r\n\r\n", 400),
        (GET + b"X : y\r\n\r\n", 400),
        (GET + b"X: \0\r\n\r\n", 400),
        (GET + b"Content-Length: 65537\r\n\r\n", 413),
        (GET + b"Content-Length: 99999999999999999999\r\n\r\n", 413),
        (GET + b"Content-Length: -1\r\n\r\n", 400),
        (GET + b"Content-Length: 1_0\r\n\r\n", 400),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    ],
)
async def test_what_cannot_be_answered(world: World, request_: bytes, status: int) -> None:
    await refused(world, request_, status)


async def refused(world: World, request: bytes, status: int) -> None:
    told, fields, body = taken_apart(await world.say(request))
    assert told == status
    assert fields["connection"] == "close"
    assert error(body)
    assert fields["content-security-policy"] == http.POLICY


@pytest.mark.parametrize(
    ("hasty", "request_"),
    [
        (["head"], b"SSH-2.0-OpenSSH_9\r\n"),
        (["head"], GET),
        (["body"], GET + b"Content-Length: 5\r\n\r\nab"),
    ],
)
async def test_what_never_ends(world: World, request_: bytes) -> None:
    await refused(world, request_, 408)
    assert world.admin.people is not None
    assert world.admin.people.counts["errors"] == 1


async def test_requests_one_after_the_other_on_one_connection(world: World) -> None:
    # The last one asks for the end; all three come at once.
    told = await world.say(
        GET + b"\r\n" + GET + b"Content-Length: 2\r\n\r\nhi" + GET + b"Connection: close\r\n\r\n"
    )
    assert told.count(b"HTTP/1.1 200 OK\r\n") == told.count(b"ok\n") == 3
    assert told.count(b"Connection: close") == 1
    # Of HTTP/1.0 only one.
    assert (await world.say(GET.replace(b"1.1", b"1.0") + b"\r\n" + GET)).count(b"200 OK") == 1


@pytest.mark.parametrize("hasty", [["head", "idle"]])
async def test_who_says_nothing_is_let_go(world: World) -> None:
    running = asyncio.get_running_loop()
    began = running.time()
    assert await world.say(b"") == b""
    # Between requests a little longer.
    assert (await world.say(GET + b"\r\n")).endswith(b"ok\n")
    assert running.time() - began < 9


@pytest.mark.parametrize("hasty", [["head"]])
async def test_who_says_a_letter_at_a_time_is_let_go(world: World) -> None:
    def letters() -> bytes:
        with world.connected() as sock:
            sock.settimeout(0.02)
            for letter in GET * 100:
                try:
                    sock.send(bytes([letter]))
                    return sock.recv(1000)
                except TimeoutError:
                    continue
                except OSError:
                    return b""
        raise AssertionError("it is still read")

    told = await asyncio.to_thread(letters)
    assert told.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("hasty", [["stuck"]])
async def test_who_never_reads_is_let_go(world: World) -> None:
    world.process.line = "x" * 8_000_000
    with world.connected() as sock:
        sock.sendall(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        # In the kernel's buffers is a part of it; the rest is thrown away.
        for _ in range(200):
            seen = await world.ask("GET", "/healthz")
            assert seen[0] == 200
            await asyncio.sleep(0.02)
            if _dropped(world):
                break
        assert _dropped(world) == 1
        told = await asyncio.to_thread(everything, sock)
        assert len(told) < 8_000_000


def _dropped(world: World) -> int:
    people = world.admin.people
    assert people is not None
    return people.counts["dropped"]


@pytest.mark.parametrize("hasty", [["stuck"]])
async def test_a_page_nobody_reads_is_let_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from consulfwd.ops.admin import streams

    monkeypatch.setattr(streams.Lines.__init__, "__kwdefaults__", {"alive": 1.0, "most": 2_000})
    with world.connected() as sock:
        sock.sendall(b"GET /querylog HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await asyncio.to_thread(sock.recv, 12) == b"HTTP/1.1 200"
        for _ in range(200):
            if (put := world.process.put) is None:
                break
            for _ in range(500):
                put(b"x" * 1_000)
            await asyncio.sleep(0.02)
        assert world.process.put is None


async def test_so_many_connections_and_no_more(world: World) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(world.connected()) for _ in range(8)]
        for sock in held:
            sock.sendall(GET + b"\r\n")
            assert await asyncio.to_thread(sock.recv, 12) == b"HTTP/1.1 200"
        told, fields, body = await world.ask("GET", "/healthz")
        assert (told, fields["retry-after"]) == (503, "1")
        assert "too many connections" in error(body)
        # Who comes in by the other door is not kept out by them.
        assert (await world.ask("GET", "/healthz", tcp=True))[0] == 200
    for _ in range(200):
        if (await world.ask("GET", "/healthz"))[0] == 200:
            break
        await asyncio.sleep(0.01)
    assert (await world.ask("GET", "/healthz"))[0] == 200


async def test_a_thousand_at_once(world: World) -> None:
    # As many as may wait are let in or refused, and nobody is forgotten.
    def knock(number: int) -> str:
        with contextlib.ExitStack() as stack:
            knocking: list[socket.socket] = []
            for _ in range(number):
                sock = socket.socket()
                stack.enter_context(sock)
                sock.setblocking(False)
                sock.connect_ex((OWN, world.port))
                knocking.append(sock)
            return str(len(knocking))

    assert await asyncio.to_thread(knock, 1_000) == "1000"
    for _ in range(100):
        with contextlib.suppress(OSError):
            if (await world.ask("GET", "/healthz", tcp=True))[0] == 200:
                break
        await asyncio.sleep(0.05)
    assert (await world.ask("GET", "/healthz", tcp=True))[0] == 200
    # The other door was open all the while.
    assert (await world.ask("GET", "/healthz"))[0] == 200


def test_only_http_errors_come_of_any_octets() -> None:
    import random

    rng = random.Random(7)
    good = GET + b"Origin: http://a\r\nContent-Length: 5"
    for _ in range(5_000):
        told = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(told))
            told[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(4))
        try:
            request = http.parse(bytes(told))
        except HttpError:
            continue
        assert request.path.startswith("/")
        assert 0 <= request.length <= http.BODY


def test_the_stand_in_is_what_is_looked_at() -> None:
    from consulfwd.ops.watched import Tailed

    assert isinstance(Process(), Tailed)
