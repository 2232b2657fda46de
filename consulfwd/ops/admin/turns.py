"""Whose turn it is to have the process's loop do something, and how long it is left alone then.

Whoever gives one order after the other, or begins to look on at queries again and again, is not to
keep those waiting who ask for names. Used on the event loop of the admin server only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from consulfwd.ops.admin.http import HttpError

Value = TypeVar("Value")

# The loop is left alone for so many times as long as it was kept busy: it has nine tenths of its
# time for itself.
REST = 9.0
# How often (seconds) it is looked whose turn it is.
LOOK_S = 0.01


class Turns:
    """One at a time, and a rest after each."""

    def __init__(self) -> None:
        self._taken = False
        self._took = 0.0
        self._rested_at = 0.0

    @contextlib.asynccontextmanager
    async def mine(self, patience: float) -> AsyncIterator[None]:
        """Wait for a turn. Raises HttpError where none comes in so many seconds."""
        running = asyncio.get_running_loop()
        ends = running.time() + patience
        while self._taken or running.time() < self._rested_at:
            if running.time() >= ends:
                raise HttpError(503, "not carried out: too many orders", Retry_After="1")
            await asyncio.sleep(LOOK_S)
        self._taken = True
        try:
            yield
        finally:
            self._taken = False
            self._rested_at = running.time() + REST * self._took
            self._took = 0.0

    def timed(self, call: Callable[[], Value]) -> Callable[[], Value]:
        """Return what does the same on the process's loop, and notes how long that took."""

        def called() -> Value:
            began = time.perf_counter()
            try:
                return call()
            finally:
                self._took = time.perf_counter() - began

        return called
