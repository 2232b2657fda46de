"""An asyncio client for the HTTP API of one agent.

What belongs here: which way a request takes, when it is made again. One request is in `request`,
connections are in `way`, what is shown and trusted is in `renewal`. Must not know: what is asked or
written, or why.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping

from consulfwd.config import Agent
from consulfwd.consul import renewal
from consulfwd.consul.failures import unknown_token
from consulfwd.consul.renewal import Identity
from consulfwd.consul.reply import Reply
from consulfwd.consul.request import Request, carry, target
from consulfwd.consul.way import CutOff, Way
from consulfwd.core.carriers import CONNECTIONS
from consulfwd.errors import ConsulError

# The longest body taken, in octets: 10,000 instances of a service; and the longest one sent, which
# is what Consul takes for a value.
LIMIT, SENT_LIMIT = 8 << 20, 512 << 10
# The status of an agent that takes no more connections of this host (`http_max_conns_per_client`).
CROWDED = 429
# Those of one that does not want the token, or not for this.
REFUSED = (401, 403)


class Client:
    """Asks one agent. What it is made of (token, certificates) is read when it first asks.

    What is in files is used as it is there 10 s later at most: a question that waits is asked again
    with another token, something that is written is waited for. Certificates are for new
    connections.

    `connections` is how many it opens at most; more requests wait for one to be free.
    """

    def __init__(self, agent: Agent, *, connections: int = CONNECTIONS) -> None:
        self.agent = agent
        self._target = target(agent)
        self._connections = connections
        self._opening = asyncio.Lock()
        self._identity: Identity | None = None
        self._way: Way | None = None
        self._ways: list[Way] = []
        self._closed = False

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout: float,
        limit: int = LIMIT,
        absent: bool = False,
        anonymous: bool = False,
        also: Collection[int] = (),
    ) -> Reply:
        """Return the reply to GET `path`, of status 200 and with a body of `limit` octets at most.

        Names in `path` must be quoted. With `absent`, a reply of status 404 is one too, its body
        being null: so Consul says that there is no such key. An `anonymous` one shows no token.
        A reply of a status in `also` is one, body and all: some say by it what they find.
        Raises ConsulError for anything else, after `timeout` seconds at the latest; twice as many
        where it had to be asked again meanwhile.
        """
        asked = Request("GET", path, params, None, timeout, limit, absent, anonymous, also)
        return await self._ask(asked)

    async def put(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        timeout: float,
        limit: int = LIMIT,
    ) -> Reply:
        """Return the reply to PUT `path`, as `get` does; it is sent once.

        Raises UnknownOutcome where it was sent and may have taken effect, another ConsulError where
        it has not.
        """
        if len(body) > SENT_LIMIT:
            raise self._error(0, f"nothing of more than {SENT_LIMIT} octets is written")
        return await self._ask(Request("PUT", path, params, body, timeout, limit))

    async def delete(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout: float,
        limit: int = LIMIT,
    ) -> Reply:
        """Return the reply to DELETE `path`, with the errors of `put`."""
        return await self._ask(Request("DELETE", path, params, None, timeout, limit))

    async def ready(self) -> None:
        """Make ready what the first request would have to wait for. Raises ConsulError."""
        await self._open()

    async def close(self) -> None:
        """Close every connection; requests under way fail. May be called twice."""
        self._closed = True
        if self._identity is not None:
            renewal.here().leave(self.agent, self._renew)
            self._identity = None
        ways, self._ways, self._way = self._ways, [], None
        for way in ways:
            await way.close()

    def _error(self, status: int, reason: str) -> ConsulError:
        return ConsulError(self.agent.name, status, reason)

    async def _open(self) -> Way:
        async with self._opening:
            if self._closed:
                raise self._error(0, "the client is closed")
            if self._way is None:
                await self._make()
            assert self._way is not None
            return self._way

    async def _make(self) -> None:
        """Make a way by what is to be shown now. Raises ConsulError."""
        if self._identity is None and not self._closed:
            self._identity = renewal.here().join(self.agent, self._renew)
            await self._identity.look()
        elif self._identity is not None and self._identity.shown is None:
            await self._identity.look()
        if self._closed or self._identity is None:
            raise self._error(0, "the client was closed meanwhile")
        if self._identity.shown is None:
            raise self._error(0, self._identity.fault)
        shown = self._identity.shown
        self._way = Way(self.agent, shown, self._connections, self._target.verified)
        self._ways = [*(way for way in self._ways if not way.closed), self._way]

    def _renew(self, token: bool) -> None:
        """Take another way from now on; what waits by another token asks again."""
        way, self._way = self._way, None
        if way is not None:
            way.retire(cut=token)

    async def _ask(self, asked: Request) -> Reply:
        ends = float("inf")
        while True:
            way = await self._open()
            now = time.monotonic()
            # What waits for a change waits as long again, but not for ever: files may change often.
            ends = min(ends, now + 2 * asked.timeout)
            timeout = max(min(asked.timeout, ends - now), 0.001)
            try:
                reply = await carry(asked, self._target, way, timeout)
            except CutOff:
                continue
            except ConsulError as error:
                if error.status in REFUSED and await self._refused(asked, way, error):
                    continue
                raise
            if self._identity is not None and asked.shows(way) and not _elsewhere(asked):
                self._identity.accepted(self.agent.name)
            return reply

    async def _refused(self, asked: Request, way: Way, error: ConsulError) -> bool:
        """Note that an agent did not want what it was shown; return whether that is over."""
        if self._identity is None or not asked.shows(way):
            return False
        if not way.retired:
            await self._identity.look(apart=renewal.AT_ONCE)
        about_it = unknown_token(error) and not _elsewhere(asked)
        if not way.retired and self._identity is not None and about_it:
            self._identity.refused(self.agent.name, f"HTTP {error.status}: {error.reason}")
        return way.retired and not self._closed


def _elsewhere(asked: Request) -> bool:
    """Return whether another datacenter answers, which may not know a token yet, or never."""
    return "dc" in (asked.params or ())
