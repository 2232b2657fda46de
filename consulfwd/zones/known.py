"""What is known of one target: how it was left, and where it may differ from what is wanted.

What belongs here: which part of a target must be compared, and what a push means for that. Must not
know services, nor why anything is wanted. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from consulfwd.zones.budget import Budget, Wish
from consulfwd.zones.deciding import addresses_of
from consulfwd.zones.model import Act, Key, Records, counted, difference, owners
from consulfwd.zones.plan import NONE, Plan, Totals
from consulfwd.zones.target import Base


class Known:
    """One target. `totals` are those of when it was last compared or pushed to.

    `replaced` says whether what goes at a name is replaced by that, which the budget is not for.
    """

    __slots__ = ("_begun", "_replaced", "budget", "mark", "totals", "touched")

    def __init__(
        self, budget: Budget, replaced: Callable[[bytes], bool] = lambda name: False
    ) -> None:
        self.budget = budget
        self._replaced = replaced
        self.mark: str | None = None
        self.totals = NONE
        self.touched: set[Key] = set()
        # Whether something was begun there of which the end is not known.
        self._begun = False

    def touch(self, keys: Iterable[Key]) -> None:
        """Note that these may be wanted otherwise by now."""
        if self.mark is not None:
            self.touched.update(keys)

    def compare(self, base: Base, wanted: Records) -> list[Act]:
        """Return what is to be done; work is in proportion to what may differ, if that is known."""
        if base.mark and self.mark == base.mark and not self._begun:
            acts = difference(base.ours, wanted, self.touched)
        else:
            there, addresses = owners(base.ours), list(counted(base.ours))
            self.totals = Totals(len(there), len(addresses))
            self.budget.there(there, addresses)
            self._begun = False
            acts = difference(base.ours, wanted)
        self.mark = base.mark
        self.touched = {act.key for act in acts}
        return acts

    def begun(self, plan: Plan, now: float) -> bool:
        """Note that a plan is about to be carried out; return whether anything goes by it."""
        lost, _ = self._moved(plan)
        if not (lost.names or lost.addresses):
            return False
        self._begun = True
        self.budget.done(lost, Wish(), now)
        return True

    def pushed(self, plan: Plan, now: float, mark: str, wanted: Records) -> bool:
        """Note that a plan was carried out, and what mark there is by that; "" is: in part.

        Return whether the plan was the last one.
        """
        self._begun = False
        self.budget.done(*self._moved(plan), now)
        if self.mark != plan.mark:
            self.mark = None
            return False
        self.mark = mark
        self.totals = plan.after
        # What changed since the plan was made is among those touched, too.
        done = {act.key: act.after for act in plan.acts}
        self.touched = {
            key for key in self.touched if key not in done or done[key] != wanted.get(key)
        }
        return True

    def _moved(self, plan: Plan) -> tuple[Wish, Wish]:
        """Return what went and came by a plan."""
        went, came = (addresses_of(plan.acts, went=one) for one in (True, False))
        gone = plan.vanish
        counted = frozenset(one for one in went if one[0] in gone or not self._replaced(one[0]))
        return Wish(gone, counted), Wish(plan.appear, came)
