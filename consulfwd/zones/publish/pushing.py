"""One round at one target: what it holds is read, a plan made and brought into force, all told.

Before anything goes, that it will is written down (`remembering`); where it cannot be, nothing goes
and what comes is published all the same.

What belongs here: the order of that. When it happens is in `turn`, what is done in `carrying`.
"""

from __future__ import annotations

import asyncio
import logging
from math import inf
from typing import NamedTuple

from consulfwd.errors import ApplyError, ConsulfwdError
from consulfwd.zones.budget import Allowance
from consulfwd.zones.plan import Plan, summary
from consulfwd.zones.publish import audit
from consulfwd.zones.publish.carrying import Done, carry_out, holds_nothing
from consulfwd.zones.publish.place import Leading, Place
from consulfwd.zones.publish.remembering import Remembering
from consulfwd.zones.publish.serials import Serials
from consulfwd.zones.publish.status import told
from consulfwd.zones.publish.telling import FIRST, LOOKED, Teller
from consulfwd.zones.publish.tools import Tools
from consulfwd.zones.target import Base
from consulfwd.zones.writing import Writing
from consulfwd.zones.zone import Zone

log = logging.getLogger("consulfwd.publish")

# While a target holds nothing yet and what Consul says is in doubt, it is looked at so often.
WAIT = 2.0
# From so many acts on a push may take so long that it is told, and how often (seconds).
LONG_PUSH, PROGRESS = 500, 10.0


class _Round(NamedTuple):
    """One target, what it holds and is to hold; when that began, by the clock and of the day.

    `spends` is the allowance that is used up by it.
    """

    place: Place
    base: Base
    plan: Plan
    why: frozenset[str]
    began: float
    wall: int
    spends: Allowance | None


