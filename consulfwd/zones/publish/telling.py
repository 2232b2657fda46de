"""What the log says of a zone that is published: each thing once, and again while it lasts.

What belongs here: the words, and when they are written. Must not know how anything is done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from consulfwd.config.zones import ZoneSettings
from consulfwd.core.alarms import Alarms
from consulfwd.zones.plan import Plan, summary
from consulfwd.zones.publish import status

log = logging.getLogger("consulfwd.publish")

# Why a target is attended to, as the audit log says it.
FIRST, TIME, LOOKED = "the first look", "time has passed", "a look now and then"
ORDERED, MOVED = "an order", "a failover record moved"
# Objections, and what is withheld for other reasons than the budget, told each by itself.
MOST = 10
_SERVICES = 5


def name_of(settings: ZoneSettings) -> str:
    """Return what a zone is called in messages."""
    return settings.origin + (f" (view {settings.view})" if settings.view else "")


def of_services(names: Iterable[str]) -> str:
    """Return which services changed, in a few words."""
    found = sorted(set(names))
    more = f" and {len(found) - _SERVICES} more" if len(found) > _SERVICES else ""
    return f"Consul: {', '.join(found[:_SERVICES])}{more}" if found else "Consul"


class Teller:
    """Writes the log of one zone."""

    def __init__(self, zone: str, alarms: Alarms, clock: Callable[[], float]) -> None:
        self._zone = zone
        self._alarms = alarms
        self._clock = clock

    def wrong(self, thing: str, what: str) -> None:
        """Tell that something is wrong; the same thing is told again after a while."""
        if self._alarms.wrong((self._zone, thing), self._clock(), what):
            log.warning("%s: %s", self._zone, what)

    def well(self, thing: str, *, mended: str = "") -> None:
        """Note that it is well; tell it, as what is `mended`, if it was told that it was not."""
        if self._alarms.well((self._zone, thing)) and mended:
            log.info("%s: %s", self._zone, mended)

    def said(self, what: str) -> None:
        """Tell what happened."""
        log.info("%s: %s", self._zone, what)

    def failed(self, where: str, what: str, pause: float) -> bool:
        """Tell that a target could not be brought up to date; return whether that was told now."""
        told = self._alarms.wrong((self._zone, where), self._clock(), what.split("\n")[0])
        if told:
            log.error(
                "%s: %s: not published; next try in %.0f s: %s", self._zone, where, pause, what
            )
        return told

    def pushed(self, where: str, plan: Plan, serial: int | None, seconds: float) -> None:
        """Tell what was done."""
        at = "" if serial is None else f", serial {serial}"
        done = summary(plan) if plan.acts else "written anew"
        log.info("%s: %s: %s (%.2f s%s)", self._zone, where, done, seconds, at)

    def planned(self, where: str, plan: Plan) -> None:
        """Tell what is withheld, and what cannot be had."""
        self._withheld(where, plan)
        self._list("not in the zone", [str(one) for one in plan.objections])

    def too_little(self, where: str, plan: Plan, number: int) -> None:
        """Tell that what was allowed does not do."""
        self.wrong(
            f"{where}: allowed {number}",
            f"{where}: {number} withdrawals were allowed, and {plan.over} wait: so all of them do;"
            f" `{plan.command}` allows exactly these",
        )

    def _withheld(self, where: str, plan: Plan) -> None:
        thing = f"{where} budget"
        if plan.over:
            what = (
                f"{where}: {plan.over} withdrawals are more than the budget has, and wait;"
                f" `{plan.command}` allows exactly these"
            )
            self.wrong(thing, what)
        else:
            self.well(thing, mended=f"{where}: nothing waits for the budget any more")
        others = [one for one in plan.withheld if not plan.over or one.kind.value != "budget"]
        self._list(f"{where}: withheld", [f"{status.told(one.act)}: {one.why}" for one in others])

    def _list(self, what: str, found: Sequence[str]) -> None:
        """Tell each of a list, as far as it is short."""
        for one in found[:MOST]:
            self.wrong(f"{what}: {one}", f"{what}: {one}")
        if len(found) > MOST:
            more = len(found) - MOST
            self.wrong(f"{what}: more", f"{what}: {more} more, see `consulfwd zone status`")


class Brief(Teller):
    """Leaves out what whoever asked for one push is shown all the same, as what became of it."""

    def failed(self, where: str, what: str, pause: float) -> bool:
        """Tell nothing: there is no next try."""
        return True

    def planned(self, where: str, plan: Plan) -> None:
        """Tell nothing."""
