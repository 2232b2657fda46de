"""Where things stand in the picture of who needs whom: columns from left to right, few crossings.

What belongs here: which services are drawn, in which column and row. Must not know: SVG, Mermaid.
Pure. Small on purpose: some 60 boxes, columns by the longest way, rows by the middle of neighbours.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from consulfwd.audit.graph import host_of
from consulfwd.audit.report import Report

MOST = 60
_SWEEPS = 6
# What the keys of places begin with that arrows go through.
BETWEEN = "-:"

Kind = Literal["sound", "alone", "hidden", "down", "unknown", "node", "rack"]


class Box(NamedTuple):
    """A service, node or rack: its name, how it is, a few words, its column."""

    key: str
    name: str
    kind: Kind
    words: str
    column: int


class Arrow(NamedTuple):
    """That one needs or stands on the other; `hot` where it falls with it.

    `by` are the places it goes through in columns between.
    """

    source: str
    target: str
    place: bool
    hot: bool
    by: tuple[str, ...] = ()


class Picture(NamedTuple):
    """What is drawn, and how many services are not: for want of room, and as they stand alone.

    `columns` are the keys of boxes, and of places that arrows go through, from the top.
    """

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    columns: tuple[tuple[str, ...], ...]
    left_out: int
    apart: int


def picture(report: Report, most: int = MOST) -> Picture:
    """Return the picture of a report; the same one each time."""
    site = report.site
    edges = sorted({(one.source, one.target) for one in site.needs if one.source != one.target})
    places: dict[str, tuple[str, str]] = {}
    for fall in sorted(report.falls, key=lambda one: (one.kind, one.place)):
        for name in fall.direct:
            # A node is sooner gone than a rack.
            places.setdefault(name, (fall.kind, fall.label))
    concerned = {name for edge in edges for name in edge} | places.keys()
    concerned |= {one for one in site.selected if not site.services[one].healthy}
    shown = _chosen(report, concerned, edges, most)
    edges = [(one, other) for one, other in edges if one in shown and other in shown]
    columns = _columns(sorted(shown), edges)
    through = {one for fall in report.falls for one in fall.through}
    hot = through | {one for fall in report.falls for one in fall.direct}
    down = {name for name, one in site.services.items() if not one.healthy}
    last = max(columns.values(), default=-1) + 1
    keys = {name: f"s:{name}" for name in shown}
    stands: dict[str, list[str]] = {}
    arrows = [Arrow(keys[a], keys[b], False, b in hot or b in down) for a, b in edges]
    boxes: dict[str, tuple[str, Kind, str, int]] = {}
    for name in sorted(shown):
        kind_of = _kind(report, name, places, through)
        boxes[keys[name]] = (name, kind_of, _words(report, name), columns[name])
        if name in places:
            kind, label = places[name]
            stands.setdefault(f"{kind[0]}:{label}", []).append(name)
            arrows.append(Arrow(keys[name], f"{kind[0]}:{label}", True, True))
    for key in sorted(stands):
        of: Kind = "node" if key[0] == "n" else "rack"
        count = len(stands[key])
        words = f"{of}: {count} service{'' if count == 1 else 's'} only here"
        boxes[key] = (key[2:], of, words, last)
    standing = {key: one[3] for key, one in boxes.items()}
    arrows = [_led(number, one, standing) for number, one in enumerate(arrows)]
    order = _order(standing, arrows)
    drawn = [Box(key, *boxes[key]) for column in order for key in column if key in boxes]
    everyone = {one for one in site.services if not site.services[one].proxy} | concerned
    return Picture(
        tuple(drawn),
        tuple(arrows),
        order,
        len(concerned - shown),
        len(everyone - concerned),
    )


def _chosen(
    report: Report, concerned: set[str], edges: Sequence[tuple[str, str]], most: int
) -> set[str]:
    """Return which are drawn: what falls with a place, and whatever needs it, most of it first."""
    if len(concerned) <= most:
        return concerned
    back: dict[str, list[str]] = {}
    for source, target in edges:
        back.setdefault(target, []).append(source)
    shown: dict[str, None] = {}
    for fall in report.falls:
        # So that there is room for others.
        room = min(len(shown) + most // 3, most)
        left = deque(sorted(fall.direct, key=lambda name: (-len(back.get(name, ())), name)))
        seen = set(left)
        while left and len(shown) < room:
            name = left.popleft()
            shown[name] = None
            nearer = [one for one in back.get(name, ()) if one not in seen]
            seen.update(nearer)
            # Who needs it is drawn beside it.
            left.extendleft(reversed(nearer))
    rest = sorted(concerned - shown.keys(), key=lambda name: (-len(back.get(name, ())), name))
    return {*shown, *rest[: most - len(shown)]}


def _kind(report: Report, name: str, places: Collection[str], through: Collection[str]) -> Kind:
    service = report.site.services.get(name)
    if service is None:
        return "unknown"
    if not service.healthy:
        return "down"
    if name in places:
        return "alone"
    return "hidden" if name in through else "sound"


def _words(report: Report, name: str) -> str:
    service = report.site.services.get(name)
    if service is None:
        return "not in the catalog"
    count = len(service.healthy)
    if not count:
        return "down"
    hosts = len({one.node.host for one in service.healthy})
    instances = f"{count} instance{'' if count == 1 else 's'}"
    return instances if host_of(service) and count == 1 else f"{instances} on {hosts}"


def _columns(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return the column of each: right of all that need it; a circle is cut at its first name."""
    onward: dict[str, list[str]] = {name: [] for name in names}
    waits = dict.fromkeys(names, 0)
    for source, target in edges:
        onward[source].append(target)
        waits[target] += 1
    columns = dict.fromkeys(names, 0)
    left = list(names)
    while left:
        name = next((one for one in left if not waits[one]), left[0])
        left.remove(name)
        for target in onward[name]:
            if target in left:
                waits[target] -= 1
                columns[target] = max(columns[target], columns[name] + 1)
    # Who is joined with none stands beside the places.
    last = max(columns.values(), default=0)
    joined = {name for edge in edges for name in edge}
    return {name: column if name in joined else last for name, column in columns.items()}


