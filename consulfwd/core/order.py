"""Who is asked first, and how many may be asked besides: the policies, and the hedging budget.

The order follows from what `upstreams` knows of each one's health. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from consulfwd.core.health import Health
from consulfwd.core.states import State
from consulfwd.core.upstreams import LIMP, LIMP_TIMES, Upstream, all_down

# A member of a `fastest` group that nobody asked for so long (seconds) is measured again.
MEASURE_AGAIN = 5.0
# The reserve for hedges: for how many seconds of a host's own queries, and its bounds.
COVERED_S, LEAST_RESERVE, MOST_RESERVE = 0.2, 20.0, 1000.0
RANK = {State.UP: 0, State.PROBING: 1, State.SUSPECT: 2, State.DOWN: 3}


class Group:
    """Upstreams that can stand in for each other, in the order of a policy.

    `policy` is ordered (as configured), fastest (smallest round-trip time) or round_robin.
    """

    def __init__(
        self, label: str, members: Sequence[Upstream], policy: str, health: Health
    ) -> None:
        self.label = label
        self.members = tuple(members)
        self.policy = policy
        self._health = health
        self._version = -1
        self._order: tuple[Upstream, ...] = ()
        self._healthy = 0
        self._turn = 0

    def part(self, wanted: Callable[[Upstream], bool]) -> Group:
        """Return the group of the members that are `wanted`: this one, if all are."""
        members = [one for one in self.members if wanted(one)]
        if len(members) == len(self.members):
            return self
        return Group(self.label, members, self.policy, self._health)

    def order(self) -> tuple[Upstream, ...]:
        """Return the members in the order they are to be asked: healthy ones first.

        Those that lead back to this server are left out.
        """
        if self._version != self._health.version or self.policy == "fastest":
            self._put_in_order()
        if self.policy != "round_robin":
            return self._order
        healthy = self._healthy
        if healthy < 2:
            return self._order
        self._turn = turn = (self._turn + 1) % healthy
        order = self._order
        return order[turn:healthy] + order[:turn] + order[healthy:]

    def standing(self) -> tuple[tuple[Upstream, ...], int]:
        """Return the same, with how many of the first take turns (0 or 1: none do).

        It is nobody's turn for that: whoever only looks changes nothing.
        """
        if self._version != self._health.version or self.policy == "fastest":
            self._put_in_order()
        return self._order, self._healthy if self.policy == "round_robin" else 0

    def next_order(self) -> tuple[Upstream, ...]:
        """Return what `order` would, without taking anybody's turn."""
        order, turns = self.standing()
        if turns < 2:
            return order
        turn = (self._turn + 1) % turns
        return order[turn:turns] + order[:turn] + order[turns:]

    def _put_in_order(self) -> None:
        members = (one for one in self.preferred() if not one.looped)
        self._order = order = tuple(sorted(members, key=rank))
        self._healthy = sum(rank(one) == rank(order[0]) < 1 for one in order)
        self._version = self._health.version

    def preferred(self) -> Sequence[Upstream]:
        """Return all members in the order of the policy alone, as if all were well."""
        if self.policy != "fastest":
            return self.members
        # Steps of a quarter keep two equally fast servers from taking turns by noise.
        return sorted(self.members, key=lambda member: _step(member.srtt))

    def first(self) -> Upstream | None:
        """Return whom to ask first, if anyone: `order()[0]`, at the cost of a comparison."""
        order = self._order
        if self.policy != "ordered" or self._version != self._health.version:
            order = self.order()
        return order[0] if order else None

    def to_measure(self, now: float) -> list[Upstream]:
        """Return the healthy members to be probed for their pace: those that limp.

        If the order is by speed, also those nobody has heard of lately: whoever was slow once
        would otherwise never be asked again, fast as it may be by now.
        """
        before = now - MEASURE_AGAIN if self.policy == "fastest" else -math.inf
        return [
            one
            for one in self.members
            if one.state is State.UP
            and not one.drained
            and (one.slow or one.last_reply <= before)
        ]

    def limping(self) -> set[Upstream]:
        """Return the agents that take much longer than the fastest of those that are up."""
        fastest = min(
            (one.srtt for one in self.members if one.state is State.UP and one.srtt),
            default=math.inf,
        )
        limit = max(LIMP, LIMP_TIMES * fastest)
        return {
            one
            for one in self.members
            # Whoever limps must be faster than that by half: it is not to come and go.
            if one.is_agent and one.srtt > (limit / 2 if one.slow else limit)
        }

    def all_down(self) -> bool:
        """Return whether no member is expected to answer."""
        return all_down(self.members)


def note_pace(groups: Iterable[Group], health: Health) -> None:
    """Note which upstreams limp: those that do in every group they are in."""
    found: dict[Upstream, bool] = {}
    for group in groups:
        limping = group.limping()
        for one in group.members:
            found[one] = one in limping and found.get(one, True)
    for one, slow in found.items():
        health.pace(one, slow)


def rank(upstream: Upstream) -> float:
    """Return how far behind an upstream is to be asked: 0 for one that is well in every way.

    One taken out for work comes behind all that are up, well or not.
    """
    return RANK[upstream.state] + (0.75 if upstream.drained else 0.5 if upstream.behind else 0)


def _step(rtt: float) -> int:
    return math.floor(4 * math.log2(max(rtt, 1e-6) * 1e6))


class Budget:
    """Caps hedges to a share of the queries, with a reserve for a burst.

    The reserve must carry the time it takes to notice that an agent went silent. It follows the
    rate at which this host asks (`second`): of thousands of hosts that lose the same agent each is
    to ask the next one no more than it needs to.
    """

    def __init__(self, share: float = 0.10, reserve: float = 100.0) -> None:
        self._share = share
        self._reserve = reserve
        self._tokens = reserve
        self._asked = 0
        # Until it is known: as if so many were asked that the first reserve is right.
        self._rate = reserve / COVERED_S

    def second(self) -> None:
        """Note that a second has passed, and keep a reserve for what is asked in `COVERED_S`."""
        self._rate = max(float(self._asked), self._rate / 2)
        self._asked = 0
        self._reserve = min(max(COVERED_S * self._rate, LEAST_RESERVE), MOST_RESERVE)
        self._tokens = min(self._tokens, self._reserve)

    def earn(self, queries: int = 1) -> None:
        """Note that so many queries were asked."""
        self._asked += queries
        if self._tokens < self._reserve:
            self._tokens = min(self._tokens + self._share * queries, self._reserve)

    def spend(self) -> bool:
        """Return whether one more hedge may be sent, and take it off the budget."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
