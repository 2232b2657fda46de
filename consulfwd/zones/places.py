"""The services of one datacenter: which are followed, and which are to be looked at now.

What belongs here: what follows from the list of services, from checks that are bad, from numbers of
instances. Must not know: how Consul is asked, zones. No reply takes a service out here: that it is
gone is believed when its own reading says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from consulfwd.consul import hints
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.hints import Checked
from consulfwd.consul.values import Listed
from consulfwd.zones.reading import Instances
from consulfwd.zones.seen import Seen


class Listing(NamedTuple):
    """What follows from a list of services: whom to follow, whom to look at."""

    new: list[Instances]
    look: list[Instances]


class Place:
    """One datacenter, "" for that of the agents.

    `label` is how it is called, "" while that is not known. `pending` are those that are neither
    known nor given up yet; once there were none, it is `complete`. `listed` has the services of the
    list that are wanted, with their tags; `over`, how many there was no room for.
    """

    def __init__(self, datacenter: str) -> None:
        self.datacenter = self.label = datacenter
        self.list = Fact(FactKind.SERVICES, "", datacenter)
        self.checks = [Fact(FactKind.CHECKS, state, datacenter) for state in hints.STATES]
        self.facts: dict[str, Instances] = {}
        self.pending: set[Fact] = set()
        self.complete = False
        self.listed: dict[str, tuple[str, ...]] = {}
        self.over = 0
        # What the list was, and how far Consul had counted, when it was looked at last.
        self.seen: object = None
        self.index = 0
        self._wanted: dict[str, bool] = {}
        # Names that differ in case alone: Consul answers for each with the instances of all.
        self._alike: dict[str, list[str]] = {}
        self._bad: dict[Fact, tuple[Checked, ...]] = {}
        self._counts: Mapping[str, int] | None = None
        self._written: Mapping[str, int] | None = None

    @property
    def hubs(self) -> list[Fact]:
        """Those on which all others depend."""
        return [self.list, *self.checks]

    @property
    def where(self) -> str:
        """Where it is, behind what is there."""
        return f" in {self.datacenter}" if self.datacenter else ""

    def list_is(
        self, value: Iterable[Listed], wanted: Callable[[str], bool], room: int
    ) -> Listing:
        """Take the list of all services; `room` is for how many more there is."""
        self.seen = value
        tags = {one.name: one.tags for one in value}
        known = self._wanted
        self._wanted = {
            name: known[name] if name in known else wanted(name) for name in tags
        }
        before, self.listed = self.listed, {
            name: found for name, found in tags.items() if self._wanted[name]
        }
        new: list[Instances] = []
        over = 0
        for name in self.listed:
            if name in self.facts:
                continue
            fact = _instances(name, self.datacenter)
            if fact is None:
                continue
            if len(new) >= room:
                over += 1
                continue
            new.append(fact)
        self.over = over
        look = [
            fact
            for name, fact in self.facts.items()
            if name not in self.listed or before.get(name) != self.listed[name]
        ]
        self.facts.update((fact.name, fact) for fact in new)
        self.pending.update(new)
        self._alike = _alike(self.facts)
        named = {one.name for one in look}
        look += [self.facts[one] for one in sorted(self._with_alike(named) - named)]
        return Listing(new, look)

    def checks_are(
        self,
        hub: Fact,
        value: tuple[Checked, ...],
        known: Mapping[Fact, tuple[Seen, ...]],
    ) -> list[Instances]:
        """Take whose checks are bad; return the services of those that were not, or are no more."""
        before = self._bad.get(hub)
        self._bad[hub] = value
        if before is None or before is value:
            return []
        changed = frozenset(before) ^ frozenset(value)
        names = self._with_alike(one.service for one in changed if one.service)
        found = [self.facts[name] for name in sorted(names) if name in self.facts]
        nodes = {one.node for one in changed if not one.service}
        if nodes:
            found += [
                fact
                for name, fact in self.facts.items()
                if name not in names
                and any(one.whose.node in nodes for one in known.get(fact, ()))
            ]
        return found

    def counts_are(self, now: Mapping[str, int]) -> list[Instances]:
        """Take how many instances each service has; return those of which that is different."""
        before, self._counts = self._counts, now
        return self._differing(before, now)

    def written_are(self, now: Mapping[str, int]) -> list[Instances]:
        """Take when those of each were written; return those of which that is different."""
        before, self._written = self._written, now
        return self._differing(before, now)

    def _differing(
        self, before: Mapping[str, int] | None, now: Mapping[str, int]
    ) -> list[Instances]:
        if before is None:
            return []
        names = sorted(self._with_alike(hints.differing(before, now)))
        return [self.facts[name] for name in names if name in self.facts]

    def _with_alike(self, names: Iterable[str]) -> set[str]:
        """Return these names, and those that Consul does not tell from them."""
        found = set(names)
        alike = {other for one in found for other in self._alike.get(one, ())}
        return found | {one for one in alike if one in self.facts}

    def ask_again(self, wanted: Callable[[str], bool]) -> None:
        """Forget the services that are not wanted any more; others may be, and not be known."""
        self._wanted, self.seen, self.complete = {}, None, False
        for name in [one for one in self.facts if not wanted(one)]:
            self.pending.discard(self.facts.pop(name))


def _alike(every: Collection[str]) -> dict[str, list[str]]:
    if len({name.lower() for name in every}) == len(every):
        return {}
    folded: dict[str, list[str]] = {}
    for name in every:
        folded.setdefault(name.lower(), []).append(name)
    return {one: names for names in folded.values() if len(names) > 1 for one in names}


def _instances(name: str, datacenter: str) -> Instances | None:
    try:
        return Instances.of(name, datacenter)
    except ValueError:
        # Consul cannot be asked for it, and no name of a zone could be made of it.
        return None
