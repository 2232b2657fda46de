"""What the publishers of a zone share in Consul's KV store: memory, orders, who is active.

What belongs here: the keys below the zone's prefix, and how they are written so that nobody's is
lost. Must not know: when. All of it may raise ConsulError, or ApplyError for what others wrote.

| key | what | who writes it |
|---|---|---|
| PREFIX/.lock | who is active | whoever takes the lock |
| PREFIX/memory | what must survive (`memory`), with the number of who wrote it | who is active |
| PREFIX/orders/pause | that nothing is to be published | people |
| PREFIX/orders/allow | how much more may be withdrawn, once | people; who is active takes it away |
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from consulfwd.config.zones import ZoneSettings
from consulfwd.consul import kv
from consulfwd.consul.holder import Holder, holder_of
from consulfwd.consul.kv import Connection, Entry
from consulfwd.consul.lock import FLAGS, KEY
from consulfwd.errors import ApplyError, ConsulError, UnknownOutcome
from consulfwd.zones import memory
from consulfwd.zones.orders import (
    Allow,
    Orders,
    Pause,
    read_allow,
    read_pause,
    write_allow,
    write_pause,
)
from consulfwd.zones.strict import read

PAUSE, ALLOW = "pause", "allow"


class Status(NamedTuple):
    """What is to be seen of a zone's publishers: who is active (None is nobody), and what counts.

    `number` is that of the last who wrote the memory, `saved` when (time of day), `fault` why that
    cannot be read.
    """

    holder: Holder | None
    number: int
    serial: int | None
    saved: float
    orders: Orders
    fault: str = ""


class Superseded(ApplyError):
    """Another publisher has come after this one; `number` is that one's."""

    def __init__(self, where: str, number: int) -> None:
        self.number = number
        super().__init__(where, f"another publisher has written it since, with number {number}")


def prefix_of(settings: ZoneSettings) -> str:
    """Return below which prefix the keys of a zone are; each view has its own."""
    if settings.lock.prefix is not None:
        return settings.lock.prefix
    view = f"@{settings.view}" if settings.view else ""
    return f"consulfwd/zones/{settings.origin.rstrip('.')}{view}"


class Stamp(NamedTuple):
    """Of a memory: whose it is, and the serial and time of day it was written with."""

    number: int
    serial: int | None
    saved: float


def stamp(data: bytes, document: str) -> Stamp:
    """Return what a memory says of itself. Raises ApplyError."""
    root = read(data, document, 2 * memory.LARGEST)
    serial = root["serial"]
    return Stamp(
        root["number"].integer(0, 2**63),
        None if serial.is_null else serial.integer(0, 2**32 - 1),
        root["saved"].number(0, 1e12),
    )


class Shared:
    """The keys of a zone's publishers."""

    def __init__(self, connection: Connection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix.strip("/")
        self.memory_key = f"{self._prefix}/memory"
        self._orders_prefix = f"{self._prefix}/orders/"

    async def memory(self) -> Entry | None:
        """Return what is remembered, None if nothing is."""
        return (await kv.read(self._connection, self.memory_key)).entry

    async def save(self, data: bytes, number: int, index: int) -> int:
        """Write a memory where it is as it was known (`index`, 0 for none); return its new index.

        What people changed meanwhile is written over. Raises Superseded where a publisher with a
        higher number wrote it.
        """
        for _ in range(3):
            # Whether it was written is read, in any case: its index is not said otherwise.
            with suppress(UnknownOutcome):
                await kv.write(self._connection, self.memory_key, data, cas=index)
            entry = await self.memory()
            if entry is None:
                index = 0
                continue
            if entry.value == data:
                return entry.modify_index
            if entry.modify_index != index:
                if (other := stamp(entry.value, self.memory_key)).number > number:
                    raise Superseded(self.memory_key, other.number)
                index = entry.modify_index
        raise ConsulError("consulfwd", 0, f"key {self.memory_key}: it could not be written")

    async def orders(self, index: int = 0, wait: float = 0.0) -> tuple[Orders, int]:
        """Return the orders, and the index they are at; with one, once they may be others."""
        found, at = await kv.read_below(
            self._connection, self._orders_prefix, index=index, wait=wait
        )
        pause, allow, wrong = None, None, []
        entry = found.get(PAUSE)
        if entry is not None:
            try:
                pause = read_pause(entry.value, self._orders_prefix + PAUSE)
            except ApplyError as error:
                wrong.append(str(error))
        entry = found.get(ALLOW)
        if entry is not None:
            try:
                allow = read_allow(entry.value, self._orders_prefix + ALLOW)
            except ApplyError as error:
                wrong.append(str(error))
        at_index = 0 if entry is None else entry.modify_index
        return Orders(pause, allow, at_index, tuple(wrong)), at

    async def pause(self, pause: Pause) -> None:
        """Order that nothing is published."""
        await kv.write(self._connection, self._orders_prefix + PAUSE, write_pause(pause))

    async def resume(self) -> bool:
        """Take that order back; return whether there was one."""
        there = (await kv.read(self._connection, self._orders_prefix + PAUSE)).entry is not None
        await kv.remove(self._connection, self._orders_prefix + PAUSE)
        return there

    async def allow(self, allow: Allow) -> None:
        """Order that more may be withdrawn, once; it stands instead of an earlier such order."""
        await kv.write(self._connection, self._orders_prefix + ALLOW, write_allow(allow))

    async def take(self, orders: Orders) -> bool:
        """Take away the order to allow, as it was seen; return whether that was done here."""
        key = self._orders_prefix + ALLOW
        return await kv.remove(self._connection, key, cas=orders.allow_index)

    async def status(self) -> Status:
        """Return what is to be seen of the publishers."""
        lock = (await kv.read(self._connection, KEY.format(self._prefix))).entry
        entry, (orders, _) = await self.memory(), await self.orders()
        holder = holder_of(lock) if lock is not None and lock.flags == FLAGS else None
        known, fault = Stamp(0, None, 0.0), ""
        if entry is not None:
            try:
                known = stamp(entry.value, self.memory_key)
            except ApplyError as error:
                fault = str(error)
        return Status(holder, *known, orders, fault)
