"""A plan: what is done to one target, what is not, and why.

What belongs here: the plan as a value, to show and to hand on. Must not know how it came about, or
how it is carried out. Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from consulfwd.dns import names
from consulfwd.zones.claims import Objection
from consulfwd.zones.guards import Withheld
from consulfwd.zones.model import Act
from consulfwd.zones.target import Base, Push


class Totals(NamedTuple):
    """How many names and addresses of ours there are."""

    names: int
    addresses: int


NONE = Totals(0, 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a target that holds what `mark` says, by what `catalog` says.

    `catalog` is a digest of what Consul said. `before` and `after` count what is there. `vanish`
    are the names that are not there any more afterwards, `appear` those that are new. `over` is
    how many withdrawals more than the budget has are wanted, and `over_of` the services that they
    are of; `spends` says that an allowance is used up by it. `held` are instances that are
    offered, or not, otherwise than Consul says just now.
    """

    zone: str
    view: str
    target: str
    mark: str
    catalog: str
    acts: tuple[Act, ...] = ()
    withheld: tuple[Withheld, ...] = ()
    objections: tuple[Objection, ...] = ()
    held: tuple[Objection, ...] = ()
    before: Totals = NONE
    after: Totals = NONE
    vanish: frozenset[bytes] = frozenset()
    appear: frozenset[bytes] = frozenset()
    over: int = 0
    over_of: tuple[str, ...] = ()
    spends: bool = False

    def push(
        self,
        base: Base,
        holder: str = "",
        number: int = 0,
        may: Callable[[], str] = lambda: "",
    ) -> Push:
        """Return what a target is given. Raises ValueError for a base that is not this plan's."""
        if base.mark != self.mark:
            raise ValueError(f"the plan is for {self.mark!r}, not {base.mark!r}")
        return Push(base, self.acts, holder, number, may)

    @property
    def command(self) -> str:
        """What allows exactly what is over the budget, "" if nothing is."""
        return allow_command(self.zone, self.view, self.over) if self.over else ""

    def differs(self, base: Base, catalog: str, zone: str, view: str, target: str) -> str:
        """Return why this plan may not be done there, by that catalog; "" if it may."""
        for what, planned, now in (
            ("zone", self.zone, zone),
            ("view", self.view, view),
            ("target", self.target, target),
        ):
            if planned != now:
                return f"it is for the {what} {planned or 'without a name'}, not {now or 'that'}"
        if self.mark != base.mark:
            # What was there of each RRset is in the plan: others' changes are named.
            acts = [act for act in self.acts if base.ours.get(act.key) != act.before]
            changed = sorted({names.to_text(act.key.name) for act in acts})
            named = f", at {', '.join(changed[:5])}" if changed else ", at names it leaves alone"
            return f"the zone was changed meanwhile ({self.mark} is {base.mark} now){named}"
        if self.catalog != catalog:
            return "what Consul says of the services is another thing now"
        return ""


def allow_command(zone: str, view: str, number: int) -> str:
    """Return the command that lets so many withdrawals be done in spite of the budget."""
    words = ["consulfwd", "zone", "apply", zone, "--allow", str(number)]
    return shlex.join(words + (["--view", view] if view else []))


def summary(plan: Plan) -> str:
    """Return a plan in one line, such as "2 names changed, 1 withheld"."""
    changed = len({act.key.name for act in plan.acts} - plan.vanish - plan.appear)
    parts = [
        f"{number} {'name' if number == 1 else 'names'} {what}"
        for number, what in (
            (len(plan.appear), "added"),
            (changed, "changed"),
            (len(plan.vanish), "withdrawn"),
            (len({one.act.key.name for one in plan.withheld}), "withheld"),
        )
        if number
    ]
    return ", ".join(parts) or "nothing to do"
