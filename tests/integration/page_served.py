"""A server of the status page for its tests: any picture is shown to it, and streams may break."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from consulfwd.ops.admin.http import POLICY
from consulfwd.ops.page import assets
from consulfwd.ops.snapshot import Snapshot, to_json


class Served:
    """The page, and what it is told by `show`: the next visitor begins with that, too.

    `cut` ends all connections, and no more are taken until `back`.
    """

    def __init__(self, picture: Snapshot) -> None:
        self.picture = picture
        self.port = 0
        self.was_cut = False
        self._runner: web.AppRunner | None = None
        self._visitors: list[asyncio.Queue[bytes | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def back(self) -> None:
        """Take connections, at the port of before."""
        app = web.Application()
        for path in assets():
            app.router.add_get(path, self._file)
        app.router.add_get("/events", self._events)
        app.router.add_get("/status.json", self._status)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def cut(self) -> None:
        """End all connections, and listen no more."""
        self.was_cut = True
        for one in self._visitors:
            one.put_nowait(None)
        assert self._runner is not None
        await self._runner.cleanup()

    def show(self, picture: Snapshot) -> None:
        """Tell all visitors."""
        self.picture = picture
        for one in self._visitors:
            one.put_nowait(self._event(picture))

    def say(self, octets: bytes) -> None:
        """Send something else on the streams."""
        for one in self._visitors:
            one.put_nowait(octets)

    async def sent(self) -> None:
        """Wait until all that was told is on its way."""
        while any(not one.empty() for one in self._visitors):
            await asyncio.sleep(0.005)

    @staticmethod
    def _event(picture: Snapshot) -> bytes:
        return b"event: status\ndata: " + json.dumps(to_json(picture)).encode() + b"\n\n"

    async def _file(self, request: web.Request) -> web.Response:
        kind, octets = assets()[request.path]
        return web.Response(body=octets, headers={"Content-Type": kind} | self._headers())

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(to_json(self.picture), headers=self._headers())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"} | self._headers())
        await reply.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._visitors.append(queue)
        try:
            await reply.write(self._event(self.picture))
            while (octets := await queue.get()) is not None:
                await reply.write(octets)
        except ConnectionError:
            pass
        finally:
            self._visitors.remove(queue)
        return reply

    @staticmethod
    def _headers() -> dict[str, Any]:
        return {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
