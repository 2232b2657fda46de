"""What must hold between zones and the names that move with health in them.

Pure, as `zone_conflicts` is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from consulfwd.config.failover import FailoverSettings
from consulfwd.config.objections import KeyPath, Objection
from consulfwd.config.zone_conflicts import is_below
from consulfwd.config.zones import ZoneSettings

# Below it are the names of addresses, whatever services there are.
_HOSTS = "addr"


def conflicts(
    zones: Sequence[ZoneSettings], failover: Mapping[str, FailoverSettings]
) -> Iterator[Objection]:
    """Yield what keeps names from being published where zones say so."""
    for number, zone in enumerate(zones):
        seen: dict[str, KeyPath] = {}
        for at, name in enumerate(zone.failover):
            path: KeyPath = ("zones", number, "failover", at)
            if name in seen:
                what = f"{name} is in the list already"
                yield Objection(path, what, "take one of them out", (seen[name],))
            else:
                seen[name] = path
                yield from _of(path, zone, name, failover)


def _of(
    path: KeyPath, zone: ZoneSettings, name: str, failover: Mapping[str, FailoverSettings]
) -> Iterator[Objection]:
    origin: KeyPath = (*path[:2], "origin")
    record = failover.get(name)
    if record is None:
        mend = "add it to failover, or take it out here"
        yield Objection(path, f"{name} is no name of failover", mend)
    elif record.failback == "manual":
        # Orders reach whoever answers; a publisher would never go back.
        what = f"{name} goes back by order, and a publisher is given none"
        mend = "have it go back by itself: automatic, or {after: 300}"
        yield Objection(path, what, mend, (("failover", name, "failback"),))
    if zone.names_in is not None:
        what = f"{zone.origin} is a reverse zone, where no name has addresses"
        yield Objection(path, what, "take it out", (origin,))
    elif not is_below(name, zone.origin):
        mend = f"name one below {zone.origin}, or take it out"
        yield Objection(path, f"{name} is not in the zone", mend, (origin,))
    elif is_below(name, f"{_HOSTS}.{zone.origin}"):
        what = f"{name} is among the names of addresses, below {_HOSTS}.{zone.origin}"
        yield Objection(path, what, "take another name")
    for alias in zone.aliases:
        if f"{alias}.{zone.origin}" == name:
            where: KeyPath = (*path[:2], "aliases", alias)
            yield Objection(path, f"{name} is an alias, too", "take one of them out", (where,))
