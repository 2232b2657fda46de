"""What tests of sessions and locks share: a clock of their own, and an agent they play."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError
from tests.consul.replies import reply

ID = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
Said = Reply | ConsulError


class Time:
    """A clock that only goes on by what is slept, or skipped, and who sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._asleep: list[tuple[float, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        one = self.now + seconds, woken
        self._asleep.append(one)
        try:
            await woken
        finally:
            self._asleep.remove(one)

    async def pass_(self, seconds: float) -> None:
        """Let time go on, and who sleeps wake in turn."""
        ends = self.now + seconds
        await calm()
        while due := [one for one in self._asleep if one[0] <= ends]:
            at, woken = min(due, key=lambda one: one[0])
            self.now = max(self.now, at)
            woken.set_result(None)
            await calm()
        self.now = ends
        await calm()

    def skip(self, seconds: float) -> None:
        """The host sleeps: the clock goes on, and nobody wakes."""
        self.now += seconds


async def calm() -> None:
    """Let everything run that can run now."""
    for _ in range(50):
        await asyncio.sleep(0)


class Played:
    """An agent of a test's own: `says` has what is said to a method and path, in any order.

    Whatever is asked is noted with when it was; what has no answer hangs.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.asked: list[tuple[float, str]] = []
        self.bodies: list[bytes] = []
        self.says: dict[str, Said | Callable[[], Awaitable[Said]]] = {}

    def times(self, what: str) -> list[float]:
        """When something was asked."""
        return [at for at, asked in self.asked if asked == what]

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout: float,
        limit: int,
        absent: bool,
    ) -> Reply:
        assert absent
        return await self._say(f"GET {path}", timeout)

    async def put(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        timeout: float,
    ) -> Reply:
        self.bodies.append(body)
        return await self._say(f"PUT {path}", timeout)

    async def delete(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout: float
    ) -> Reply:
        return await self._say(f"DELETE {path}", timeout)

    async def _say(self, what: str, timeout: float) -> Reply:
        assert timeout > 0
        self.asked.append((self.clock(), what))
        said = self.says.get(what)
        if said is None:
            await asyncio.get_running_loop().create_future()
        if callable(said):
            said = await said()
        if isinstance(said, ConsulError):
            raise said
        assert isinstance(said, Reply)
        return said


def created() -> Reply:
    return reply({"ID": ID})
