"""One time that this program is the one that writes a zone: what happens when.

What belongs here: what leads to a round at a target. The round itself is in `pushing`.

Each target has rounds of its own: one that fails, or is slow, holds up none of the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from consulfwd.config.zones import ZoneSettings
from consulfwd.errors import ApplyError, ConsulfwdError
from consulfwd.keep.quiescence import Quiescence
from consulfwd.zones.budget import ALLOWED_FOR, Allowance
from consulfwd.zones.plan import Plan
from consulfwd.zones.publish.place import Leading, Place, Told
from consulfwd.zones.publish.pushing import Pushing
from consulfwd.zones.publish.remembering import OFTEN, Remembering
from consulfwd.zones.publish.serials import Serials
from consulfwd.zones.publish.telling import FIRST, MOVED, ORDERED, TIME, Teller
from consulfwd.zones.publish.tools import Source, Tools, certain, wait
from consulfwd.zones.writing import Writing
from consulfwd.zones.zone import Zone

if TYPE_CHECKING:
    from consulfwd.zones.publish.moves import Moves

# What is due stays so until there is a plan: it is not acted on again sooner than this (seconds).
AGAIN = 1.0
# So many services are seen at a time, which takes some 0.1 s.
SOME = 200


class Turn:
    """From the first look on until it is cancelled. What Consul says is known by then."""

    def __init__(
        self,
        settings: ZoneSettings,
        places: Sequence[Place],
        source: Source,
        writing: Writing,
        serials: Serials,
        tools: Tools,
        tell: Teller,
        moves: Moves | None = None,
    ) -> None:
        self.zone = Zone(settings, tools.clock(), writing.memory)
        self.writing = writing
        self.began = tools.wall()
        self._settings = settings
        self._places = places
        self._source = source
        self._moves = moves
        self._tools = tools
        self._tell = tell
        self._wakes = [asyncio.Event() for _ in places]
        self._remembering = Remembering(self.zone, places, writing, serials, tools, tell)
        self.pushing = Pushing(self.zone, writing, self._remembering, serials, tools, tell)
        serials.begin(writing.memory.served)
        for place in places:
            place.complete = False
            served = writing.memory.served.get(place.where)
            if served is not None and isinstance(place.target, Told):
                place.target.given(*served)
            if isinstance(place.target, Leading):
                place.target.lead()

    def call(self, why: str) -> None:
        """Have every target attended to."""
        for place, wake in zip(self._places, self._wakes, strict=True):
            place.call(why)
            wake.set()

    def _hurry(self, why: str) -> None:
        """Have every target attended to, though it was just now."""
        for place, wake in zip(self._places, self._wakes, strict=True):
            place.hurry(why)
            wake.set()

    async def run(self) -> None:
        """Publish until cancelled. Only an error of our own ends it otherwise."""
        await self._see_all()
        self._tell_doubt()
        self.call(FIRST)
        tasks = [
            asyncio.ensure_future(self._keep(*one))
            for one in zip(self._places, self._wakes, strict=True)
        ]
        tasks += [asyncio.ensure_future(self._follow()), asyncio.ensure_future(self._obey())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._remembering.end()
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def once(self, approved: Mapping[str, Plan], patience: float) -> None:
        """Attend to each target once, by what was approved for it if that was asked for.

        So long (seconds) at most it is waited while something is in doubt, or about to go. Raises
        ApplyError for what was approved for another target.
        """
        for where in approved.keys() - {one.where for one in self._places}:
            what = f"nothing was done: the plan is for {where}, which is none of its targets"
            raise ApplyError(self._settings.origin, what, "plan again")
        await self._see_all()
        await certain(self.zone, self._source, self._tools.clock, patience)
        try:
            places = [one for one in self._places if not approved or one.where in approved]
            for place in places:
                place.why.add(ORDERED)
            # One that hangs holds up none of the others.
            await asyncio.gather(
                *(self.pushing.attend(one, approved.get(one.where)) for one in places)
            )
        finally:
            await self._remembering.end()

    async def _see_all(self) -> None:
        """Have the zone see all there is, some of it at a time: the lock is to be renewed, too."""
        catalog, clock = self._source.catalog(), self._tools.clock
        every = list(catalog.services.values())
        for at in range(0, len(every), SOME):
            self.zone.changed(every[at : at + SOME], clock())
            await asyncio.sleep(0)
        self.zone.see(catalog, clock())
        self._see_moves()

    def _see_moves(self) -> bool:
        """Have the zone see where names are that move; return whether there may be a push by it."""
        return self._moves is not None and self._moves.tell(self.zone)

    async def _follow(self) -> None:
        """Have the zone see what changes, and have targets attended to when it may matter."""
        clock, changed, zone = self._tools.clock, self._source.changed, self.zone
        pace = Quiescence(self._settings.quiescence)
        handled, again = -inf, -inf
        while True:
            now = clock()
            if changed.is_set():
                changed.clear()
                pace.changed(now)
                if self._see_moves():
                    self._hurry(MOVED)
            due, quiet = zone.due(), pace.due_at
            at = inf if due is None else max(due, again if due == handled else due)
            if quiet is not None and quiet <= now:
                pace.fired(now)
                if why := self._feed(now):
                    self.call(why)
            elif at <= now:
                assert due is not None
                handled, again = due, now + AGAIN
                # What changed just now waits for more of it.
                why = self._feed(now) if quiet is None else ""
                if zone.wake(now) or why:
                    self.call(why or TIME)
            else:
                await self._remembering.save()
                # What must survive is looked at now and then, too.
                soonest = min(at, inf if quiet is None else quiet, now + OFTEN)
                await wait(changed, soonest - now)

    def _feed(self, now: float) -> str:
        """Have the zone see what changed; return why there may be something to push."""
        before = self.zone.doubt
        why = self._source.feed(self.zone, now)
        self._tell_doubt()
        if self.zone.doubt != before:
            # It is to be seen, though nothing may come of it.
            self._tools.round()
        return why

    def _tell_doubt(self) -> None:
        if doubt := self.zone.doubt:
            self._tell.wrong("doubt", f"nothing that is not in Consul is withdrawn: {doubt}")
        else:
            self._tell.well("doubt", mended="what is not in Consul is withdrawn again")

    async def _obey(self) -> None:
        """Do what people order."""
        writing = self.writing
        while True:
            writing.changed.clear()
            if writing.orders.allow is not None and not writing.orders.paused:
                await self._allow()
            await writing.changed.wait()
            self.call(ORDERED)

    async def _allow(self) -> None:
        """Have more withdrawn, as it was ordered: once, at each target."""
        try:
            allow = await self.writing.take()
        except ConsulfwdError as error:
            self._tell.wrong("allowance", f"an order to allow more cannot be taken: {error}")
            return
        if allow is None:
            return
        left = max(0.0, allow.until - self._tools.wall())
        until = self._tools.clock() + min(left, ALLOWED_FOR)
        allowance = Allowance(allow.number, until, allow.units)
        for place in self._places:
            place.allowance = allowance
        # The order is taken away by now.
        await self._remembering.save(sooner=True)
        self._tell.said(f"{allow.by} allows {allow.number} withdrawals more, once")
        self.call(f"{allow.by} allowed {allow.number} withdrawals")

    async def _keep(self, place: Place, wake: asyncio.Event) -> None:
        """Attend to one target whenever it is due."""
        while True:
            wake.clear()
            left = place.due() - self._tools.clock()
            if left > 0:
                await wait(wake, left)
                continue
            await self.pushing.attend(place)
            self._tools.round()
