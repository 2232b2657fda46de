"""The web servers of a name that moves: well, ill by order, and unharmed by what is no request."""

from __future__ import annotations

import asyncio
import contextlib

from consulfwd.dev.web import HEAD, DevWeb


async def ask(web: DevWeb, host: str, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, web.port)
    writer.write(request)
    said = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return said


def status(said: bytes) -> str:
    return said.split(b"\r\n", 1)[0].decode().partition(" ")[2]


async def test_one_is_ill_by_order() -> None:
    async with DevWeb(ports=(0,)) as web:
        first, second = web.hosts
        get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        assert status(await ask(web, first, get)) == "200 OK"
        told = await ask(web, first, b"POST /ill HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (status(told), told.endswith(b"127.0.0.11 is ill\n")) == ("200 OK", True)
        assert status(await ask(web, first, get)) == "503 Service Unavailable"
        assert status(await ask(web, second, get)) == "200 OK"
        head = await ask(web, first, b"HEAD / HTTP/1.1\r\n\r\n")
        assert head.endswith(b"\r\n\r\n")
        await ask(web, first, b"POST /well HTTP/1.1\r\n\r\n")
        assert status(await ask(web, first, get)) == "200 OK"


async def test_what_is_no_request_ends_the_connection() -> None:
    async with DevWeb(ports=(0,)) as web:
        host = web.hosts[0]
        assert await ask(web, host, b"nonsense\r\n\r\n") == b""
        with contextlib.suppress(ConnectionError):
            assert await ask(web, host, b"GET " + b"x" * 4 * HEAD) == b""
        assert status(await ask(web, host, b"PUT / HTTP/1.1\r\n\r\n")) == "405 Method Not Allowed"
