"""Members of a grid at addresses of this host, over TLS: for tests."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from tests.zones.wapi import Breaks, Came, Member


@contextmanager
def serving(members: Iterable[Member], certificates: Path) -> Iterator[None]:
    """Have members answer at 127.0.0.1, each at a port of its own, by a thread."""
    members = list(members)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        runners = []
        for member in members:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "agent.pem", certificates / "agent.key")
            app = web.Application(client_max_size=1 << 20)
            app.router.add_route("*", "/{path:.*}", _Shell(member).answer)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", member.port, ssl_context=context)
            await site.start()
            (member.port,) = (each[1] for each in runner.addresses)
            runners.append(runner)
        ready.set()
        await stop.wait()
        for runner in runners:
            await runner.cleanup()
        # Those that hang, as they were asked to.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        assert ready.wait(30), "no member of the grid came up"
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
    assert [one.failed for one in members if one.failed] == []


class _Shell:
    """What is HTTP around a member."""

    def __init__(self, member: Member) -> None:
        self._member = member

    async def answer(self, request: web.Request) -> web.StreamResponse:
        with self._member.busy():
            # Others that are on their way come meanwhile.
            await asyncio.sleep(0.0005)
            headers = {name.lower(): value for name, value in request.headers.items()}
            came = Came(
                request.method, request.path, dict(request.query), headers, await request.read()
            )
            try:
                reply = self._member.reply(came)
            except Breaks as breaks:
                return await _broken(request, breaks)
            except Exception as error:
                self._member.failed.append(error)
                raise
            return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


async def _broken(request: web.Request, breaks: Breaks) -> web.StreamResponse:
    if breaks.kind == "hang":
        await asyncio.sleep(3600)
    response = web.StreamResponse()
    if breaks.kind == "huge":
        await response.prepare(request)
        for _ in range(24):
            await response.write(b'"' + b"x" * (1 << 20))
        return response
    if breaks.half is not None:
        body = breaks.half.body
        response.headers["Content-Length"] = str(len(body))
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
    assert request.transport is not None
    request.transport.abort()
    return response
