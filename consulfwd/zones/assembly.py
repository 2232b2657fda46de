"""The records of all services, joined to what the zone shall hold.

What belongs here: whose a name is that several claim. Must not know: Consul, targets, what may be
changed. Pure. Work is in proportion to what changed, also where very many services are at one
address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from consulfwd.dns import const, names
from consulfwd.zones.claims import Claim, Contribution, Objection, Rank
from consulfwd.zones.model import Key, Records, RRset

# Those that claims can have.
TYPES = (const.A, const.AAAA, const.CNAME, const.SRV, const.TXT, const.PTR)


class Assembly:
    """What a zone shall hold, by what each service contributes."""

    __slots__ = (
        "_claims", "_contributions", "_full", "_joint", "_lost", "_most", "_objecting", "_wanted",
        "_winning",
    )  # fmt: skip

    def __init__(self, most: int = 10_000) -> None:
        # Records of a type at a name that several services have together, at most.
        self._most = most
        self._contributions: dict[str, Contribution] = {}
        self._objecting: set[str] = set()
        # Of each name: who claims it.
        self._claims: dict[bytes, dict[str, Claim]] = {}
        # Of each name: those who do not have it though they claim it.
        self._lost: dict[bytes, tuple[Objection, ...]] = {}
        # Names that are those of addresses, and of these the ones with more than is there.
        self._joint: set[bytes] = set()
        self._full: set[bytes] = set()
        # Of each name: what is there, of all who claim it.
        self._winning: dict[bytes, Mapping[int, RRset]] = {}
        self._wanted: dict[Key, RRset] = {}

    @property
    def wanted(self) -> Records:
        """What the zone shall hold; it changes with the next `put`."""
        return self._wanted

    def objections(self) -> Iterator[Objection]:
        """Yield all there are, service by service and then name by name, in a stable order."""
        for service in sorted(self._objecting):
            yield from self._contributions[service].objections
        for name in sorted(self._lost):
            yield from self._lost[name]
        for name in sorted(self._full):
            number = len(self._claims[name])
            why = f"{number} services have records there, of which no more than {self._most} are"
            yield Objection(names.to_text(name), why)

    def services_at(self, name: bytes) -> Iterable[str]:
        """Return who claims a name."""
        return self._claims.get(name, {}).keys()

    def put(self, contribution: Contribution) -> set[Key]:
        """Take what a service has now instead of what it had; return what differs in the zone."""
        service = contribution.service
        before = self._contributions.get(service)
        old: Mapping[bytes, Claim] = {} if before is None else before.claims
        new = contribution.claims
        if new or contribution.objections:
            self._contributions[service] = contribution
        else:
            self._contributions.pop(service, None)
        if contribution.objections:
            self._objecting.add(service)
        else:
            self._objecting.discard(service)
        changed: set[Key] = set()
        for name in old.keys() | new.keys():
            was, after = old.get(name), new.get(name)
            if was != after:
                self._claim(name, service, after)
                if name in self._joint and was is None and after is not None:
                    changed |= self._join(name, after)
                elif not self._is_anothers(name, was, after):
                    changed |= self._decide(name)
        return changed

    def _claim(self, name: bytes, service: str, claim: Claim | None) -> None:
        at = self._claims.setdefault(name, {})
        if claim is None:
            del at[service]
            if not at:
                del self._claims[name]
        else:
            at[service] = claim

    def _join(self, name: bytes, claim: Claim) -> set[Key]:
        """Have one more service be at an address."""
        if claim.rank is not Rank.HOST:
            return self._decide(name)
        sets, over = _joined((self._winning[name], claim.sets), self._most)
        if over:
            self._full.add(name)
        return self._set(name, sets)

    def _is_anothers(self, name: bytes, was: Claim | None, after: Claim | None) -> bool:
        """Return whether what a service had at an address is there all the same, by another."""
        if after is not None or was is None or was.rank is not Rank.HOST or name in self._full:
            return False
        return any(one == was for one in self._claims.get(name, {}).values())

    def _decide(self, name: bytes) -> set[Key]:
        claims = self._claims.get(name, {})
        sets: Mapping[int, RRset] = {}
        lost: list[Objection] = []
        self._joint.discard(name)
        self._full.discard(name)
        if claims:
            service = min(claims, key=lambda one: (claims[one].rank, one))
            first = claims[service]
            sets = first.sets
            if first.rank is Rank.HOST:
                self._joint.add(name)
                every = (one.sets for one in claims.values() if one.rank is Rank.HOST)
                sets, over = _joined(every, self._most)
                if over:
                    self._full.add(name)
            for other in sorted(claims):
                if other != service and not claims[other].rank == first.rank == Rank.HOST:
                    lost.append(_objection(name, other, service, first.rank))
        if lost:
            self._lost[name] = tuple(lost)
        else:
            self._lost.pop(name, None)
        return self._set(name, sets)

    def _set(self, name: bytes, sets: Mapping[int, RRset]) -> set[Key]:
        before = self._winning.get(name, {})
        if sets:
            self._winning[name] = sets
        else:
            self._winning.pop(name, None)
        changed = set()
        for type_ in before.keys() | sets.keys():
            after = sets.get(type_)
            if before.get(type_) != after:
                key = Key(name, type_)
                changed.add(key)
                if after is None:
                    del self._wanted[key]
                else:
                    self._wanted[key] = after
        return changed


def _joined(
    several: Iterable[Mapping[int, RRset]], most: int
) -> tuple[Mapping[int, RRset], bool]:
    """Join what names by address hold: one address, or the names of all that is there (PTR).

    Return also whether that was more than so many of a type, which are the first.
    """
    data: dict[int, set[bytes]] = {}
    ttls: dict[int, int] = {}
    for sets in several:
        for type_, rrset in sets.items():
            data.setdefault(type_, set()).update(rrset.data)
            ttls[type_] = min(ttls.get(type_, rrset.ttl), rrset.ttl)
    over = any(len(one) > most for one in data.values())
    kept = {
        type_: frozenset(sorted(one)[:most] if len(one) > most else one)
        for type_, one in data.items()
    }
    return {type_: RRset(ttls[type_], one) for type_, one in kept.items()}, over


def _objection(name: bytes, loser: str, winner: str, rank: Rank) -> Objection:
    fixed = {Rank.HOST: "an address", Rank.MOVING: "a failover record"}
    whose = fixed.get(rank) or (ascii(winner) if winner else "an alias")
    subject = ascii(loser) if loser else "an alias"
    return Objection(subject, f"the name {names.to_text(name)} is that of {whose}")
