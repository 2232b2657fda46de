"""What programs hold: the set of a service's healthy instances, to iterate over and to pick from.

What belongs here: the two classes, for event loops and for threads. Must not know: how Consul is
asked (`hub`), whose turn it is (`picking`). Programs that only resolve names import this, too: so
what follows Consul is imported with the first set.
"""

from __future__ import annotations

import asyncio
import math
import os
import weakref
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from consulfwd.backends.model import Backend, Change, State, Wanted
from consulfwd.config import Settings, load
from consulfwd.errors import ConsulError, UsageError

if TYPE_CHECKING:
    from consulfwd.backends.cell import Cell

# How often in a second a set that changes all the time is looked at, unless asked for otherwise.
RATE = 5.0
READY = 10.0
Self = TypeVar("Self", bound="_Set")


class _Set:
    """What both kinds can do; all of it may be called from any thread."""

    def __init__(
        self,
        service: str,
        *,
        settings: Settings | None = None,
        tag: str = "",
        datacenter: str = "",
        passing_only: bool = False,
        rate: float = RATE,
    ) -> None:
        if not (math.isfinite(rate) and rate > 0):
            raise UsageError(f"rate: {rate} is not a number above 0")
        from consulfwd.backends.cell import Cell
        from consulfwd.backends.hub import HUB
        from consulfwd.consul.facts import Fact, FactKind

        try:
            fact = Fact(FactKind.SERVICE, service, datacenter)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if settings is None:
            settings = load(None, os.environ, {}).settings
        wanted = Wanted(tag, passing_only)
        self._cell = Cell(fact, wanted, settings.consul.agents, rate)
        self._hub = HUB
        HUB.join(self._cell)
        self._collected = weakref.finalize(self, HUB.collected, self._cell)
        # At the exit of the program the hub ends as a whole.
        self._collected.atexit = False

    @property
    def service(self) -> str:
        """The service's name."""
        return self._cell.fact.name

    @property
    def datacenter(self) -> str:
        """The datacenter it is looked for in; "" is the agents' own."""
        return self._cell.fact.datacenter

    @property
    def current(self) -> tuple[Backend, ...]:
        """The instances there are, by node and ID; empty too while nothing is `known` yet."""
        return self._here().state.backends

    @property
    def known(self) -> bool:
        """Whether Consul has told yet which instances there are."""
        return self._here().state.known

    @property
    def stale(self) -> str:
        """Why what is known may be old: no agent can be asked. "" while one can."""
        return self._here().state.stale

    def pick(self) -> Backend | None:
        """Return the instance to use next, each as often as its weight says; None if none is known.

        Those that `failed` are left out for a while, unless all have.
        """
        cell = self._here()
        with cell.lock:
            return cell.picker.pick(cell.clock())

    def failed(self, backend: Backend) -> None:
        """Note that an instance could not be used: it is left out, from 1 s on to 60 s."""
        cell = self._here()
        with cell.lock:
            cell.picker.failed(backend.key, cell.clock())

    def worked(self, backend: Backend) -> None:
        """Note that one that had failed can be used again: nothing is held against it any more."""
        cell = self._here()
        with cell.lock:
            cell.picker.worked(backend.key)

    @property
    def excluded(self) -> tuple[Backend, ...]:
        """The instances that are left out now, as they failed."""
        cell = self._here()
        with cell.lock:
            return cell.picker.excluded(cell.clock())

    def use(self, settings: Settings) -> None:
        """Ask the agents of these settings from now on. What is known stays until they say else."""
        cell = self._here()
        cell.agents = settings.consul.agents
        self._hub.join(cell)

    def _here(self) -> Cell:
        """Return the cell, followed in this process. Raises RuntimeError once it is closed."""
        cell = self._cell
        if cell.closed:
            raise RuntimeError(f"the set of {cell.fact.name!r} is closed")
        if cell.generation != self._hub.generation:
            self._hub.join(cell)
        return cell

    def _close(self) -> None:
        if self._cell.close():
            self._hub.leave(self._cell)

    def _not_ready(self, timeout: float) -> ConsulError:
        cell = self._cell
        why = cell.why or f"no agent has told within {timeout:g} s"
        return ConsulError(str(cell.fact), 0, why)


