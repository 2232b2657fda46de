"""The one writer of a zone where there is no lock in Consul: on this host it is the only one.

What belongs here: what `writer` does, of files alone. Must not know Consul. Publishers on other
hosts are not known of, and not kept off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator

from consulfwd.errors import ApplyError
from consulfwd.zones.disk import only_one
from consulfwd.zones.memory import Memory
from consulfwd.zones.orders import Allow, Orders, read_allow, read_pause
from consulfwd.zones.store import Store, Times
from consulfwd.zones.writing import Files, Work

# Between two looks at orders (seconds).
LOOK = 1.0


class Alone:
    """The same without a lock in Consul, of which nothing is asked.

    Orders are files beside the memory, and another one keeps off others of this host.
    """

    def __init__(
        self,
        files: Files,
        *,
        holder: str = "consulfwd",
        times: Times | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.number = 0
        self.holder = holder
        self.memory = Memory()
        self.orders = Orders()
        self.changed = asyncio.Event()
        self.active = False
        self._files = files
        self._store = Store(files.memory, times or Times())
        self._sleep = sleep
        self._stop = asyncio.Event()
        self._saving = asyncio.Lock()

    @property
    def fault(self) -> str:
        """Why it may not write: there is no such reason."""
        return ""

    def status(self) -> str:
        """Return one line for people."""
        return "active, without a lock"

    def stop(self) -> None:
        """Have it end."""
        self._stop.set()

    def why(self) -> str:
        """Return why nothing may be done any more."""
        return "this program is to stop" if self._stop.is_set() else ""

    def may(self) -> str:
        """Return the same."""
        return self.why()

    async def run(self, work: Work) -> None:
        """Have work done until `stop`.

        Raises ApplyError for a memory that cannot be read, and where another one does it here.
        """
        with _only_one(self._files):
            await self._run(work)

    async def _run(self, work: Work) -> None:
        known = await asyncio.to_thread(self._store.load)
        self.memory = known or Memory()
        self.orders = await asyncio.to_thread(_orders_of, self._files)
        self.active = True
        done = asyncio.ensure_future(work(self))
        stopped = asyncio.ensure_future(self._stop.wait())
        looking = asyncio.ensure_future(self._look())
        try:
            await asyncio.wait({done, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (done, stopped, looking):
                one.cancel()
            await asyncio.wait({done, stopped, looking})
            self.active = False
        if not done.cancelled():
            done.result()

    async def save(self, memory: Memory) -> None:
        """Remember this."""
        data = self._store.form(memory, self.number)
        # One after the other: each makes the same file.
        async with self._saving:
            await asyncio.to_thread(self._store.document.save, data)
        self.memory = memory

    async def take(self) -> Allow | None:
        """Take away the order to allow more."""
        allow = self.orders.allow
        if allow is None:
            return None
        await asyncio.to_thread(self._files.allow.remove)
        self.orders = self.orders._replace(allow=None)
        return allow if allow.until > self._store.times.wall() else None

    async def _look(self) -> None:
        while True:
            await self._sleep(LOOK)
            orders = await asyncio.to_thread(_orders_of, self._files)
            if orders != self.orders:
                self.orders = orders
                self.changed.set()


def is_taken(files: Files) -> bool:
    """Return whether another process of this host publishes the zone. Raises ApplyError."""
    if not files.memory.path.parent.is_dir():
        return False
    with contextlib.suppress(Taken), _only_one(files):
        return False
    return True


class Taken(ApplyError):
    """Another process of this host publishes the zone."""


@contextlib.contextmanager
def _only_one(files: Files) -> Iterator[None]:
    """Be the one on this host, also where one before was killed. Raises ApplyError."""
    path = files.memory.path.with_suffix(".lock")
    try:
        at = only_one(path)
    except BlockingIOError:
        what = "another consulfwd publishes this zone from here"
        raise Taken(str(path), what, "leave it to that one, or stop it") from None
    except OSError as error:
        what = f"cannot be opened: {error.strerror or error}"
        raise ApplyError(str(path), what, "see to the directory, and whose it is") from None
    try:
        yield
    finally:
        os.close(at)


def _orders_of(files: Files) -> Orders:
    pause, allow, wrong = None, None, []
    try:
        if (data := files.pause.load()) is not None:
            pause = read_pause(data, str(files.pause.path))
    except ApplyError as error:
        wrong.append(str(error))
    try:
        if (data := files.allow.load()) is not None:
            allow = read_allow(data, str(files.allow.path))
    except ApplyError as error:
        wrong.append(str(error))
    return Orders(pause, allow, 0, tuple(wrong))
