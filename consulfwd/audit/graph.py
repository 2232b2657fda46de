"""Who needs whom, followed to the end: what falls with a host or a rack, and what goes in a circle.

What belongs here: the graph, and what it takes with bounds. Must not know: rules, reports. Pure.
Whoever may register a service writes edges: no recursion, and no more work than `WORK` steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from consulfwd.audit.site import Limits, Need, Service, Site, only

# Edges looked at in one report: 10,000 services that need each other come to so many.
WORK = 3_000_000
# So many hidden needs are told, and so many steps of the way there.
MOST, STEPS = 1_000, 8


@dataclass(frozen=True, slots=True)
class Graph:
    """Needs by service, both ways, sorted. What a service says of itself is not in it."""

    needs: Mapping[str, tuple[str, ...]]
    needed_by: Mapping[str, tuple[str, ...]]


class Fall(NamedTuple):
    """What falls with one place: those that are nowhere else, and those that need them."""

    kind: str
    place: str
    label: str
    direct: tuple[str, ...]
    through: tuple[str, ...]

    @property
    def total(self) -> int:
        """How many."""
        return len(self.direct) + len(self.through)


class Hidden(NamedTuple):
    """A service that is there twice, and needs one that is not; `path` leads there."""

    path: tuple[str, ...]
    kind: str
    place: str


@dataclass(slots=True)
class Work:
    """How many steps are left."""

    left: int = WORK

    @property
    def over(self) -> bool:
        """Whether not all could be followed."""
        return self.left <= 0


def graph(needs: Iterable[Need]) -> Graph:
    """Return the graph of these needs."""
    there: dict[str, set[str]] = {}
    back: dict[str, set[str]] = {}
    for one in needs:
        if one.source != one.target:
            there.setdefault(one.source, set()).add(one.target)
            back.setdefault(one.target, set()).add(one.source)

    def frozen(edges: Mapping[str, set[str]]) -> dict[str, tuple[str, ...]]:
        return {name: tuple(sorted(edges[name])) for name in sorted(edges)}

    return Graph(frozen(there), frozen(back))


def paths_to(root: str, edges: Mapping[str, tuple[str, ...]], work: Work) -> dict[str, str]:
    """Return all that leads to `root`, nearest first, each with the next one on its way there."""
    onward: dict[str, str] = {}
    queue = deque([root])
    while queue and not work.over:
        one = queue.popleft()
        for before in edges.get(one, ()):
            work.left -= 1
            if before != root and before not in onward:
                onward[before] = one
                queue.append(before)
    return onward


def host_of(service: Service) -> str:
    """Return the one host that all healthy instances are on, "" where there are several."""
    return only(one.node.host for one in service.healthy)


def rack_of(service: Service, limits: Limits) -> str:
    """Return the one rack they are in, "" where there are several, or it is not known."""
    return only(one.node.meta.get(limits.rack_key, "") for one in service.healthy)


def falls(site: Site, found: Graph, limits: Limits, work: Work) -> list[Fall]:
    """Return what falls with each host and rack that anything falls with; most of it first."""
    alone: dict[tuple[str, str], list[str]] = {}
    labels: dict[str, str] = {}
    for name in sorted(site.services):
        service = site.services[name]
        if service.proxy or not service.healthy:
            continue
        if host := host_of(service):
            alone.setdefault(("node", host), []).append(name)
            names = sorted({one.node.name for one in service.healthy})
            labels[host] = "/".join(names)
        elif rack := rack_of(service, limits):
            alone.setdefault(("rack", rack), []).append(name)
        if host and (rack := rack_of(service, limits)):
            alone.setdefault(("rack", rack), []).append(name)
    listed = []
    for (kind, place), direct in alone.items():
        through: set[str] = set()
        for root in direct:
            # Those that were reached by another root lead to nobody new.
            if root not in through:
                through |= paths_to(root, found.needed_by, work).keys()
        label = labels.get(place, place) if kind == "node" else place
        rest = tuple(sorted(through - set(direct)))
        listed.append(Fall(kind, place, label, tuple(direct), rest))
    return sorted(listed, key=lambda one: (-one.total, one.kind, one.label, one.place))


def hidden(site: Site, found: Graph, limits: Limits, work: Work) -> list[Hidden]:
    """Return the services that are in several places and need one that is not, with the way."""
    listed = []
    for root in sorted(site.services):
        service = site.services[root]
        if service.proxy or root not in found.needed_by:
            continue
        host, rack = host_of(service), rack_of(service, limits)
        if not service.healthy:
            kind, place = "none", ""
        elif host:
            kind, place = "node", only(one.node.name for one in service.healthy) or host
        elif rack:
            kind, place = "rack", rack
        else:
            continue
        onward = paths_to(root, found.needed_by, work)
        for source in sorted(onward):
            other = site.services.get(source)
            if other is None or other.proxy or source not in site.selected or not other.healthy:
                continue
            if host_of(other) or (kind == "rack" and rack_of(other, limits)):
                # It has a finding of its own.
                continue
            path = [source]
            while path[-1] != root:
                path.append(onward[path[-1]])
            if len(path) > STEPS:
                path[STEPS - 2 : -1] = ["..."]
            listed.append(Hidden(tuple(path), kind, place))
            if len(listed) == MOST:
                return listed
    return listed


def circles(found: Graph) -> list[tuple[str, ...]]:
    """Return the services that need each other in a circle, each group sorted (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    waiting: set[str] = set()
    groups = []
    for start in found.needs:
        if start in index:
            continue
        path: list[tuple[str, int]] = [(start, 0)]
        while path:
            name, at = path.pop()
            if at == 0:
                index[name] = low[name] = len(index)
                stack.append(name)
                waiting.add(name)
            targets = found.needs.get(name, ())
            if at:
                low[name] = min(low[name], low[targets[at - 1]])
            while at < len(targets):
                target = targets[at]
                at += 1
                if target not in index:
                    path += [(name, at), (target, 0)]
                    break
                if target in waiting:
                    low[name] = min(low[name], index[target])
            else:
                if low[name] == index[name]:
                    group = set()
                    while True:
                        one = stack.pop()
                        waiting.discard(one)
                        group.add(one)
                        if one == name:
                            break
                    if len(group) > 1:
                        groups.append(tuple(sorted(group)))
    return sorted(groups)
