"""SIGHUP in a process that goes on: whatever it reads is read again, however many signals come.

What belongs here: when. Must not know what is read, nor tell of it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

# So long (seconds) after one reading has ended the next begins at the soonest: whoever sends
# signals all the time must not keep the process from its work.
APART = 0.2


class HangUps:
    """Calls `read_again` once signals came, one call at a time.

    All that came before a call has begun are answered by it: it reads what was written by then. It
    may return an awaitable, which is waited for. Errors are its own affair.
    """

    def __init__(self, read_again: Callable[[], Awaitable[None] | None]) -> None:
        self._read_again = read_again
        self._heard = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._heard.set)
        self._task = loop.create_task(self._run())

    def close(self) -> None:
        """Listen no more, and give up what is being read."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            await self._heard.wait()
            self._heard.clear()
            reading = self._read_again()
            if reading is not None:
                await reading
            await asyncio.sleep(APART)
