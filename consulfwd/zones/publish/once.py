"""A zone published once, because somebody asked for that.

What belongs here: what it takes to be the one that writes, for one round, given up again. What is
asked for besides is in `asked`.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Mapping

from consulfwd.config.zones import ZoneSettings
from consulfwd.consul.holder import here
from consulfwd.consul.session import boot_time
from consulfwd.consul.several import Several
from consulfwd.errors import ApplyError, ConsulfwdError
from consulfwd.zones.alone import Alone
from consulfwd.zones.budget import ALLOWED_FOR, Allowance
from consulfwd.zones.plan import Plan
from consulfwd.zones.publish.audit import Audit
from consulfwd.zones.publish.feeding import Sources
from consulfwd.zones.publish.making import Making
from consulfwd.zones.publish.place import Place
from consulfwd.zones.publish.running import Wanted
from consulfwd.zones.publish.serials import Serials
from consulfwd.zones.publish.telling import Brief, name_of
from consulfwd.zones.publish.tools import Tools, in_thread
from consulfwd.zones.publish.turn import Turn
from consulfwd.zones.store import Times
from consulfwd.zones.writer import Writer, form_of
from consulfwd.zones.writing import Work, Writing

# What Consul says is waited for so long (seconds), and as long again while it is in doubt.
PATIENCE = 15.0
# The lock may be free, and yet kept from everybody for its lock-delay: so long (seconds) more.
LOCK_PATIENCE = 10.0


def who() -> str:
    """Return who orders, for others to read."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "somebody"
    return here(user)


class Once:
    """One zone, for one push. `progress` is told how far one is that takes long."""

    def __init__(
        self,
        wanted: Wanted,
        zone: ZoneSettings,
        times: Times,
        progress: Callable[[str], None],
    ) -> None:
        self._wanted = wanted
        self._zone = zone
        self._files = wanted.folder.files(zone)
        self._times = times
        self._progress = progress

    async def apply(
        self, connection: Several, approved: Mapping[str, Plan], allow: int | None
    ) -> list[Place]:
        """Do it, by what was approved if anything was, with so much allowed; return the places.

        Raises ApplyError, ConsulError.
        """
        await in_thread(self._wanted.folder.prepare)
        sources = Sources(self._wanted.agents, [self._zone])
        serials = Serials()
        audit = Audit(self._wanted.folder.audit)
        tools = Tools(audit=audit.write, progress=self._progress)
        making = Making(self._wanted.folder.root)
        places: list[Place] = []
        moves = self._wanted.moves(self._zone, looking=True)
        begun = asyncio.Event()
        try:
            places = making.places(self._zone, serials)
            if moves is not None:
                await moves.start()
            source = sources.of(self._zone)
            tell = Brief(name_of(self._zone), tools.alarms, tools.clock)

            async def work(writing: Writing) -> None:
                begun.set()
                if writing.orders.paused:
                    mend = "`consulfwd zone resume` goes on"
                    raise ApplyError(self._zone.origin, writing.orders.paused, mend)
                await source.ready(PATIENCE)
                if moves is not None:
                    await moves.known()
                turn = Turn(self._zone, places, source, writing, serials, tools, tell, moves)
                if allow is not None:
                    for place in places:
                        place.allowance = Allowance(allow, boot_time() + ALLOWED_FOR)
                await turn.once(approved, PATIENCE)

            await self._write(connection, work, begun)
            return places
        finally:
            for place in places:
                place.target.close()
            if making.primaries is not None:
                await making.primaries.close()
            if moves is not None:
                await moves.close()
            await sources.feed.close()

    async def _write(self, connection: Several, work: Work, begun: asyncio.Event) -> None:
        """Have work done once, as the one that writes. Raises what ended it."""
        faults: list[ConsulfwdError] = []

        async def once(writing: Writing) -> None:
            # A campaign would go on after an error.
            try:
                await work(writing)
            except ConsulfwdError as error:
                faults.append(error)

        zone = self._zone
        writer: Writer | Alone = Alone(self._files, holder=who(), times=self._times)
        if zone.lock.enabled:
            writer = Writer(connection, form_of(zone, who()), self._files, times=self._times)
        running = asyncio.ensure_future(writer.run(once))
        waiting = asyncio.ensure_future(begun.wait())
        try:
            await asyncio.wait(
                {running, waiting},
                timeout=zone.lock.lock_delay + LOCK_PATIENCE,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not begun.is_set() and not running.done():
                writer.stop()
                await running
                what = f"the lock could not be had: {writer.status()}"
                raise ApplyError(zone.origin, what, "see `consulfwd zone status`, and try again")
            await running
        finally:
            waiting.cancel()
            if not running.done():
                writer.stop()
                await asyncio.wait({running})
        if faults:
            raise faults[0]
