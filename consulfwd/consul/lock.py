"""A lock in Consul's KV store: one holder at a time, who hears at once when it is that no more.

What belongs here: acquiring, holding, releasing. Keys and flags are those of Consul's own command
and libraries: whoever uses `consul lock PREFIX` and who uses this keep out of each other's way.
Must not know: what the lock is for. That a session is there is known in `session`.

A lock is a promise among those who ask for it. A holder that was held up (a paused machine) may act
after another one has begun: let what it writes be refused then, by `Held`.

https://developer.hashicorp.com/consul/commands/lock
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from consulfwd.consul import kv
from consulfwd.consul.kv import Connection, Entry
from consulfwd.consul.session import Session, boot_time
from consulfwd.errors import ConsulError

# The key below a prefix, and what a key is marked with that is a lock (Consul's api/lock.go).
KEY = "{}/.lock"
FLAGS = 0x2DDCCBC058A50C18
# So long (seconds) is waited for a change of the key, and between two tries while Consul keeps the
# lock from everybody after a holder was lost (its lock-delay), or cannot be asked.
WAIT, RETRY = 30.0, 1.0
# So long (seconds) it may take until a reply is had that says that it is held.
FRESH = 5.0
# Statuses after which asking again is of no use.
_FINAL = frozenset({400, 401, 403, 404, 405, 413})


class Held(NamedTuple):
    """One time that a lock was held. Both numbers are higher than those of all times before.

    `number` counts them while the key is there (LockIndex); `modify_index` is one of Consul's
    own, which never goes back. Whoever writes something that has a higher number is a holder
    that came later: write such things with `kv.write(..., cas=...)`, and this number in them.
    """

    number: int
    modify_index: int


class Lock:
    """The lock of a prefix, for one session. `value` says to people who holds it; it may
    be made when the lock is taken.

    `lost` is set once it is not held any more, and `why` says how that came; before anything that
    depends on it, look at `held`, which goes by the clock too, or ask `check`. While others hold it
    that is looked at every `wait` seconds at least, and at once when it changes: `seen` is told
    what was found.
    """

    def __init__(
        self,
        connection: Connection,
        session: Session,
        prefix: str,
        *,
        value: bytes | Callable[[], bytes] = b"",
        wait: float = WAIT,
        seen: Callable[[Entry | None], None] = lambda _: None,
        clock: Callable[[], float] = boot_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.key = KEY.format(prefix.strip("/"))
        self.why = "it was not acquired"
        self.lost = asyncio.Event()
        self._connection = connection
        self._session = session
        self._value = b"" if callable(value) else value
        self._make = value if callable(value) else None
        self._wait = wait
        self._seen = seen
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._held: Held | None = None
        # Whether Consul may have it that we hold the lock, without our having read so.
        self._uncertain = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def held(self) -> Held | None:
        """Return by which numbers it is surely held now, None where it is not."""
        return self._held if self._session.there else None

    @property
    def missing(self) -> str:
        """Return why it is not surely held now, "" where it is."""
        if self.held is not None:
            return ""
        if self._held is None:
            return self.why
        return f"the session is lost: {self._session.why}"

    async def check(self) -> str:
        """Return why it is not held, "" where Consul's leader has just said that it is.

        To be asked right before something is written: it is not held either where Consul cannot be
        asked, or its reply came too late to say anything of now.
        """
        if (held := self.held) is None:
            return self.missing
        asked = self._clock()
        try:
            entry = (await kv.read(self._connection, self.key)).entry
        except ConsulError as error:
            return f"Consul cannot be asked whether it is held: {error}"
        if entry is None or (entry.session, entry.lock_index) != (self._session.id, held.number):
            self._lose(_taken(entry))
        elif self._clock() - asked > FRESH:
            return "this host was held up while it asked whether the lock is held"
        return self.missing

    async def acquire(self, wait: float = float("inf")) -> Held | None:
        """Wait until it is held, so long (seconds) at most; None where it is not by then.

        Raises ConsulError where that cannot come about: the session is lost, the key is none of a
        lock, the token may not write it. What only fails for now is tried again.
        """
        if (held := self.held) is not None:
            return held
        self._lose("its time is over")
        await self._rest()
        try:
            return await self._acquire(self._clock() + wait)
        finally:
            if self._uncertain:
                # Nobody else could have it while the session is there.
                with suppress(ConsulError):
                    await self._give_back()

    async def _acquire(self, ends: float) -> Held | None:
        index = 0
        while True:
            if not self._session.there:
                raise ConsulError("consulfwd", 0, f"{self.key}: no session: {self._session.why}")
            left = ends - self._clock()
            try:
                seen = await self._read(index, left)
                self._seen(seen.entry)
                if seen.entry is None or not seen.entry.session:
                    await self._take()
                    seen = await self._read(0, left)
                self._uncertain = False
            except ConsulError as error:
                left = ends - self._clock()
                if error.status in _FINAL or left <= 0:
                    raise
                index = 0
                await self._pause(left)
                continue
            entry, index = seen
            if entry is not None and entry.session == self._session.id:
                self._begin(entry)
                if (held := self.held) is not None:
                    return held
                continue
            left = ends - self._clock()
            if left <= 0:
                return None
            if entry is None or not entry.session:
                # Nobody has it, and nobody gets it yet. That the time is up nobody is woken for.
                index = 0
                await self._pause(left)

    async def release(self) -> None:
        """Hold it no more, once who depends on it has stopped. Raises ConsulError.

        Another one gets it at once then, without Consul's lock-delay. Where it fails, ending the
        session will do, or its TTL.
        """
        held = self.held is not None
        self._lose("it was released" if held else self.missing)
        await self._rest()
        if held:
            await self._give_back()

    async def give_back(self) -> None:
        """Have Consul know that whoever lost it has stopped, if it may not: others need not wait.

        No error where that cannot be told.
        """
        await self._rest()
        with suppress(ConsulError):
            await self._give_back()

    async def _take(self) -> None:
        """Try to have it; whether that came about is to be read, in any case."""
        self._uncertain = True
        session = self._session.id
        self._value = self._make() if self._make is not None else self._value
        await kv.acquire(self._connection, self.key, session, self._value, FLAGS)

    async def _give_back(self) -> None:
        session = self._session.id
        await kv.release(self._connection, self.key, session, self._value, FLAGS)
        self._uncertain = False

    async def _read(self, index: int, left: float) -> kv.Seen:
        seen = await kv.read(
            self._connection, self.key, index=index, wait=max(min(self._wait, left), 0.0)
        )
        if seen.entry is not None and seen.entry.flags != FLAGS:
            raise ConsulError("consulfwd", 400, f"{self.key} is there, and is not a lock")
        return seen

    async def _pause(self, left: float) -> None:
        await self._sleep(min(RETRY * self._rng.uniform(0.75, 1.25), left))

    def _begin(self, entry: Entry) -> None:
        self.why, self.lost = "", asyncio.Event()
        self._held = Held(entry.lock_index, entry.modify_index)
        for work in (self._watch(), self._follow()):
            task = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(self._done)
            self._tasks.append(task)

    async def _watch(self) -> None:
        """See whether the key is ours still, as soon as that changes."""
        index = 0
        while True:
            try:
                seen = await kv.read(self._connection, self.key, index=index, wait=self._wait)
            except ConsulError:
                # How long that may last is the session's to say.
                index = 0
                await self._sleep(RETRY * self._rng.uniform(0.75, 1.25))
                continue
            entry, index = seen
            if entry is None or entry.session != self._session.id:
                self._lose(_taken(entry))
                return

    async def _follow(self) -> None:
        """It is lost with the session."""
        await self._session.lost.wait()
        self._lose(f"the session is lost: {self._session.why}")

    def _lose(self, why: str) -> None:
        if self._held is None:
            return
        self._held, self.why = None, why
        self.lost.set()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def _rest(self) -> None:
        """Wait for the tasks of the last time to end."""
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            context = {"message": "holding a lock failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
        if self._held is not None and task in self._tasks:
            self._lose("an error of consulfwd's own")


def _taken(entry: Entry | None) -> str:
    other = entry is not None and entry.session
    return "another one holds it" if other else "Consul took it away"
