"""Replies without an end: pictures as they change, queries as they are answered.

Nothing piles up for a slow reader: of pictures it gets the newest, of queries what there is room
for, and how many there was none for.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable

from consulfwd.ops.admin.http import HttpError
from consulfwd.ops.admin.pictures import Picture, Pictures

# How often (seconds) a picture is looked at, and something is sent though nothing changed.
EVERY, ALIVE = 1.0, 10.0
# Of queries so many lines wait for a reader, at most so long (seconds), in parts of so many.
LINES, GATHER, AT_ONCE = 2_000, 0.05, 200


class Events:
    """Pictures for a browser, as server-sent events: when something but the time has changed."""

    def __init__(self, pictures: Pictures, *, every: float = EVERY, alive: float = ALIVE) -> None:
        self._pictures = pictures
        self._every = every
        self._alive = alive
        self._shown: Picture | None = None
        self._hangs = False
        self._said = 0.0
        self._due = 0.0

    async def next(self) -> bytes:
        """Return the next event, or a comment that keeps the connection."""
        running = asyncio.get_running_loop()
        while True:
            if self._said:
                await asyncio.sleep(self._due - running.time())
            part = await self._look()
            if not part and running.time() - self._said >= self._alive:
                part = b": still here\n\n"
            if part:
                self._said = running.time()
                return part

    async def _look(self) -> bytes:
        now = asyncio.get_running_loop().time()
        self._due = now + self._every
        try:
            newest = await self._pictures.now()
        except HttpError as error:
            if self._hangs:
                return b""
            self._hangs = True
            return b"event: fault\ndata: " + json.dumps({"error": error.message}).encode() + b"\n\n"
        # Another may have had it taken a while ago: then what comes after is looked for sooner.
        self._due = min(self._due, newest.taken + self._every)
        if not self._hangs and newest.same(self._shown):
            return b""
        self._shown, self._hangs = newest, False
        return b"event: status\ndata: " + newest.json + b"\n\n"

    def close(self) -> None:
        """Nobody reads any more."""


class Lines:
    """Queries as lines. `begin` has them put here by any thread, and returns what ends that."""

    def __init__(self, *, alive: float = ALIVE, most: int = LINES) -> None:
        self._loop = asyncio.get_running_loop()
        self._came = asyncio.Event()
        self._held: deque[bytes] = deque()
        self._most = most
        self._dropped = 0
        self._told = 0
        self._alive = alive
        self._woken = False
        self.end: Callable[[], None] = lambda: None

    def put(self, line: bytes) -> None:
        """Take a line, or drop it where there is no room; any thread may call it."""
        if len(self._held) >= self._most:
            self._dropped += 1
            return
        self._held.append(line)
        if not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._came.set)
            except RuntimeError:
                # Nobody is there any more.
                return

    async def next(self) -> bytes:
        """Return what came, as lines; an empty one keeps the connection."""
        if not self._held:
            waiting = asyncio.ensure_future(self._came.wait())
            try:
                await asyncio.wait({waiting}, timeout=self._alive)
            finally:
                waiting.cancel()
            # More will have come by then: that is less work for everybody.
            await asyncio.sleep(GATHER)
            self._came.clear()
            self._woken = False
        lines = [self._held.popleft() for _ in range(min(AT_ONCE, len(self._held)))]
        if (dropped := self._dropped) != self._told:
            lines.append(json.dumps({"dropped": dropped - self._told}).encode())
            self._told = dropped
        return b"\n".join(lines) + b"\n"

    def close(self) -> None:
        """Nobody reads any more."""
        self.end()
