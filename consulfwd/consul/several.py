"""Several agents as one connection: whoever answers is asked, the first of them where it does.

What belongs here: which agent is asked next, and what is asked again at another one. Must not know:
what is asked or written, or why. It fits what `session`, `lock` and `kv` need: they ask the leader,
whichever agent passes that on, so that an index of one agent's is of use at the others.

A session without checks of a node lives at the servers: the agent it was made at may end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from consulfwd.config import Agent
from consulfwd.consul.client import LIMIT, Client
from consulfwd.consul.kv import Connection
from consulfwd.consul.reply import Reply
from consulfwd.consul.session import boot_time
from consulfwd.errors import ConsulError, UnknownOutcome

# So long (seconds) an agent may take while there is another one to ask, and no more than this part
# of the time that is left: a session that is renewed late has little.
PATIENCE, SHARE = 2.0, 0.5
# For so long (seconds) one that failed is asked only after the others.
AVOIDED_FOR = 30.0
# Statuses by which an agent says something of what was asked; all others say something of itself.
_ANSWERS = frozenset({400, 401, 403, 404, 405, 409, 413})

Ask = Callable[["Asked", float], Awaitable[Reply]]


class Asked(Connection, Protocol):
    """What of a `client.Client` is needed."""

    async def close(self) -> None:
        """Close every connection."""


class _Place:
    """One agent: until when it is avoided, and what waits there for a change."""

    def __init__(self, client: Asked) -> None:
        self.client = client
        self.avoided_until = float("-inf")
        self.waiting: set[asyncio.Task[Reply]] = set()

    def failed(self, now: float) -> None:
        """Avoid it for a while; what waits there is asked elsewhere."""
        self.avoided_until = now + AVOIDED_FOR
        for task in self.waiting:
            task.cancel()


class Several:
    """Agents, in the order in which they are asked.

    What is only read, or may be done twice (a session that is made, renewed or ended, a lock that
    is taken or given back), is asked of the next one where an agent fails; something else that is
    written only where it surely was not. Raises what the first that was asked said.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        *,
        connect: Callable[[Agent], Asked] = Client,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._places = [_Place(connect(agent)) for agent in agents]
        self._clock = clock

    @property
    def first(self) -> Asked:
        """The first agent, whichever answers now."""
        return self._places[0].client

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout: float,
        limit: int = LIMIT,
        absent: bool = False,
    ) -> Reply:
        """Return the reply to GET, as `client.Client` does."""

        async def ask(client: Asked, timeout: float) -> Reply:
            return await client.get(path, params, timeout=timeout, limit=limit, absent=absent)

        return await self._ask(ask, timeout, again=True, waits="index" in (params or ()))

    async def put(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        timeout: float,
    ) -> Reply:
        """Return the reply to PUT."""

        async def ask(client: Asked, timeout: float) -> Reply:
            return await client.put(path, params, body=body, timeout=timeout)

        return await self._ask(ask, timeout, again=_may_be_done_twice(path, params or {}))

    async def delete(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout: float
    ) -> Reply:
        """Return the reply to DELETE."""

        async def ask(client: Asked, timeout: float) -> Reply:
            return await client.delete(path, params, timeout=timeout)

        return await self._ask(ask, timeout, again=False)

    async def close(self) -> None:
        """Close every connection."""
        for place in self._places:
            await place.client.close()

    async def _ask(self, ask: Ask, timeout: float, *, again: bool, waits: bool = False) -> Reply:
        ends = self._clock() + timeout
        error: ConsulError | None = None
        order = self._order()
        for number, place in enumerate(order):
            left = ends - self._clock()
            if left <= 0 and error is not None:
                break
            last = number == len(order) - 1
            allowed = left if last or waits else min(left * SHARE, PATIENCE)
            try:
                if waits:
                    return await self._wait(place, ask, allowed)
                return await ask(place.client, allowed)
            except ConsulError as failed:
                error = error or failed
                if failed.status in _ANSWERS:
                    raise
                place.failed(self._clock())
                if isinstance(failed, UnknownOutcome) and not again:
                    raise
        assert error is not None
        raise error

    def _order(self) -> list[_Place]:
        """Return whom to ask: those that are not avoided, then those that failed longest ago."""
        now = self._clock()
        return sorted(self._places, key=lambda one: max(one.avoided_until, now))

    async def _wait(self, place: _Place, ask: Ask, timeout: float) -> Reply:
        """Wait at an agent for a change, until it fails by whatever else is asked there."""
        task = asyncio.ensure_future(ask(place.client, timeout))
        place.waiting.add(task)
        try:
            await asyncio.wait({task})
        finally:
            place.waiting.discard(task)
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, ConsulError):
                    await task
            elif not task.cancelled():
                task.exception()  # seen, also where who waited for it was ended at that moment
        if task.cancelled():
            raise ConsulError("consulfwd", 0, "the agent failed meanwhile")
        return task.result()


def _may_be_done_twice(path: str, params: Mapping[str, str]) -> bool:
    """Return whether a PUT comes to the same where it was done already.

    A session that was made unseen holds nothing, and ends by its TTL.
    """
    return path.startswith("/v1/session/") or "acquire" in params or "release" in params
