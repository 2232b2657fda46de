"""A way to one agent: connections by which the same is shown, and the requests on them.

What belongs here: which connection a request gets, when one is made and closed; giving up what
waits once something else is to be shown. Must not know: paths, replies, where what is shown comes
from.

aiohttp did this once. Of 48 MB that a server with 128 watches had, 15 were its own, and importing
it took 0.3 s of a processor at each start, beside the queries.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque

from consulfwd.config import Agent
from consulfwd.consul.connection import Answer, HttpConnection, Silent
from consulfwd.consul.renewal import Shown

CONNECT_S = 5.0
# Between two looks at an agent (10 s) a connection stays; those of agents not in use go.
KEEP_ALIVE_S = 20.0
# Connections are gone in the loop's next turn; nobody is to wait for one that is not.
CLOSE_S = 1.0


class CutOff(Exception):
    """A request was given up for another way: it is to be made again there."""


class NoReply(Exception):
    """A request's time was over. `sent` says whether it had gone out."""

    def __init__(self, *, sent: bool) -> None:
        self.sent = sent
        super().__init__()


class NotConnected(Exception):
    """There was no connection on which to ask; the cause says why."""


class _Asking:
    """A request that waits for a connection, or for its reply on one."""

    __slots__ = ("cut", "done", "kept", "limit", "octets", "on")

    def __init__(
        self, octets: bytes, limit: int, done: asyncio.Future[Answer], *, cut: bool
    ) -> None:
        self.octets = octets
        self.limit = limit
        self.done = done
        self.cut = cut
        self.on: HttpConnection | None = None
        # Whether others were asked on that connection before.
        self.kept = False

    def fail(self, error: Exception) -> None:
        """Have it end so, unless it has ended."""
        if not self.done.done():
            self.done.set_exception(error)

    def too_late(self) -> None:
        """Have it end as its time is over."""
        self.fail(NoReply(sent=self.on is not None))


