"""Who is offered under each name: those who are up, or else those who were last.

What belongs here: that a name does not become empty while its service is there. Must not know:
records, targets, time. Pure.

A name that has none who is up keeps those it had last, as long as the catalog has them; and then
whoever the catalog has, those in maintenance last: an answer that may work is better than none.
Only what nobody in the catalog goes by is gone. `last: remove` wants it otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from consulfwd.config.zones import Last
from consulfwd.zones.claims import Group, Member
from consulfwd.zones.seen import Whose
from consulfwd.zones.steady import Grade, Standing

Offered = Mapping[Group, tuple[Member, ...]]
Kept = Mapping[Group, frozenset[Whose]]


class Lasting:
    """The names of all services, and who is offered under each."""

    def __init__(
        self,
        last: Last,
        groups: Callable[[Member], Iterable[Group]],
        kept: Kept | None = None,
    ) -> None:
        self._last = last
        self._groups = groups
        self._offered: dict[str, Offered] = {}
        self._kept: dict[str, dict[Group, frozenset[Whose]]] = {}
        for group, whose in (kept or {}).items():
            self._kept.setdefault(group.service, {})[group] = whose

    def offered(self, service: str, standings: Iterable[Standing]) -> Offered:
        """Return who is offered under each name of a service, now that this is so."""
        found: dict[Group, list[Standing]] = {}
        for one in standings:
            for group in self._groups(one.member):
                found.setdefault(group, []).append(one)
        before = self._offered.get(service, {})
        kept = self._kept.pop(service, {})
        result, still = {}, {}
        for group, here in found.items():
            up = tuple(one.member for one in here if one.grade is Grade.UP)
            if not up and self._last == "keep":
                last = kept.get(group) or frozenset(one.whose for one in before.get(group, ()))
                if last:
                    up = _remaining(here, last)
                    still[group] = frozenset(one.whose for one in up)
            if up:
                result[group] = up
        if still:
            self._kept[service] = still
        if result:
            self._offered[service] = result
        else:
            self._offered.pop(service, None)
        return result

    def has(self, group: Group, standings: Iterable[Standing]) -> bool:
        """Return whether anybody in the catalog goes by a name, whatever their health."""
        return any(group in self._groups(one.member) for one in standings)

    def now(self, service: str) -> Offered:
        """Return who is offered under each name of a service."""
        return self._offered.get(service, {})

    def kept(self, service: str) -> Kept:
        """Return the names of a service that have only those who were last, and who that is."""
        return self._kept.get(service, {})

    def all_kept(self) -> Iterator[tuple[Group, frozenset[Whose]]]:
        """Yield all such names, in a stable order."""
        for service in sorted(self._kept):
            yield from sorted(self._kept[service].items())


def _remaining(here: list[Standing], last: frozenset[Whose]) -> tuple[Member, ...]:
    found = [one for one in here if one.member.whose in last]
    found = found or [one for one in here if one.grade is not Grade.MAINTENANCE] or here
    return tuple(one.member for one in found)
