"""Which rule a name falls under: the longest matching suffix decides.

A route says whom to ask (groups, in order) or what is answered here. Special names (`special`) are
routes like any other. Pure: built once from plain values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple, Protocol

from consulfwd.core.order import Group, rank
from consulfwd.core.upstreams import Upstream
from consulfwd.dns.message import Message
from consulfwd.dns.names import ROOT, suffixes, to_text

ORIGIN_SIZE = 4
# Servers that people are always shown; of more, those that are not well.
MOST_SHOWN = 300


class Kind(Enum):
    """What a route does with a query."""

    CONSUL = "Consul agents"
    FORWARD = "conditional forwarders"
    RECURSE = "recursors"
    SERVER = "the server that was named"
    LOCALHOST = "answered here"
    NOTHING = "answered here: no such name"
    NO_DATA = "answered here: no data"
    MOVES = "answered here by health"

    __hash__ = object.__hash__


class Moved(NamedTuple):
    """What a name that moves is answered with now, and why there is nothing (RFC 8914)."""

    message: Message
    ede: tuple[int, str] | None = None


class Moves(Protocol):
    """Who knows what a name that moves with health is answered with."""

    def answer(self, question: bytes) -> Moved:
        """Return the answer to a question (folded) now; it may be another the next moment."""

    def reasons(self) -> list[str]:
        """Return why that is the answer, in lines for people."""


@dataclass(frozen=True)
class Route:
    """One rule: names at or under `zone` go to `groups`, in order.

    apex     the zone whose SOA a local negative answer carries
    then     where to go when Consul denies the name (reverse lookups)
    why      the rule in words, for `resolve --trace`
    origin   tells answers of this route from those of others there are or were (`Routes`)
    moves    who answers, for a name that moves with health
    """

    zone: bytes
    kind: Kind
    groups: tuple[Group, ...] = ()
    why: str = ""
    then: Route | None = field(default=None, repr=False)
    origin: bytes = bytes(ORIGIN_SIZE)
    moves: Moves | None = field(default=None, repr=False, compare=False)

    def plan(self) -> tuple[Upstream, ...]:
        """Return every upstream of this route in the order to ask.

        First the healthy ones, group by group; then the others, group by group.
        """
        if len(self.groups) == 1:
            return self.groups[0].order()
        return self._joined(group.order() for group in self.groups)

    def next_plan(self) -> tuple[Upstream, ...]:
        """Return the same for whoever only looks: nobody's turn is taken."""
        if len(self.groups) == 1:
            return self.groups[0].next_order()
        return self._joined(group.next_order() for group in self.groups)

    @staticmethod
    def _joined(orders: Iterable[tuple[Upstream, ...]]) -> tuple[Upstream, ...]:
        seen: dict[tuple[str, str, int], Upstream] = {}
        for order in orders:
            for upstream in order:
                seen.setdefault(upstream.key, upstream)
        return tuple(sorted(seen.values(), key=lambda one: min(rank(one), 1)))

    def nobody(self) -> str:
        """Return why there is nobody to ask, when the plan is empty."""
        members = dict.fromkeys(one.name for group in self.groups for one in group.members)
        if not members:
            return "no upstream is configured for this name"
        leads = "leads" if len(members) == 1 else "lead"
        return f"{', '.join(members)} {leads} back to this server, and there is no other"

    def answers_as(self, other: Route) -> bool:
        """Return whether the data come from where those of another route for this zone do.

        So they do while one at least is asked that was asked before: who are asked for one zone
        say the same.
        """
        if self.kind is not other.kind or (self.then is None) is not (other.then is None):
            return False
        asked, before = ({one.key for one in each.groups[0].members} if each.groups else set()
                         for each in (self, other))
        if asked.isdisjoint(before) and (asked or before):
            return False
        return self.then is None or other.then is None or self.then.answers_as(other.then)

    @property
    def local(self) -> bool:
        """Return whether this is answered without asking anyone."""
        return self.kind in (Kind.LOCALHOST, Kind.NOTHING, Kind.NO_DATA, Kind.MOVES)


