"""The tasks that tell secondaries of new versions.

What belongs here: sockets and waiting. What is said, and when again, is `notices`'.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from consulfwd.config import Endpoint
from consulfwd.dns import names
from consulfwd.zones.primary import notices, tsig
from consulfwd.zones.primary.sockets import family_of, source_of
from consulfwd.zones.primary.versions import Version

log = logging.getLogger("consulfwd.zones.primary")


class Notifier:
    """Tells the secondaries of a zone. `sources` are our addresses, which they may know us by."""

    def __init__(
        self,
        origin: bytes,
        secondaries: Sequence[Endpoint],
        key: tsig.Key | None,
        sources: Sequence[Endpoint] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._origin = origin
        self._key = key
        self._clock = clock
        self._version: Version | None = None
        self._secondaries = [_Secondary(one, source_of(one, sources)) for one in secondaries]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        every = self._secondaries
        self._tasks = [asyncio.ensure_future(self._keep_telling(one)) for one in every]

    def announce(self, version: Version) -> None:
        """Tell of this version, and no more of those before."""
        self._version = version
        for one in self._secondaries:
            one.wake()

    def hush(self) -> None:
        """Tell of no version any more."""
        self._version = None
        for one in self._secondaries:
            one.wake()

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_telling(self, secondary: _Secondary) -> None:
        telling = notices.Telling()
        done: Version | None = None
        attempts = 0
        while True:
            version = self._version
            if version is None or version is done:
                attempts = 0
                await secondary.waits(None)
                continue
            limit = notices.pause(attempts)
            began = time.monotonic()
            why = await self._attempt(secondary, version, limit)
            if why is None:
                attempts = 0
                continue
            if said := telling.failed(why) if why else telling.worked():
                level = logging.WARNING if why else logging.INFO
                log.log(level, "%s: %s %s", names.to_text(self._origin), secondary.endpoint, said)
            if not why:
                done = version
                continue
            attempts += 1
            # One that refused at once is not asked again at once.
            left = limit - (time.monotonic() - began)
            if self._version is version and left > 0:
                await secondary.waits(left)

    async def _attempt(self, secondary: _Secondary, version: Version, limit: float) -> str | None:
        """Return why a secondary did not take a message, "" if it did, None if another is due."""
        ident = secrets.token_bytes(2)
        notice = notices.build(self._origin, version, ident, self._key, self._clock())
        there, source = secondary.endpoint, secondary.source
        try:
            # A port of its own each time, which the system chooses at random.
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Replies(secondary, lambda data: self._judged(data, notice)),
                local_addr=None if source is None else (source, 0),
                remote_addr=(there.host, there.port),
                family=family_of(there.host),
            )
        except OSError as error:
            return f"it cannot be reached ({error.strerror or error})"
        if version is not self._version:
            transport.abort()
            return None
        transport.sendto(notice.octets)
        try:
            return await secondary.waits(limit, "no reply")
        finally:
            transport.abort()

    def _judged(self, data: bytes, notice: notices.Notice) -> str | None:
        return notices.reply(data, notice, self._key, self._clock())


class _Secondary:
    """One that is told, and what its task waits for now."""

    def __init__(self, endpoint: Endpoint, source: str | None) -> None:
        self.endpoint = endpoint
        self.source = source
        self._waiting: asyncio.Future[str | None] | None = None

    def wake(self, said: str | None = None) -> None:
        """End the waiting: something was said, or there is another version (None)."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(said)

    async def waits(self, seconds: float | None, late: str = "") -> str | None:
        """Return what was said, None for another version; `late` if there was nothing in time."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        # Not by wait_for: it may forget that the task is cancelled (fixed in Python 3.12).
        timer = None if seconds is None else loop.call_later(seconds, self.wake, late)
        try:
            return await self._waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()


class _Replies(asyncio.DatagramProtocol):
    """Waits for a reply that is one; whatever else comes is left alone."""

    def __init__(self, secondary: _Secondary, judge: Callable[[bytes], str | None]) -> None:
        self._secondary = secondary
        self._judge = judge

    def datagram_received(self, data: bytes, addr: Any) -> None:
        found = self._judge(data)
        if found is not None:
            self._secondary.wake(found)

    def error_received(self, exc: Exception) -> None:
        self._secondary.wake(f"it cannot be reached ({exc})")
