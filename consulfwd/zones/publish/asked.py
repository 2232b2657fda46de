"""What people ask for once: what a zone would hold, a plan, a push, a pause, how it stands.

What belongs here: Consul and targets asked for that, and given up again. Must not know words for
people, nor options.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from consulfwd.config import Agent
from consulfwd.config.zones import ZoneSettings
from consulfwd.consul.session import boot_time
from consulfwd.consul.several import Several
from consulfwd.errors import ApplyError, ConsulError, ConsulfwdError
from consulfwd.zones import orders
from consulfwd.zones.alone import is_taken
from consulfwd.zones.budget import ALLOWED_FOR, Allowance
from consulfwd.zones.memory import Memory
from consulfwd.zones.plan import Plan
from consulfwd.zones.publish import status
from consulfwd.zones.publish.feeding import Sources
from consulfwd.zones.publish.making import Making
from consulfwd.zones.publish.once import PATIENCE, Once, who
from consulfwd.zones.publish.place import Place
from consulfwd.zones.publish.running import Wanted
from consulfwd.zones.publish.serials import Serials
from consulfwd.zones.publish.tools import certain, in_thread
from consulfwd.zones.shared import Shared, prefix_of
from consulfwd.zones.shared import Status as Publishers
from consulfwd.zones.store import Store, Times
from consulfwd.zones.target import Base
from consulfwd.zones.zone import Zone

if TYPE_CHECKING:
    from consulfwd.zones.publish.moves import Moves


class Planned(NamedTuple):
    """A plan for a target, or why there is none."""

    where: str
    plan: Plan | None
    fault: str = ""


class Compared(NamedTuple):
    """What a target holds and a plan for it, or why that cannot be said."""

    where: str
    base: Base | None
    plan: Plan | None
    fault: str = ""


class Done(NamedTuple):
    """What became of a push: the places, or whom (`holder`) the order was handed over to."""

    places: Sequence[Place] = ()
    holder: str = ""


@contextlib.asynccontextmanager
async def looked_at(
    agents: Sequence[Agent],
    zone: ZoneSettings,
    memory: Memory | None = None,
    *,
    removals: bool = True,
    moves: Moves | None = None,
) -> AsyncIterator[Zone]:
    """A zone that has seen what Consul says, beyond doubt if that came about in time.

    With `removals` also what is unhealthy was so for as long as it takes to be withdrawn. Raises
    ConsulError where there is nothing to be seen at all.
    """
    sources = Sources(agents, [zone])
    try:
        source = sources.of(zone)
        if moves is not None:
            await moves.start()
        await source.ready(PATIENCE)
        made = Zone(zone, boot_time(), memory)
        made.see(source.catalog(), boot_time())
        if moves is not None:
            await moves.known()
            moves.tell(made)
        await certain(made, source, boot_time, PATIENCE, removals=removals)
        if made.doubt and not made.wanted:
            faults = sources.feed.faults()
            raise ConsulError(agents[0].name, 0, faults[0] if faults else made.doubt)
        yield made
    finally:
        if moves is not None:
            await moves.close()
        await sources.feed.close()


def objections(zone: Zone) -> list[str]:
    """Return what cannot be in it, and why."""
    return [str(one) for one in zone.plan(Base("", {}), boot_time()).objections]


class Asked:
    """One zone, for one thing that is asked for."""

    def __init__(
        self,
        wanted: Wanted,
        zone: ZoneSettings,
        progress: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._progress = progress
        self._wanted = wanted
        self._zone = zone
        self._files = wanted.folder.files(zone)
        self._times = Times(boot_time, time.time)

    async def plans(self, target: str = "", allow: int | None = None) -> list[Planned]:
        """Return a plan for each target, or for one. Raises ConsulError where there can be none."""
        memory = await self.remembered()
        ordered = None if allow is None else Allowance(allow, boot_time() + ALLOWED_FOR)
        moves = self._wanted.moves(self._zone, looking=True)
        async with looked_at(self._wanted.agents, self._zone, memory, moves=moves) as zone:
            found = await self.compared(zone, memory, target, ordered)
        return [Planned(one.where, one.plan, one.fault) for one in found]

    async def compared(
        self, zone: Zone, memory: Memory, target: str = "", ordered: Allowance | None = None
    ) -> list[Compared]:
        """Return what each target, or one, holds, and a plan for it. Raises ApplyError.

        With the allowance that is `ordered`, or those that are remembered.
        """
        found = []
        serials = Serials()
        serials.begin(memory.served)
        making = Making(self._wanted.folder.root, looking=True)
        for place in making.places(self._zone, serials):
            if target and target != place.where:
                continue
            allowance = ordered or memory.allowances.get(place.where)
            try:
                base = await in_thread(place.target.read)
                plan = zone.plan(base, boot_time(), place.where, allowance)
            except (ConsulfwdError, OSError) as error:
                found.append(Compared(place.where, None, None, str(error)))
            else:
                found.append(Compared(place.where, base, plan))
            finally:
                place.target.close()
        return found

    async def apply(self, approved: Mapping[str, Plan], allow: int | None = None) -> Done:
        """Publish once, as the one that writes; or have the one that does allow more.

        Raises ApplyError, ConsulError.
        """
        async with self._connection() as connection:
            holder = await self._holder(connection)
            if holder and allow is not None and not approved:
                await self._order(connection, allow)
                return Done(holder=holder)
            if holder:
                raise ApplyError(
                    self._zone.origin,
                    f"{holder} publishes it, and does what is due by itself",
                    "stop it there first; `consulfwd zone pause` makes it wait",
                )
            once = Once(self._wanted, self._zone, self._times, self._progress)
            return Done(await once.apply(connection, approved, allow))

    async def pause(self, why: str) -> None:
        """Have whoever publishes it publish nothing."""
        order = orders.Pause(why, who(), round(time.time(), 3))
        if self._zone.lock.enabled:
            async with self._connection() as connection:
                await Shared(connection, prefix_of(self._zone)).pause(order)
        else:
            await in_thread(self._wanted.folder.prepare)
            await in_thread(lambda: self._files.pause.save(orders.write_pause(order)))

    async def resume(self) -> bool:
        """Have it go on; return whether it was paused."""
        if self._zone.lock.enabled:
            async with self._connection() as connection:
                return await Shared(connection, prefix_of(self._zone)).resume()
        there = await in_thread(self._files.pause.load)
        await in_thread(self._files.pause.remove)
        return there is not None

    async def publishers(self) -> Publishers | None:
        """Return what Consul knows of who publishes it, None where there is no lock."""
        if not self._zone.lock.enabled:
            return None
        async with self._connection() as connection:
            return await Shared(connection, prefix_of(self._zone)).status()

    def here(self) -> status.Status | None:
        """Return what was written down on this host, None if nothing was. Raises ApplyError.

        Its `state` is "gone" where whoever wrote it ended without a word.
        """
        folder = self._wanted.folder
        document = folder.status(self._zone)
        data = document.load()
        if data is None:
            return None
        found = status.load(data, str(document.path))
        gone = found.state != "stopped" and not folder.runs(self._zone)
        return replace(found, state="gone") if gone else found

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Several]:
        connection = Several(self._wanted.agents)
        try:
            yield connection
        finally:
            await connection.close()

    async def _holder(self, connection: Several) -> str:
        """Return who publishes it now, "" for nobody."""
        if self._zone.lock.enabled:
            found = await Shared(connection, prefix_of(self._zone)).status()
            return str(found.holder or "")
        taken = await in_thread(lambda: is_taken(self._files))
        return "a publisher on this host" if taken else ""

    async def _order(self, connection: Several, allow: int) -> None:
        now = round(time.time(), 3)
        order = orders.Allow(allow, now + ALLOWED_FOR, who(), now)
        if self._zone.lock.enabled:
            await Shared(connection, prefix_of(self._zone)).allow(order)
        else:
            await in_thread(lambda: self._files.allow.save(orders.write_allow(order)))

    async def remembered(self) -> Memory:
        """Return what whoever publishes it remembers, as far as that can be had."""
        store = Store(self._files.memory, self._times)
        if self._zone.lock.enabled:
            async with self._connection() as connection:
                shared = Shared(connection, prefix_of(self._zone))
                entry = await shared.memory()
                if entry is not None:
                    return store.read(entry.value, f"key {shared.memory_key}")
        return await in_thread(store.load) or Memory()
