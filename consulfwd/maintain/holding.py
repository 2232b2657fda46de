"""The locks of a run: one for each service that it takes instances of, all by one session.

What belongs here: having them, and taking them from a run of this host that is over. Must not
know: what is done meanwhile.

Nobody ends a command because the lock was lost: what it works on is out, and says so in Consul. A
run that comes after sees that, by its mark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from urllib.parse import quote

from consulfwd.consul import kv
from consulfwd.consul.holder import Holder, here, holder_of
from consulfwd.consul.kv import Connection, Entry
from consulfwd.consul.lock import FLAGS, KEY, Lock
from consulfwd.consul.session import Session
from consulfwd.errors import ConsulError
from consulfwd.maintain.journal import Journal
from consulfwd.maintain.requests import denied
from consulfwd.maintain.wanted import BUSY, Event, Stopped, Tell, Times

TTL, LOCK_DELAY = 15.0, 15.0
TIMEOUT = 5.0


class Holding:
    """One session, and locks in the order of their names: two runs never wait for each other."""

    def __init__(self, connection: Connection, prefix: str, tell: Tell, times: Times) -> None:
        self._connection = connection
        self._prefix = prefix.strip("/")
        self._tell = tell
        self._times = times
        self._session: Session | None = None
        self._locks: list[Lock] = []

    def keys(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the keys of the locks for these names."""
        return tuple(KEY.format(self._place(one)) for one in sorted(set(names)))

    async def begin(self) -> str:
        """Make the session; return its ID. Raises ConsulError."""
        self._session = Session(
            self._connection, ttl=TTL, lock_delay=LOCK_DELAY, name="consulfwd maintain"
        )
        try:
            await self._session.begin()
        except ConsulError as error:
            rule = 'session_prefix "" { policy = "write" }'
            raise denied(error, "make a session for the lock", rule) from None
        return self._session.id

    async def take(self, names: Sequence[str], wait: float) -> None:
        """Have all locks, within so many seconds. Raises ConsulError, Stopped where others do."""
        assert self._session is not None
        ends = self._times.boot() + wait
        for name in sorted(set(names)):
            holders: list[str] = []
            value = Holder(here("consulfwd maintain"), self._times.wall()).value()
            lock = Lock(
                self._connection,
                self._session,
                self._place(name),
                value=value,
                seen=self._seen(name, holders),
            )
            try:
                held = await lock.acquire(max(ends - self._times.boot(), 0.0))
            except ConsulError as error:
                rule = f'key_prefix "{self._prefix}/" {{ policy = "write" }}'
                raise denied(error, f"write {lock.key}", rule) from None
            if held is None:
                by = f" ({holders[-1]})" if holders else ""
                raise Stopped(f"{name}: another run has the lock {lock.key}{by}", BUSY)
            self._locks.append(lock)

    async def check(self) -> str:
        """Return why a lock is not held any more, "" where Consul has just said that all are."""
        for one in self._locks:
            if why := await one.check():
                return f"the lock {one.key} is lost: {why}"
        return ""

    async def end(self) -> None:
        """Give all back. No error where that cannot be told: the session's time ends them."""
        for one in reversed(self._locks):
            with suppress(ConsulError):
                await one.release()
        self._locks = []
        if self._session is not None:
            await self._session.end()
            self._session = None

    def _place(self, name: str) -> str:
        return f"{self._prefix}/{quote(name, safe='')}"

    def _seen(self, name: str, holders: list[str]) -> Callable[[Entry | None], None]:
        def seen(entry: Entry | None) -> None:
            holder = holder_of(entry)
            mine = entry is not None and self._session is not None
            if holder is None or (mine and entry.session == self._session.id):  # type: ignore[union-attr]
                return
            if str(holder) not in holders:
                holders.append(str(holder))
                text = f"{name}: waits for the lock, which has {holder}"
                self._tell(Event("waits", text, {"name": name, "holder": str(holder)}))

        return seen


async def free(connection: Connection, journal: Journal) -> None:
    """Have the locks be free of a run of this host that is surely over: not by its session's end
    alone, after which Consul would keep them from everybody for a while.
    """
    if not journal.session:
        return
    for key in journal.locks:
        with suppress(ConsulError, ValueError):
            await kv.release(connection, key, journal.session, b"", FLAGS)
    with suppress(ConsulError):
        await connection.put(f"/v1/session/destroy/{journal.session}", timeout=TIMEOUT)
