"""One writer: of several publishers of a zone, the one that holds the lock.

What belongs here: who may write, by which number, and what it has to know from those before. Must
not know what is written, or where to.

A number is higher than all before it, also where the lock's key was deleted meanwhile and Consul
counts from 1 again: it is that of the lock, or one more than that of whoever wrote the memory last.
Nothing is written before the memory has that number; so no two have the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from consulfwd.config.zones import ZoneSettings
from consulfwd.consul.campaign import Campaign, Form
from consulfwd.consul.holder import here
from consulfwd.consul.kv import Connection
from consulfwd.consul.stages import State
from consulfwd.consul.term import Term
from consulfwd.errors import ApplyError, ConsulError
from consulfwd.zones.memory import Memory
from consulfwd.zones.orders import Allow, Orders
from consulfwd.zones.shared import Shared, Superseded, prefix_of
from consulfwd.zones.store import Store, Times, later
from consulfwd.zones.writing import Files, Work

log = logging.getLogger("consulfwd.publish")

# So long (seconds) is waited for other orders at a time, and after a failure.
WAIT, AGAIN = 30.0, 2.0


def form_of(settings: ZoneSettings, who: str = "") -> Form:
    """Return what the settings of a zone say of its lock."""
    lock = settings.lock
    return Form(
        prefix_of(settings),
        who=who or here(),
        ttl=lock.ttl,
        lock_delay=lock.lock_delay,
        retry=lock.retry,
    )


class Writer:
    """Does work whenever the lock of a zone is held."""

    def __init__(
        self,
        connection: Connection,
        form: Form,
        files: Files,
        *,
        times: Times | None = None,
        changed: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._holder = form.who
        self._campaign = Campaign(connection, form, changed=changed, sleep=sleep)
        self._shared = Shared(connection, form.prefix)
        self._store = Store(files.memory, times or Times())
        self._sleep = sleep

    @property
    def active(self) -> bool:
        """Whether this one writes now."""
        return self._campaign.state is State.ACTIVE

    @property
    def holder(self) -> str:
        """Who writes now, as far as that is known, with since when; "" where nobody does."""
        return str(self._campaign.holder or "")

    @property
    def other(self) -> str:
        """Who else writes now, with since when; "" where nobody is known to."""
        return self.holder if self._campaign.state is State.BACKUP else ""

    @property
    def fault(self) -> str:
        """Why the lock cannot be had or looked at, "" where it can."""
        return self._campaign.fault

    def status(self) -> str:
        """Return one line for people: which state, and who holds the lock."""
        return self._campaign.status()

    def stop(self) -> None:
        """Have it end: work is cancelled and waited for, then another one may begin at once."""
        self._campaign.stop()

    async def run(self, work: Work) -> None:
        """Have work done while the lock is held, until `stop`.

        It is cancelled once the lock is lost, and waited for, whatever it takes: its steps must ask
        `why` and `may`. An ApplyError or ConsulError in it is told, and others get the lock.
        """

        async def lead(term: Term) -> None:
            writing = await self._begin(term)
            watching = asyncio.create_task(self._watch(writing))
            try:
                await work(writing)
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

        await self._campaign.run(lead)

    async def _begin(self, term: Term) -> _Holding:
        """Learn what those before knew, and have nobody before write any more."""
        memory, index = await self._known()
        number = max(term.number, memory.number + 1)
        orders, _ = await self._shared.orders()
        writing = _Holding(term, number, self._holder, memory, orders, self._shared, self._store)
        writing.index = index
        await writing.save(memory)
        return writing

    async def _known(self) -> tuple[Memory, int]:
        """Return what is remembered, in Consul or on this disk, and at which index it is there."""
        entry = await self._shared.memory()
        shared = None
        if entry is not None:
            try:
                shared = self._store.read(entry.value, f"key {self._shared.memory_key}")
            except ApplyError as error:
                mend = f"`consul kv delete {self._shared.memory_key}` begins anew, without it"
                raise ApplyError(error.where, error.what, mend) from None
        try:
            own = await asyncio.to_thread(self._store.load)
        except ApplyError as error:
            if shared is None:
                raise
            log.warning("%s (what is in Consul counts)", error)
            own = None
        index = 0 if entry is None else entry.modify_index
        return later(shared, own) or Memory(), index

    async def _watch(self, writing: _Holding) -> None:
        """Follow the orders."""
        index, wait = 0, WAIT
        while True:
            try:
                orders, index = await self._shared.orders(index, wait)
            except ConsulError:
                # How long that may last is the lock's to say.
                index = 0
                await self._sleep(AGAIN)
                continue
            if orders != writing.orders:
                writing.orders = orders
                writing.changed.set()


class _Holding:
    """One time that the lock is held."""

    def __init__(
        self,
        term: Term,
        number: int,
        holder: str,
        memory: Memory,
        orders: Orders,
        shared: Shared,
        store: Store,
    ) -> None:
        self.number = number
        self.holder = holder
        self.memory = memory
        self.orders = orders
        self.changed = asyncio.Event()
        self.index = 0
        self._term = term
        self._shared = shared
        self._store = store
        self._saving = asyncio.Lock()

    def why(self) -> str:
        """Return why nothing may be done any more."""
        return self._term.why()

    def may(self) -> str:
        """Return the same, asking Consul."""
        return self._term.may()

    async def save(self, memory: Memory) -> None:
        """Remember this: first where others read it."""
        async with self._saving:
            # Who is to stop has it till the end, and says what was done by then.
            if why := self._term.lost:
                raise ApplyError(self._shared.memory_key, f"is not written: {why}")
            data = self._store.form(memory, self.number)
            try:
                self.index = await self._shared.save(data, self.number, self.index)
            except Superseded as error:
                self._term.end(str(error))
                raise
            self.memory = memory
            await self._store.save_beside(data)

    async def take(self) -> Allow | None:
        """Take away the order to allow more."""
        orders = self.orders
        if orders.allow is None or self.why() or not await self._shared.take(orders):
            return None
        self.orders = orders._replace(allow=None, allow_index=0)
        return orders.allow if orders.allow.until > self._store.times.wall() else None
