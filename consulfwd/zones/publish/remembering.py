"""What of a zone must survive a restart and a takeover, written down when there is news.

What belongs here: when. What it is, is in `memory`; where it goes, `writing`'s affair.

What goes by a push counts before that begins (`begin`), and is written down by then: whoever is
killed meanwhile has withdrawn no more than is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from consulfwd.errors import ConsulfwdError
from consulfwd.zones.budget import Spent
from consulfwd.zones.memory import Memory
from consulfwd.zones.plan import Plan
from consulfwd.zones.publish.place import Place
from consulfwd.zones.publish.serials import Serials
from consulfwd.zones.publish.telling import Teller
from consulfwd.zones.publish.tools import Tools
from consulfwd.zones.writing import Writing
from consulfwd.zones.zone import Zone

# What changes without a push is written down so often at most (seconds).
OFTEN = 30.0
_NOTHING = Spent()


class Remembering:
    """The memory of a zone while this program is the one that writes."""

    def __init__(
        self,
        zone: Zone,
        places: Sequence[Place],
        writing: Writing,
        serials: Serials,
        tools: Tools,
        tell: Teller,
    ) -> None:
        # Why what must survive could not be written down the last time.
        self.fault = ""
        self._zone = zone
        self._places = places
        self._writing = writing
        self._serials = serials
        self._tools = tools
        self._tell = tell
        self._saved = writing.memory
        self._saved_at = -inf
        for place in places:
            place.allowance = writing.memory.allowances.get(place.where)

    async def begin(self, plan: Plan) -> bool:
        """Note that a plan is about to be carried out; return whether it may be."""
        return not self._zone.begun(plan, self._tools.clock()) or await self._save()

    async def save(self, *, sooner: bool = False) -> None:
        """Write it down if there is news; `sooner` is at once, else now and then."""
        if sooner or self._tools.clock() >= self._saved_at + OFTEN:
            await self._save(always=False)

    async def end(self) -> None:
        """Write it down for whoever comes next, if that can still be done."""
        await self._save(always=False, last=True)

    async def _save(self, *, always: bool = True, last: bool = False) -> bool:
        now = self._tools.clock()
        self._saved_at = now
        memory = self._zone.memory(now).replace(
            serial=self._serials.newest(),
            served=dict(self._serials.served),
            allowances={one.where: one.allowance for one in self._places if one.allowance},
        )
        if not (always or _news(memory, self._saved)):
            return True
        try:
            await self._writing.save(memory)
        except ConsulfwdError as error:
            self.fault = f"what must survive is not written down: {error}"
            # Whoever is no more the one that writes has nothing to write down either.
            if not last:
                self._tell.wrong("memory", self.fault)
            return False
        self._saved, self.fault = memory, ""
        self._tell.well("memory")
        return True


def _news(memory: Memory, before: Memory) -> bool:
    """Return whether it has what the other has not; what only grows old is no news."""
    if _held(memory) != _held(before):
        return True
    return any(
        {item for _, item in getattr(one, kind)}
        - {item for _, item in getattr(before.spent.get(where, _NOTHING), kind)}
        for where, one in memory.spent.items()
        for kind in ("names", "addresses")
    )


def _held(memory: Memory) -> object:
    held = frozenset((one.whose, one.suppressed) for one in memory.penalised)
    return held, dict(memory.kept), dict(memory.served), dict(memory.allowances)
