"""Zones published until a signal: settings read, read again, and what the service manager hears.

What belongs here: one site after the other, and what is told of it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from consulfwd.config import Agent
from consulfwd.config.failover import CheckerSettings, FailoverSettings
from consulfwd.config.zones import ZoneSettings
from consulfwd.errors import ConsulfwdError
from consulfwd.hangups import HangUps
from consulfwd.process import quieten_collector
from consulfwd.upkeep import Upkeep
from consulfwd.zones.publish.folder import Folder
from consulfwd.zones.publish.making import KINDS
from consulfwd.zones.publish.place import LOOK
from consulfwd.zones.publish.site import Site
from consulfwd.zones.publish.telling import name_of

if TYPE_CHECKING:
    from consulfwd.zones.publish.moves import Moves

log = logging.getLogger("consulfwd.publish")


class Wanted(NamedTuple):
    """What is to be published, by whom Consul is asked, and where it is written down.

    `records` are all that move with health, and `checker` says who checks them.
    """

    agents: Sequence[Agent]
    zones: Sequence[ZoneSettings]
    folder: Folder
    records: Mapping[str, FailoverSettings] = MappingProxyType({})
    checker: CheckerSettings = CheckerSettings()

    def moves(self, *zones: ZoneSettings, looking: bool = False) -> Moves | None:
        """Return the records that these zones have, None if they have none."""
        names = {name for zone in zones for name in zone.failover}
        found = {name: one for name, one in self.records.items() if name in names}
        if not found:
            return None
        # Imported late: few zones have any.
        from consulfwd.zones.publish.moves import Moves

        return Moves(found, self.checker, self.agents, self.folder.root, looking=looking)


class Running:
    """Publishes what `read` says, which is asked again on SIGHUP."""

    def __init__(
        self,
        read: Callable[[], Wanted],
        upkeep: Upkeep,
        *,
        kinds: Iterable[str] = KINDS,
        look: float = LOOK,
        begun: Callable[[Site], None] = lambda site: None,
    ) -> None:
        self._read = read
        self._upkeep = upkeep
        self._kinds = tuple(kinds)
        self._look = look
        self._begun = begun
        self._wanted = read()
        upkeep.what = "publishing " + ", ".join(map(name_of, self._wanted.zones))
        self._site: Site | None = None
        self._quiet = False
        self._over = asyncio.Event()
        self._once = False
        self._failure: ConsulfwdError | None = None

    async def run(self, *, once: bool = False) -> bool:
        """Publish until cancelled; with `once` until all is in force, or could not be.

        Return whether all is.
        """
        self._once = once
        self._upkeep.wrong = lambda: [] if self._site is None else self._site.wrong()
        self._upkeep.zones = lambda: () if self._site is None else self._site.seen()
        hang_ups = HangUps(self._hung_up)
        try:
            begun = self._wanted
            self._site = await self._started(begun)
            self._begun(self._site)
            if self._wanted is not begun:
                # They were read again while it began.
                self._wanted, wanted = begun, self._wanted
                with self._upkeep.reload():
                    await self._exchange(self._site, wanted)
            await self._over.wait()
            if self._failure is not None:
                raise self._failure
            return all(one.settled for one in self._site.kept) and not self._site.faults()
        finally:
            hang_ups.close()
            if self._site is not None:
                await self._site.close()

    async def _hung_up(self) -> None:
        with self._upkeep.reload():
            wanted = self._read()
            site = self._site
            if site is None:
                self._wanted = wanted
            elif wanted == self._wanted:
                await site.renew()
                log.info("the settings are what they were; all targets are looked at")
            else:
                await self._exchange(site, wanted)

    async def _exchange(self, site: Site, wanted: Wanted) -> None:
        """Have other settings in force, or the old ones if that cannot be."""
        # Both at once would want the same locks, files and addresses.
        await site.close()
        self._site = None
        # What was made for these settings can be had back.
        gc.unfreeze()
        try:
            self._site = await self._started(wanted)
        except ConsulfwdError:
            try:
                self._site = await self._started(self._wanted)
            except ConsulfwdError as error:
                # Neither these nor those: whoever runs this is to begin it anew.
                self._failure = error
                self._over.set()
            raise
        self._wanted = wanted
        log.info("the settings were read again")

    async def _started(self, wanted: Wanted) -> Site:
        self._quiet = False
        site = Site(
            wanted.agents,
            wanted.zones,
            wanted.folder,
            kinds=self._kinds,
            look=self._look,
            rounds=self._rounded,
            moves=wanted.moves(*wanted.zones),
        )
        await site.start()
        return site

    def _rounded(self) -> None:
        site = self._site
        if site is None:
            return
        self._upkeep.what = "publishing " + ", ".join(one.told() for one in site.kept)
        faults = site.faults()
        # Each is asked: it tells only once.
        wrote = sum(one.publisher.took() for one in site.kept) > 0
        settled = all(one.settled for one in site.kept)
        if faults or settled:
            self._upkeep.round(faults, wrote=wrote)
        if settled and not self._quiet:
            # What there is by now is most of what there will be.
            self._quiet = True
            quieten_collector()
        if self._once and all(one.tried for one in site.kept):
            self._over.set()
