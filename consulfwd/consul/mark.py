"""What may be waited for: as asyncio.Event, at a tenth of its size. There may be very many."""

from __future__ import annotations

import asyncio

# Shared by all that nobody waits for.
_NOBODY: list[asyncio.Future[None]] = []


class Mark:
    """Is set or not; who waits goes on once it is."""

    __slots__ = ("_set", "_waiting")

    def __init__(self) -> None:
        self._set = False
        self._waiting: list[asyncio.Future[None]] = _NOBODY

    def is_set(self) -> bool:
        """Return whether it was set, and not cleared since."""
        return self._set

    def set(self) -> None:
        """Let go on who waits for it."""
        waiting, self._waiting = self._waiting, _NOBODY
        self._set = True
        for one in waiting:
            if not one.done():
                one.set_result(None)

    def clear(self) -> None:
        """Have it waited for from now on."""
        self._set = False

    async def wait(self) -> None:
        """Return once it is set."""
        if self._set:
            return
        one: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = [*self._waiting, one]
        await one
