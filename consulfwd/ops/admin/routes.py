"""What is answered to which request: the table of paths.

What belongs here: which view of the picture a path is, and what it takes to be let in there. How
requests come and replies go is not known here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from urllib.parse import parse_qs

from consulfwd.ops.admin import http, rights
from consulfwd.ops.admin.doors import Door
from consulfwd.ops.admin.http import HttpError, Reply, Request
from consulfwd.ops.admin.pictures import Pictures
from consulfwd.ops.admin.streams import Events, Lines
from consulfwd.ops.watched import Tailed, Watched

ORDERS = "/orders/"


class Routes:
    """Answers requests. `token` returns the one that is in force, "" for none."""

    def __init__(self, pictures: Pictures, watched: Watched, token: Callable[[], str]) -> None:
        self._token = token
        self._pictures = pictures
        self._watched = watched
        self._gets: Mapping[str, Callable[[], Awaitable[Reply]]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/status.json": self._status,
            "/metrics": self._metrics,
            "/events": self._events,
        }

    async def answer(self, request: Request, body: bytes, door: Door) -> Reply:
        """Return the reply to a request. Raises HttpError where there is none but that."""
        rights.check(request, door)
        name = request.path.removeprefix(ORDERS)
        if name and name != request.path and "/" not in name:
            self._by(request, "POST")
            rights.demand(request, door, self._token())
            done = await self._pictures.order(name, http.values_of(request, body))
            return http.as_json(200, done)
        if request.path == "/querylog":
            self._by(request, "GET")
            rights.demand(request, door, self._token())
            return await self._queries(request)
        route = self._gets.get(request.path)
        asset = None if route is not None else self._assets.get(request.path)
        if route is None and asset is None:
            raise HttpError(404, "there is no such path")
        self._by(request, "GET", "HEAD")
        # A wrong token is told, though none is needed here.
        rights.trusted(request, door, self._token())
        if route is None:
            assert asset is not None
            return Reply(200, *asset)
        return await route()

    @staticmethod
    def _by(request: Request, *methods: str) -> None:
        if request.method not in methods:
            raise HttpError(405, f"{request.path} takes {methods[0]}", Allow=", ".join(methods))

    @cached_property
    def _assets(self) -> Mapping[str, tuple[str, bytes]]:
        # Imported late: few look at the page.
        from consulfwd.ops.page import assets

        return assets()

    async def _healthz(self) -> Reply:
        await self._pictures.alive()
        return Reply(200, http.TEXT, b"ok\n")

    async def _readyz(self) -> Reply:
        seen = (await self._pictures.now()).snapshot
        told = seen.faults or (("ready",) if seen.ready else (f"not ready: {seen.phase}",))
        return Reply(200 if seen.ready else 503, http.TEXT, "\n".join((*told, "")).encode())

    async def _status(self) -> Reply:
        return Reply(200, http.JSON, (await self._pictures.now()).json)

    async def _metrics(self) -> Reply:
        return Reply(200, *(await self._pictures.now()).metrics)

    async def _events(self) -> Reply:
        return Reply(200, "text/event-stream", stream=Events(self._pictures))

    async def _queries(self, request: Request) -> Reply:
        watched = self._watched
        if not isinstance(watched, Tailed):
            raise HttpError(404, "nothing is asked of this process by queries")
        sample = _sample(request.query)
        lines = Lines()
        lines.end = await self._pictures.follow(lambda: watched.tail(lines.put, sample))
        return Reply(200, "application/x-ndjson", stream=lines)


def _sample(query: str) -> float:
    """Return which part of the queries is asked for. Raises HttpError."""
    said = parse_qs(query).get("sample", ["1"])[-1]
    try:
        sample = float(said)
    except ValueError:
        sample = 0.0
    if not 0 < sample <= 1:
        raise HttpError(400, "sample is above 0, and 1 at most")
    return sample
