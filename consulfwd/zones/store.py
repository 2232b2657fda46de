"""A zone's memory between a process and where it is kept: as octets, on disk, and which is later.

Must not know: locks, Consul.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import time
from collections.abc import Callable
from typing import NamedTuple

from consulfwd.core.alarms import Alarms
from consulfwd.errors import ApplyError
from consulfwd.zones import memory as forms
from consulfwd.zones.disk import Document
from consulfwd.zones.memory import Memory
from consulfwd.zones.serials import newer

log = logging.getLogger("consulfwd.publish")



class Times(NamedTuple):
    """The clocks: of the zone, which a memory's times are of, and of the day."""

    zone: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class Store:
    """A memory as octets, and on disk."""

    def __init__(self, document: Document, times: Times) -> None:
        self.document = document
        self.times = times
        self._alarms = Alarms()

    def form(self, memory: Memory, number: int) -> bytes:
        """Return it as octets, with the number of who writes it."""
        whole = memory.replace(number=number)
        return forms.write(whole, self.times.zone(), self.times.wall())

    def read(self, data: bytes, where: str) -> Memory:
        """Return what octets say. Raises ApplyError."""
        return forms.load(data, where, self.times.zone(), self.times.wall())

    def load(self) -> Memory | None:
        """Return what is on disk, None if nothing is. Raises ApplyError."""
        data = self.document.load()
        if data is None:
            return None
        path = str(self.document.path)
        try:
            return self.read(data, path)
        except ApplyError as error:
            mend = f"`rm {shlex.quote(path)}` begins anew, without it"
            raise ApplyError(error.where, error.what, mend) from None

    async def save_beside(self, data: bytes) -> None:
        """Keep what is in Consul on disk, too; where that fails it is told, no more."""
        try:
            await asyncio.to_thread(self.document.save, data)
        except ApplyError as error:
            if self._alarms.wrong(self.document.path, time.monotonic()):
                log.warning("%s (it is in Consul)", error)
        else:
            self._alarms.well(self.document.path)


def later(one: Memory | None, other: Memory | None) -> Memory | None:
    """Return the memory that was written later: by number, then by serial (RFC 1982), then `one`.

    It has the greater serial of both: what was published once is never gone behind.
    """
    if one is None or other is None:
        return one or other
    serials = [each.serial for each in (one, other) if each.serial is not None]
    serial = serials[0] if serials else None
    if len(serials) == 2 and newer(serials[1], serials[0]):
        serial = serials[1]
    behind = one.number == other.number and one.serial != serial
    found = other if other.number > one.number or behind else one
    return found if found.serial == serial else found.replace(serial=serial)
