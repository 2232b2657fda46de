"""Keys and sessions of a development datacenter, as Consul has them: locks and their delays.

What belongs here: state and who waits for it. Must not know: HTTP. See "KV Store" and "Session" in
Consul's API docs.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class DevEntry:
    """What a key holds; `session` has it as a lock, "" is nobody."""

    value: bytes
    flags: int = 0
    session: str = ""
    created: int = 0
    index: int = 0
    locked: int = 0


@dataclass
class DevSession:
    """A session that lasts until it is not renewed; without a `ttl` until it is destroyed."""

    ttl: float
    delay: float
    behavior: str
    until: float = float("inf")


class InvalidSession(Exception):
    """There is no such session."""


class KvStore:
    """Keys and sessions. `clock` gives seconds; each change raises `index`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.index = 1
        self.entries: dict[str, DevEntry] = {}
        self.sessions: dict[str, DevSession] = {}
        self._delays: dict[str, float] = {}
        self._waiters: set[asyncio.Future[None]] = set()

    def get(self, key: str) -> DevEntry | None:
        """What a key holds now."""
        self._expire()
        return self.entries.get(key)

    def below(self, prefix: str) -> dict[str, DevEntry | None]:
        """What the keys hold that begin with a prefix."""
        self._expire()
        return {key: one for key, one in sorted(self.entries.items()) if key.startswith(prefix)}

    def index_of(self, key: str) -> int:
        """The index of the last change of a key, or of any where it is not there."""
        entry = self.get(key)
        return self.index if entry is None else entry.index

    def put(self, key: str, value: bytes, flags: int, cas: int | None = None) -> bool:
        """Writes; with `cas` only where the index is that."""
        entry = self.get(key)
        if cas is not None and cas != (0 if entry is None else entry.index):
            return False
        self._set(key, value, flags)
        return True

    def delete(self, key: str, cas: int | None = None) -> bool:
        """Removes a key; with `cas` only where the index is that."""
        entry = self.get(key)
        if cas is not None and entry is not None and cas != entry.index:
            return False
        if entry is not None:
            del self.entries[key]
            self._changed()
        return True

    def acquire(self, key: str, value: bytes, flags: int, session: str) -> bool:
        """Locks a key for a session; writes where that has it. Raises InvalidSession."""
        entry = self.get(key)
        if session not in self.sessions:
            raise InvalidSession
        if entry is not None and entry.session not in ("", session):
            return False
        if self._delays.get(key, 0.0) > self.clock():
            return False
        new = entry is None or not entry.session
        entry = self._set(key, value, flags)
        entry.session = session
        entry.locked += new
        return True

    def release(self, key: str, value: bytes, flags: int, session: str) -> bool:
        """Unlocks a key, where the session has it."""
        entry = self.get(key)
        if entry is None or entry.session != session:
            return False
        self._set(key, value, flags).session = ""
        return True

    def create(self, ttl: float, delay: float, behavior: str) -> str:
        """A new session's ID."""
        id = str(uuid.uuid4())
        self.sessions[id] = DevSession(ttl, delay, behavior)
        self.renew(id)
        return id

    def renew(self, id: str) -> bool:
        """Has a session last again; False where it is gone."""
        self._expire()
        session = self.sessions.get(id)
        if session is not None and session.ttl:
            # As Consul does, which allows for twice the time.
            session.until = self.clock() + 2 * session.ttl
        return session is not None

    def destroy(self, id: str) -> None:
        """Ends a session, and with it what it holds."""
        session = self.sessions.pop(id, None)
        if session is None:
            return
        for key, entry in list(self.entries.items()):
            if entry.session != id:
                continue
            self._delays[key] = self.clock() + session.delay
            if session.behavior == "delete":
                del self.entries[key]
                self._changed()
            else:
                self._set(key, entry.value, entry.flags).session = ""

    async def wait(self, key: str, index: int, wait_s: float) -> None:
        """Returns when a key changes after `index`, or after so many seconds by the clock."""
        deadline = self.clock() + wait_s
        while self.index_of(key) <= index and (left := deadline - self.clock()) > 0:
            ends = min((one.until for one in self.sessions.values()), default=float("inf"))
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait({waiter}, timeout=max(min(left, ends - self.clock()), 0.001))
            finally:
                self._waiters.discard(waiter)

    def _expire(self) -> None:
        now = self.clock()
        for id in [id for id, session in self.sessions.items() if session.until <= now]:
            self.destroy(id)

    def _set(self, key: str, value: bytes, flags: int) -> DevEntry:
        self._changed()
        entry = self.entries.setdefault(key, DevEntry(value, created=self.index))
        entry.value, entry.flags, entry.index = value, flags, self.index
        return entry

    def _changed(self) -> None:
        self.index += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
