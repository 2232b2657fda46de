"""What a publisher has of being the one that writes, with a lock (`writer`) or without (`alone`).

What belongs here: the form of that. Must not know either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from consulfwd.config.zones import ZoneSettings
from consulfwd.zones import orders
from consulfwd.zones.disk import Document, name_of
from consulfwd.zones.memory import LARGEST, Memory
from consulfwd.zones.orders import Allow, Orders


class Files(NamedTuple):
    """What a zone keeps on this host: its memory, and orders where there is no lock."""

    memory: Document
    pause: Document
    allow: Document


def files_of(folder: Path, settings: ZoneSettings) -> Files:
    """Return where a zone keeps them."""
    name = name_of(settings.origin.rstrip("."), settings.view)
    return Files(
        Document(folder / f"{name}.json", 2 * LARGEST),
        Document(folder / f"{name}.pause.json", orders.LARGEST),
        Document(folder / f"{name}.allow.json", orders.LARGEST),
    )


class Writing(Protocol):
    """One time that this publisher may write. `changed` is set when there are other orders."""

    number: int
    holder: str
    memory: Memory
    orders: Orders
    changed: asyncio.Event

    def why(self) -> str:
        """Return why nothing may be done any more, "" if it may: at once, from any thread."""

    def may(self) -> str:
        """Return the same, asking Consul: for `target.Push.may`, in a thread that may block."""

    async def save(self, memory: Memory) -> None:
        """Remember this, with our number. Raises ApplyError or ConsulError where it is not."""

    async def take(self) -> Allow | None:
        """Return what may be withdrawn beyond the budget, once: the order is taken away by that."""


Work = Callable[[Writing], Awaitable[None]]
