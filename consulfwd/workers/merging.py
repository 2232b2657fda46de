"""What several workers see, as one picture. Pure.

What counts is added up, with what those counted that are gone: a counter never goes back. Of a
server the worst that any worker sees is shown: a fault is not to hide behind another's luck.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from consulfwd.core.states import State
from consulfwd.ops.snapshot import (
    CacheSeen,
    ChangeSeen,
    ResolverSeen,
    TimesSeen,
    UpstreamSeen,
)

# The same change, seen by several, within so many seconds.
TOGETHER = 5.0
_WORST = [one.value for one in (State.UP, State.PROBING, State.SUSPECT, State.DOWN)]
# Of these not the sum is told, but the most: each worker has it for the same reader.
_ALIKE = ("querylog_tails", "dnstap_connected")


class Past:
    """What workers counted that are gone."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.admin: Counter[str] = Counter()
        self.sent: Counter[tuple[str, str, int]] = Counter()
        self.changes: Counter[tuple[str, str, int]] = Counter()
        self.times: dict[str, TimesSeen] = {}
        # Queries over their clients' limits.
        self.over = 0

    def add(
        self,
        counters: Mapping[str, float],
        admin: Mapping[str, float],
        seen: ResolverSeen | None,
    ) -> None:
        """Take over what one counted."""
        self.counters.update(counters)
        self.admin.update({name: one for name, one in admin.items() if name not in _ALIKE})
        if seen is not None:
            self.sent.update({_key(one): one.sent for one in seen.upstreams})
            self.changes.update({_key(one): one.changes for one in seen.upstreams})
            self.times = {one.kind: one for one in _times([*self.times.values()], [seen])}


def merged(head: ResolverSeen, seen: Sequence[ResolverSeen], past: Past) -> ResolverSeen:
    """Return what the workers see as one; addresses, watches and the like are the head's."""
    first = seen[0] if seen else head
    return replace(
        head,
        groups=first.groups,
        upstreams=tuple(_upstream(one, seen, past) for one in first.upstreams),
        changes=_changes(seen),
        counters=added([past.counters, *(one.counters for one in seen)]) or head.counters,
        in_flight=sum(one.in_flight for one in seen),
        cache=CacheSeen(
            sum(one.cache.entries for one in seen),
            sum(one.cache.denials for one in seen),
            sum(one.cache.size for one in seen),
        ),
        querylog=first.querylog,
        upstreams_in_all=first.upstreams_in_all,
        round_trips=tuple(_times([*past.times.values()], seen)),
    )


def added(counts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return counters added up by name."""
    total: dict[str, float] = {}
    for one in counts:
        for name, value in one.items():
            known = total.get(name, 0)
            total[name] = max(known, value) if name in _ALIKE else known + value
    return total


def _key(seen: UpstreamSeen) -> tuple[str, str, int]:
    return seen.transport, seen.address, seen.port


def _upstream(first: UpstreamSeen, seen: Sequence[ResolverSeen], past: Past) -> UpstreamSeen:
    key = _key(first)
    those = [one for each in seen for one in each.upstreams if _key(one) == key] or [first]
    worst = max(those, key=lambda one: _WORST.index(one.state) if one.state in _WORST else 0)
    return replace(
        worst,
        rtt=first.rtt if first.rtt is not None else worst.rtt,
        rtts=first.rtts,
        loops=any(one.loops for one in those),
        behind=next((one.behind for one in those if one.behind), ""),
        drained=any(one.drained for one in those),
        barred=any(one.barred for one in those),
        waiting=sum(one.waiting for one in those),
        sent=sum(one.sent for one in those) + past.sent[key],
        changes=sum(one.changes for one in those) + past.changes[key],
    )


def _changes(seen: Sequence[ResolverSeen]) -> tuple[ChangeSeen, ...]:
    """Return the changes that anybody saw, each once, in the order they came."""
    most = max((len(one.changes) for one in seen), default=0)
    found: list[ChangeSeen] = []
    told: dict[tuple[str, str, str], float] = {}
    for one in sorted((each for part in seen for each in part.changes), key=lambda one: one.at):
        what = one.server, one.before, one.after
        if one.at - told.get(what, float("-inf")) >= TOGETHER:
            found.append(one)
            told[what] = one.at
    return tuple(found[len(found) - most :] if most else ())


def _times(past: Sequence[TimesSeen], seen: Sequence[ResolverSeen]) -> list[TimesSeen]:
    total: dict[str, TimesSeen] = {}
    for one in (*past, *(each for part in seen for each in part.round_trips)):
        known = total.get(one.kind)
        if known is None:
            total[one.kind] = one
        else:
            counts = tuple(map(sum, zip(known.counts, one.counts, strict=True)))
            total[one.kind] = replace(one, counts=counts, seconds=known.seconds + one.seconds)
    return list(total.values())