class Way:
    """Connections to an agent, so many at most; more requests wait for one to be free.

    `verified` is whose certificate is wanted there, None: that of the address.
    """

    def __init__(
        self, agent: Agent, shown: Shown, connections: int, verified: str | None = None
    ) -> None:
        self.headers = {"X-Consul-Token": shown.token} if shown.token else {}
        self.retired = False
        self._agent = agent
        self._tls = shown.tls
        self._verified = verified
        self._most = connections
        self._loop = asyncio.get_running_loop()
        # All there are; those that nobody uses, the one used last at the end; those being made.
        self._there: set[HttpConnection] = set()
        self._idle: list[HttpConnection] = []
        self._making: set[asyncio.Task[None]] = set()
        self._waiting: deque[_Asking] = deque()
        self._under_way: set[_Asking] = set()
        self._cleaning: asyncio.TimerHandle | None = None
        self._gone: asyncio.Future[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing is left of it."""
        return self._gone is not None and self._gone.done()

    async def ask(
        self, octets: bytes, *, limit: int, timeout: float, again: bool, cut: bool
    ) -> Answer:
        """Return the reply to a request, with a body of `limit` octets at most.

        One that may be made `again` is, where an agent closed the connection it had kept. One that
        may be `cut` is given up for another way.

        Raises NoReply, NotConnected, CutOff, and what `HttpConnection.ask` tells of.
        """
        asking = _Asking(octets, limit, self._loop.create_future(), cut=cut)
        timer = self._loop.call_later(timeout, asking.too_late)
        self._under_way.add(asking)
        self._begin(asking)
        try:
            try:
                return await asking.done
            except (Silent, ConnectionError):
                if not again or not asking.kept:
                    raise
                # Its end and our question crossed.
                asking.done = self._loop.create_future()
                asking.on, asking.kept = None, False
                self._connect(asking)
            return await asking.done
        finally:
            timer.cancel()
            self._end(asking)

    def retire(self, *, cut: bool) -> None:
        """Close once all has ended, what may be given up at once if it is to be `cut`."""
        self.retired = True
        for asking in self._under_way:
            if cut and asking.cut:
                asking.fail(CutOff())
        if not self._under_way:
            self._close()

    async def close(self) -> None:
        """Close every connection; requests under way fail. May be called twice."""
        for asking in self._under_way:
            asking.fail(NotConnected("the client was closed meanwhile"))
        await asyncio.wait({self._close()}, timeout=CLOSE_S)

    # -- who is asked on which --------------------------------------------------------------------

    def _begin(self, asking: _Asking) -> None:
        """Ask on a connection there is, or make one, or wait."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                self._use(connection, asking)
                return
            connection.abort()
        if len(self._there) + len(self._making) < self._most:
            self._connect(asking)
        else:
            self._waiting.append(asking)

    def _use(self, connection: HttpConnection, asking: _Asking) -> None:
        asking.on, asking.kept = connection, not connection.fresh
        connection.ask(asking.octets, asking.limit, asking.done)

    def _end(self, asking: _Asking) -> None:
        """Note that nobody waits for a request's reply any more; others have its connection."""
        self._under_way.discard(asking)
        if asking.done.done() and not asking.done.cancelled():
            # Who waited may have been cancelled at the same moment.
            asking.done.exception()
        if asking in self._waiting:
            self._waiting.remove(asking)
        if asking.on is not None:
            self._free(asking.on)
        if self.retired and not self._under_way:
            self._close()

    def _free(self, connection: HttpConnection) -> None:
        """Take back a connection; it is closed where its reply has not come."""
        asking = self._next() if connection.usable else None
        if asking is not None:
            self._use(connection, asking)
        elif not connection.usable or self.retired:
            connection.abort()
        else:
            connection.idle_since = self._loop.time()
            self._idle.append(connection)
            if self._cleaning is None:
                self._cleaning = self._loop.call_later(KEEP_ALIVE_S, self._clean)

    def _next(self) -> _Asking | None:
        """Return who has waited longest; nobody once all is closed."""
        while self._waiting:
            asking = self._waiting.popleft()
            if not asking.done.done() and self._gone is None:
                return asking
        return None

    def _clean(self) -> None:
        """Close what nobody used for long."""
        self._cleaning = None
        due = self._loop.time() - KEEP_ALIVE_S
        while self._idle and self._idle[0].idle_since <= due:
            self._idle.pop(0).abort()
        if self._idle:
            at = self._idle[0].idle_since + KEEP_ALIVE_S
            self._cleaning = self._loop.call_at(at, self._clean)

    def _lost(self, connection: HttpConnection) -> None:
        """Note that a connection is closed; somebody else may have one now."""
        self._there.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._refill()

    def _refill(self) -> None:
        if len(self._there) + len(self._making) < self._most:
            asking = self._next()
            if asking is not None:
                self._connect(asking)
        self._settle()

    # -- connections ------------------------------------------------------------------------------

    def _connect(self, asking: _Asking) -> None:
        task = self._loop.create_task(self._connected(asking))
        self._making.add(task)
        task.add_done_callback(functools.partial(self._made, asking))

    async def _connected(self, asking: _Asking) -> None:
        """Make a connection, and ask on it unless that has ended meanwhile."""
        connection = HttpConnection(self._lost)
        try:
            await asyncio.wait_for(self._open(connection), CONNECT_S)
        except BaseException:
            # It may have come about at the same moment.
            connection.abort()
            raise
        if not connection.lost:
            self._there.add(connection)
        if asking.done.done() or self._gone is not None:
            # Who waited for it has gone, and others may wait.
            self._free(connection)
        else:
            self._use(connection, asking)

    async def _open(self, connection: HttpConnection) -> None:
        agent, loop = self._agent, self._loop
        if agent.http_socket is not None:
            await loop.create_unix_connection(lambda: connection, str(agent.http_socket))
            return
        tls = self._tls
        named = None if tls is None else self._verified or agent.address
        await loop.create_connection(
            lambda: connection, agent.address, agent.http_port, ssl=tls, server_hostname=named
        )

    def _made(self, asking: _Asking, task: asyncio.Task[None]) -> None:
        self._making.discard(task)
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            asking.fail(NotConnected("the client was closed meanwhile"))
        elif isinstance(error, (asyncio.TimeoutError, TimeoutError)) and not error.args:
            asking.fail(NoReply(sent=False))
        elif error is not None:
            failure = NotConnected()
            failure.__cause__ = error
            asking.fail(failure)
        self._refill()

    # -- the end ----------------------------------------------------------------------------------

    def _close(self) -> asyncio.Future[None]:
        """Close all; return what is done once nothing is left."""
        self.retired = True
        if self._gone is None:
            self._gone = self._loop.create_future()
            if self._cleaning is not None:
                self._cleaning.cancel()
            for task in self._making:
                task.cancel()
            for connection in list(self._there):
                connection.abort()
        self._settle()
        return self._gone

    def _settle(self) -> None:
        gone = self._gone
        if gone is not None and not gone.done() and not self._there and not self._making:
            gone.set_result(None)