class Pushing:
    """Brings plans into force."""

    def __init__(
        self,
        zone: Zone,
        writing: Writing,
        remembering: Remembering,
        serials: Serials,
        tools: Tools,
        tell: Teller,
    ) -> None:
        self.wrote = False
        self._audit_fault = ""
        self._zone = zone
        self._writing = writing
        self._remembering = remembering
        self._serials = serials
        self._tools = tools
        self._tell = tell

    async def attend(self, place: Place, approved: Plan | None = None) -> None:
        """Bring a target up to date, as far as that may be. Raises nothing but CancelledError.

        With a plan that was `approved`, by exactly that or not at all.
        """
        why, clock = place.begun(), self._tools.clock
        if paused := self._writing.orders.paused:
            place.waits(inf, "it was paused", paused)
            place.complete = True
            self._tell.wrong("paused", f"nothing is published: {paused}")
            return
        self._tell.well("paused", mended="published again after a pause")
        began = clock()
        try:
            base: Base = await self._tools.in_thread(place.target.read)
            place.serial, place.mark = base.serial, base.mark
            plan = place.plan = self._zone.plan(base, clock(), place.where, place.allowance)
            if approved is not None:
                self._compare(place, base, plan, approved)
            if self._zone.doubt and (holds_nothing(base) or _behind(place)):
                # What is not sure is no reason to begin to answer by it.
                what = f"not begun: {self._zone.doubt}"
                self._tell.wrong(place.where, f"{place.where}: {what}")
                place.waits(clock() + WAIT, FIRST, what)
                return
            wall = round(self._tools.wall())
            # It is for once: it is not there any more by the time that it is used.
            spends, held = (place.allowance if plan.spends else None), ""
            place.allowance = None if spends else place.allowance
            if not await self._remembering.begin(plan):
                place.allowance, spends = spends or place.allowance, None
                held = self._remembering.fault
                plan = place.plan = self._zone.plan(base, clock(), place.where, hold=held)
                if approved is not None:
                    self._compare(place, base, plan, approved)
            done = await self._push(_Round(place, base, plan, why, began, wall, spends))
        except Exception as error:
            self._failed(place, why, error)
            return
        if done.wrote:
            place.wrote(clock())
        self._tell.planned(place.where, plan)
        if place.allowance is not None and plan.over and clock() < place.allowance.until:
            self._tell.too_little(place.where, plan, place.allowance.number)
        if done.applied.idle:
            found = ", ".join(done.applied.idle)
            self._noted(place, f"in force once its server starts ({found} found nobody running)")
        elif held:
            self._noted(place, f"nothing is withdrawn: {held}")
        elif done.left:
            first, *others = (f"{told(one.act)}: {one.why}" for one in done.left)
            more = f" (and {len(others)} more)" if others else ""
            self._noted(place, f"left as it was: {first}{more}")
        else:
            place.attended(clock())
            self._tell.well(place.where, mended=f"{place.where}: published again")

    def _compare(self, place: Place, base: Base, plan: Plan, approved: Plan) -> None:
        """Refuse what is not what was approved."""
        settings = self._zone.settings
        which = settings.origin, settings.view or "", place.where
        why = approved.differs(base, self._zone.catalog, *which)
        if not why and approved.acts != plan.acts:
            why = "time has passed: planned anew it is another plan"
        if why:
            raise ApplyError(place.where, f"nothing was done: {why}", "plan again")

    async def _push(self, one: _Round) -> Done:
        place, plan, writing = one.place, one.plan, self._writing
        push = plan.push(one.base, writing.holder, writing.number, writing.may)
        ended: list[Done] = []

        def work() -> Done:
            # Written down in the same thread: whoever gives up waiting does not end that.
            try:
                done = carry_out(place.target, push, writing.why, counts=place.counts)
            except Exception as error:
                if plan.acts:
                    self._audit(one, error=_first(error))
                raise
            if done.wrote:
                self._audit(one, done)
                ended.append(done)
            return done

        progress = asyncio.ensure_future(self._progress(place.where, len(plan.acts)))
        try:
            done: Done = await self._tools.in_thread(work)
        finally:
            progress.cancel()
            self._tell_audit()
            # Also where nobody waits for it any more.
            for each in ended:
                self._note(one, each)
            if not ended:
                place.allowance = place.allowance or one.spends
        if ended:
            await self._remembering.save(sooner=True)
        return done

    def _note(self, one: _Round, done: Done) -> None:
        """Note what was pushed."""
        place, plan, now = one.place, one.plan, self._tools.clock()
        self.wrote = True
        self._zone.pushed(plan, now, done.mark)
        if done.served is not None:
            self._serials.note(place.where, done.served)
        place.serial, place.mark = done.serial, done.mark
        place.pushed, place.what = one.wall, summary(plan)
        self._tell.pushed(place.where, plan, done.serial, now - one.began)

    async def _progress(self, where: str, acts: int) -> None:
        if acts < LONG_PUSH:
            return
        began = self._tools.clock()
        self._tools.progress(f"{where}: {acts} changes are pushed, which may take its time")
        while True:
            await asyncio.sleep(PROGRESS)
            self._tools.progress(f"{where}: at it for {self._tools.clock() - began:.0f} s")

    def _failed(self, place: Place, why: frozenset[str], error: Exception) -> None:
        ours = not isinstance(error, (ConsulfwdError, OSError))
        if self._noted(place, repr(error) if ours else str(error) or _first(error), why) and ours:
            log.error("an error of consulfwd's own:", exc_info=error)

    def _noted(self, place: Place, said: str, why: frozenset[str] = frozenset()) -> bool:
        """Note what is wrong, and return whether it was told now."""
        # Errors name the target, too.
        said = said.removeprefix(f"{place.where}: ")
        since = place.failing_since or round(self._tools.wall())
        pause = place.failed(self._tools.clock(), f"{place.where}: {said.splitlines()[0]}", why)
        place.failing_since = since
        return self._tell.failed(place.where, said, pause)

    def _audit(self, one: _Round, done: Done | None = None, error: str = "") -> None:
        """Write a push down; in a thread. What goes wrong is told later."""
        text = audit.line(
            one.plan,
            audit.Who(self._writing.holder, self._writing.number),
            one.why or frozenset((LOOKED,)),
            self._tools.wall(),
            serial=None if done is None else done.serial,
            mark="" if done is None else done.mark,
            seconds=self._tools.clock() - one.began,
            error=error,
        )
        try:
            self._tools.audit(text)
        except ConsulfwdError as fault:
            self._audit_fault = str(fault)
        else:
            self._audit_fault = ""

    def _tell_audit(self) -> None:
        if self._audit_fault:
            self._tell.wrong("audit", self._audit_fault)
        else:
            self._tell.well("audit")


def _behind(place: Place) -> bool:
    """Return whether there is more at a target than anybody here knows of."""
    return isinstance(place.target, Leading) and place.target.behind


def _first(error: Exception) -> str:
    """Return the first line of what is wrong."""
    return (str(error) or type(error).__name__).splitlines()[0]