def _led(number: int, one: Arrow, columns: dict[str, int]) -> Arrow:
    """Return an arrow with a place in each column between, which it adds to them."""
    between = range(columns[one.source] + 1, columns[one.target])
    by = tuple(f"{BETWEEN}{number}:{column}" for column in between)
    columns.update(zip(by, between, strict=True))
    return one._replace(by=by)


def _order(
    columns: Mapping[str, int], arrows: Sequence[Arrow]
) -> tuple[tuple[str, ...], ...]:
    """Return what is in each column, from the top: each beside what it is joined with."""
    beside: dict[str, list[str]] = {key: [] for key in columns}
    for arrow in arrows:
        way = [arrow.source, *arrow.by, arrow.target]
        for one, other in itertools.pairwise(way):
            beside[one].append(other)
            beside[other].append(one)
    order: list[list[str]] = [[] for _ in range(max(columns.values(), default=-1) + 1)]
    for key in sorted(columns):
        order[columns[key]].append(key)
    rows = {key: float(row) for listed in order for row, key in enumerate(listed)}

    def middle(key: str) -> tuple[float, str]:
        near = [rows[one] for one in beside[key]]
        return (sum(near) / len(near) if near else rows[key], key)

    for sweep in range(_SWEEPS):
        for listed in reversed(order) if sweep % 2 else order:
            listed.sort(key=middle)
            # In the middle of the column, as all columns are drawn.
            shift = len(listed) / 2
            rows.update({key: row - shift for row, key in enumerate(listed)})
    return tuple(tuple(listed) for listed in order)