class SyncBackends(_Set):
    """The same for threads: iterate with `for`, which waits for each change.

    Each iterator begins with all there are and misses nothing: whoever is slow gets several
    changes as one. It ends once the set is closed, by whichever thread.
    """

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def close(self) -> None:
        """End it: iterators end, connections are closed. May be called twice."""
        self._close()

    def ready(self, timeout: float = READY) -> tuple[Backend, ...]:
        """Return the instances, once they are known. Raises ConsulError if not in `timeout` s."""
        deadline = self._cell.clock() + timeout
        while not self.known:
            version = self._cell.version
            left = deadline - self._cell.clock()
            if not self.known and (left <= 0 or not self._cell.wait(version, left)):
                raise self._not_ready(timeout)
        return self.current

    def __iter__(self) -> Iterator[Change]:
        """Yield what changes, all there are at first."""
        seen: State | None = None
        cell = self._cell
        while not cell.closed:
            self._here()
            change, seen_now, version = cell.since(seen)
            if change is None:
                cell.wait(version, None)
            else:
                seen = seen_now
                yield change


class Backends(_Set):
    """The set of a service's healthy instances: iterate with `async for`, which waits for changes.

    Each iterator begins with all there are and misses nothing: whoever is slow gets several
    changes as one. It ends once the set is closed. May be used in any event loop, and in several.
    """

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._close)

    async def close(self) -> None:
        """End it: iterators end, connections are closed. May be called twice."""
        await asyncio.to_thread(self._close)

    async def ready(self, timeout: float = READY) -> tuple[Backend, ...]:
        """Return the instances, once they are known. Raises ConsulError if not in `timeout` s."""
        try:
            await asyncio.wait_for(self._until_known(), timeout)
        except asyncio.TimeoutError:
            raise self._not_ready(timeout) from None
        return self.current

    async def __aiter__(self) -> AsyncIterator[Change]:
        """Yield what changes, all there are at first."""
        seen: State | None = None
        cell = self._cell
        while not cell.closed:
            self._here()
            change, seen_now, version = cell.since(seen)
            if change is None:
                await cell.wait_here(version)
            else:
                seen = seen_now
                yield change

    async def _until_known(self) -> None:
        while True:
            version = self._cell.version
            if self.known:
                return
            await self._cell.wait_here(version)


def backends(
    service: str,
    *,
    settings: Settings | None = None,
    tag: str = "",
    datacenter: str = "",
    passing_only: bool = False,
    rate: float = RATE,
) -> Backends:
    """Return the healthy instances of a service, kept current by Consul: for an event loop.

    settings      whose `consul.agents` are asked; by default those of this host's settings file
    tag           only instances with this tag
    datacenter    where to look; by default where the agents are
    passing_only  without those whose checks warn (Consul's DNS answers with these, too)
    rate          how often in a second it is looked at where it changes all the time, at most

    Raises UsageError for a name that Consul cannot be asked for, ConfigError for settings that
    cannot be used. Where no agent answers it is asked on; `ready` tells.
    """
    return Backends(
        service,
        settings=settings,
        tag=tag,
        datacenter=datacenter,
        passing_only=passing_only,
        rate=rate,
    )


def sync_backends(
    service: str,
    *,
    settings: Settings | None = None,
    tag: str = "",
    datacenter: str = "",
    passing_only: bool = False,
    rate: float = RATE,
) -> SyncBackends:
    """Return the same as `backends` for threads, with the same arguments and errors."""
    return SyncBackends(
        service,
        settings=settings,
        tag=tag,
        datacenter=datacenter,
        passing_only=passing_only,
        rate=rate,
    )
