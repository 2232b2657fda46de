"""One zone as this program publishes it, whether it is the one that writes it now or not.

What belongs here: what stays from one turn to the next, and what is to be seen. Must not know:
settings files, locks (`writing.Writing` says whether it may), kinds of targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from consulfwd.config.zones import ZoneSettings
from consulfwd.zones.publish import status, telling
from consulfwd.zones.publish.place import Leading, Place
from consulfwd.zones.publish.serials import Serials
from consulfwd.zones.publish.telling import Teller
from consulfwd.zones.publish.tools import Source, Tools
from consulfwd.zones.publish.turn import Turn
from consulfwd.zones.writing import Writing

if TYPE_CHECKING:
    from consulfwd.zones.publish.moves import Moves

# So long (seconds) the first look at Consul may take until targets are attended to all the same:
# nothing is withdrawn then.
FIRST_LOOK = 30.0


class Publisher:
    """Publishes one zone at its targets."""

    def __init__(
        self,
        settings: ZoneSettings,
        places: Sequence[Place],
        source: Source,
        tools: Tools,
        serials: Serials,
        moves: Moves | None = None,
    ) -> None:
        self.settings = settings
        self.places = list(places)
        self.name = telling.name_of(settings)
        self._source = source
        self._tools = tools
        self._serials = serials
        self._moves = moves
        if moves is not None:
            moves.follow(source.changed)
        self.tell = Teller(self.name, tools.alarms, tools.clock)
        # While this program is the one that writes.
        self.turn: Turn | None = None

    @property
    def complete(self) -> bool:
        """Whether every target was attended to without a fault in this turn."""
        return self.turn is not None and all(one.complete for one in self.places)

    def took(self) -> bool:
        """Return whether anything was written since this was last asked."""
        turn = self.turn
        if turn is None:
            return False
        wrote, turn.pushing.wrote = turn.pushing.wrote, False
        return wrote

    def faults(self) -> list[str]:
        """Return what fails now, one line for each target."""
        return [f"{self.name}: {one.fault}" for one in self.places if one.fault]

    def rest(self) -> None:
        """Have nothing answered here: another publisher is known to write."""
        for place in self.places:
            if isinstance(place.target, Leading):
                place.target.rest()

    def call(self, why: str) -> None:
        """Have every target attended to now, in this turn."""
        if self.turn is not None:
            self.turn.call(why)

    async def work(self, writing: Writing) -> None:
        """Publish until cancelled, while this program is the one that writes the zone."""
        await self._source.ready(FIRST_LOOK)
        if self._moves is not None:
            await self._moves.known()
        self.turn = Turn(
            self.settings,
            self.places,
            self._source,
            writing,
            self._serials,
            self._tools,
            self.tell,
            self._moves,
        )
        try:
            await self.turn.run()
        finally:
            self.turn = None
            for place in self.places:
                place.fault = ""

    def status(self, state: str, holder: str, faults: tuple[str, ...]) -> status.Status:
        """Return what there is to see; who writes is `holder` where that is not this one."""
        turn = self.turn
        plan = next((one.plan for one in self.places if one.plan is not None), None)
        objections = () if plan is None else plan.objections
        return status.Status(
            zone=self.settings.origin,
            view=self.settings.view or "",
            state=state,
            holder=holder if turn is None else turn.writing.holder,
            number=0 if turn is None else turn.writing.number,
            since=0.0 if turn is None else turn.began,
            paused="" if turn is None else turn.writing.orders.paused,
            doubt="" if turn is None else turn.zone.doubt,
            faults=faults[: status.MOST],
            targets=tuple(map(_seen, self.places)),
            objections=tuple(map(str, objections[: status.MOST])),
            objections_in_all=len(objections),
            held=() if plan is None else tuple(map(str, plan.held[: status.MOST])),
            moving=() if turn is None else turn.zone.moving.told()[: status.MOST],
        )


def _seen(place: Place) -> status.OfTarget:
    return status.of_plan(
        place.where,
        place.plan,
        place.serial,
        mark=place.mark,
        pushed=place.pushed,
        what=place.what,
        fault=place.fault,
        failing_since=place.failing_since,
    )