class Routes:
    """All routes by zone. There is always one for the root.

    Those of `alone` are for one name each, not for what is under it.

    Each has an origin of its own; a route that answers as the one for its zone among those
    `before` has that one's, so that what it gave is still good.

    There may be thousands, so whatever is looked at regularly is found out once: `groups` and
    `upstreams`, each once, the `agents` among these, as `shown` these and the recursors for all
    names before others, and as `measured` the groups whose order may follow from how fast their
    members are.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        before: Routes | None = None,
        alone: Iterable[Route] = (),
    ) -> None:
        self._routes: dict[bytes, Route] = {}
        for route in routes:
            self._routes.setdefault(route.zone, route)
        if ROOT not in self._routes:
            self._routes[ROOT] = Route(ROOT, Kind.RECURSE, why="no recursors are configured")
        self._last_origin: int = before._last_origin if before is not None else 0
        for zone, route in self._routes.items():
            old = before._routes.get(zone) if before is not None else None
            if old is not None and route.answers_as(old):
                origin = old.origin
            else:
                self._last_origin += 1
                origin = self._last_origin.to_bytes(ORIGIN_SIZE, "big")
            self._routes[zone] = replace(route, origin=origin)
        self._alone: dict[bytes, Route] = {}
        for route in alone:
            self._last_origin += 1
            origin = self._last_origin.to_bytes(ORIGIN_SIZE, "big")
            self._alone[route.zone] = replace(route, origin=origin)

        steps = (step for route in self for step in (route, route.then) if step is not None)
        self.groups = tuple(dict.fromkeys(group for step in steps for group in step.groups))
        self.measured = tuple(
            group
            for group in self.groups
            if group.policy == "fastest" or any(one.is_agent for one in group.members)
        )
        members = (one for group in self.groups for one in group.members)
        self.upstreams = tuple({one.key: one for one in members}.values())
        self.agents = tuple(one for one in self.upstreams if one.is_agent)
        outside = [one for group in self._routes[ROOT].groups for one in group.members]
        most = max(len(self.agents), MOST_SHOWN)
        # Agents, and who is asked for all other names.
        self.usual = tuple(dict.fromkeys((*self.agents, *outside)))[:most]
        self.shown = tuple(dict.fromkeys((*self.usual, *self.upstreams)))[:most]
        self._asking = self._find_asking()

    def _find_asking(self) -> dict[Upstream, dict[tuple[Kind, Group], tuple[Route, Group]]]:
        found: dict[Upstream, dict[tuple[Kind, Group], tuple[Route, Group]]] = {
            one: {} for one in self.upstreams
        }
        for route in self:
            for group in route.groups if route.then is None else ():
                for one in group.members:
                    found.setdefault(one, {}).setdefault((route.kind, group), (route, group))
        return found

    def knows(self, upstream: Upstream) -> bool:
        """Return whether a server may be asked."""
        return upstream in self._asking

    def asking(self, upstream: Upstream) -> Iterable[tuple[Route, Group]]:
        """Return the first route of each kind that asks a server, with each group it does so by.

        Routes that fall back to another are left out.
        """
        return self._asking.get(upstream, {}).values()

    def find(self, name: bytes) -> Route:
        """Return the route with the longest zone that `name` (folded) is at or under."""
        route = self._alone.get(name) or longest(self._routes, name)
        assert route is not None, "the root has a route"
        return route

    def __iter__(self) -> Iterator[Route]:
        yield from self._routes.values()
        yield from self._alone.values()

    def consul_zone(self, name: bytes) -> bool:
        """Return whether `name` is exactly the apex of a Consul domain (for its DS)."""
        route = self._routes.get(name)
        return route is not None and route.kind is Kind.CONSUL


def longest(routes: Mapping[bytes, Route], name: bytes) -> Route | None:
    """Return the route, of some by zone, with the longest zone that `name` is at or under."""
    for suffix in suffixes(name):
        route = routes.get(suffix)
        if route is not None:
            return route
    return None


def describe(route: Route) -> str:
    """Return a route as one line for people: zone, what it does, why."""
    return f"{to_text(route.zone)} -> {route.kind.value}" + (f" ({route.why})" if route.why else "")
