"""A way to one agent: connections by which the same is shown, and the requests on them.

What belongs here: making and importing aiohttp, giving up what waits once something else is to be
shown. Must not know: paths, replies, where what is shown comes from. aiohttp takes a good part of
a second to import, so that is done in a thread: the event loop serves DNS meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from consulfwd.config import Agent
from consulfwd.consul.renewal import Shown

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

# Between two looks at an agent (10 s) a connection stays; those of agents not in use go.
KEEP_ALIVE_S = 20.0
SWITCH_S = 0.0005
_importing = threading.Lock()


class CutOff(Exception):
    """A request was given up for another way: it is to be made again there."""


class Way:
    """Connections to an agent, so many at most; more requests wait for one to be free."""

    def __init__(self, agent: Agent, shown: Shown, connections: int) -> None:
        self.headers = {"X-Consul-Token": shown.token} if shown.token else {}
        self.retired = False
        self.reading, self.writing = _sessions(agent, shown, connections)
        # Each with whether it may be given up.
        self._under_way: dict[asyncio.Task[Any], bool] = {}
        self._closing: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing is left of it."""
        return self._closing is not None and self._closing.done()

    async def run(self, request: Coroutine[Any, Any, T], *, cut: bool) -> T:
        """Return what comes of a request. Raises CutOff where it was given up, if it may be."""
        task = asyncio.get_running_loop().create_task(request)
        self._under_way[task] = cut
        try:
            await asyncio.wait({task})
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            elif not task.cancelled():
                # Who waited for it may have been cancelled at the same moment.
                task.exception()
            del self._under_way[task]
            if self.retired and not self._under_way:
                self._close()
        if task.cancelled():
            raise CutOff
        return task.result()

    def retire(self, *, cut: bool) -> None:
        """Close once all has ended, what may be given up at once if it is to be `cut`."""
        self.retired = True
        for task, may_be in self._under_way.items():
            if cut and may_be:
                task.cancel()
        if not self._under_way:
            self._close()

    async def close(self) -> None:
        """Close every connection; requests under way fail. May be called twice."""
        await asyncio.shield(self._close())

    def _close(self) -> asyncio.Task[None]:
        self.retired = True
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close_all())
        return self._closing

    async def _close_all(self) -> None:
        await self.writing.close()
        await self.reading.close()


def import_aiohttp() -> None:
    """Import it so that no query waits for that, then or later. For a thread."""
    # Whoever comes second waits here for the first, and not where answers are given.
    with _importing:
        if "aiohttp" in sys.modules:
            return
        collecting, interval = gc.isenabled(), sys.getswitchinterval()
        gc.disable()
        # The thread that answers queries is not to wait 5 ms each time it has one.
        sys.setswitchinterval(SWITCH_S)
        try:
            import aiohttp  # noqa: F401
        finally:
            # What it is made of stays: looking through that again and again held up queries.
            gc.freeze()
            sys.setswitchinterval(interval)
            if collecting:
                gc.enable()


def _sessions(
    agent: Agent, shown: Shown, connections: int
) -> tuple[aiohttp.ClientSession, aiohttp.ClientSession]:
    """Return what GET is asked by, and what writes, over the same connections."""
    import aiohttp

    connector: aiohttp.BaseConnector
    if agent.http_socket is not None:
        connector = aiohttp.UnixConnector(
            str(agent.http_socket), limit=connections, keepalive_timeout=KEEP_ALIVE_S
        )
    else:
        connector = aiohttp.TCPConnector(
            limit=connections,
            keepalive_timeout=KEEP_ALIVE_S,
            ssl=True if shown.tls is None else shown.tls,
        )

    def session(*, owner: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            connector_owner=owner,
            # What is compressed may be of any size once it is not.
            headers={"Accept-Encoding": "identity", "User-Agent": "consulfwd"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )

    writing = session(owner=False)
    if hasattr(writing, "_retry_connection"):
        # It sends PUT and DELETE a second time where a connection breaks. What is compared and set
        # is not the same the second time, and nobody would be told (RFC 9110 section 9.2.2).
        writing._retry_connection = False
    return session(owner=True), writing
