"""Names that move with health, in a zone: where each is now, and what is there by that.

What belongs here: such names' records, and which of them may not be touched. Must not know: how it
is found out where a name is. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from consulfwd.dns import const, names
from consulfwd.zones.claims import Claim, Objection, Rank
from consulfwd.zones.model import RRset

UNKNOWN = "it is not known yet where it is: what a target has of it stays"


class Placed(NamedTuple):
    """Where a name is: its addresses, as octets, their TTL in seconds, and why that is so."""

    addresses: frozenset[bytes]
    ttl: int
    why: str


class Moving:
    """The names of one zone that move. None is known before `take`."""

    def __init__(self, found: Iterable[str]) -> None:
        self._texts = {names.from_text(one).lower(): one for one in found}
        self._placed: dict[bytes, Placed | None] = dict.fromkeys(self._texts)

    def __contains__(self, name: bytes) -> bool:
        return name in self._placed

    def __bool__(self) -> bool:
        return bool(self._placed)

    def take(self, placed: Mapping[str, Placed | None]) -> bool:
        """Note where names are, None for one of which it is not known; return whether that is new.

        Whatever was known of a name stays so while it is not known.
        """
        before = dict(self._placed)
        for name, text in self._texts.items():
            self._placed[name] = placed.get(text) or self._placed[name]
        return self._placed != before

    def is_known(self, name: bytes) -> bool:
        """Return whether it is known where one of these names is."""
        return self._placed[name] is not None

    def goes_on(self, name: bytes) -> bool:
        """Return whether a name is one of these, and has addresses: what it loses is replaced."""
        placed = self._placed.get(name)
        return placed is not None and bool(placed.addresses)

    def said(self, name: bytes) -> str:
        """Return what there is to say of a name, "" of one that is none of these."""
        if name not in self._placed:
            return ""
        placed = self._placed[name]
        why = UNKNOWN if placed is None else placed.why
        return f"{self._texts[name]} is a failover record: {why}"

    def told(self) -> tuple[str, ...]:
        """Return what there is to say of all of them, by name."""
        return tuple(self.said(one) for one in sorted(self._texts, key=self._texts.__getitem__))

    def claims(self) -> dict[bytes, Claim]:
        """Return what is at these names. A name without records is nobody else's all the same."""
        return {name: Claim(Rank.MOVING, _sets(placed)) for name, placed in self._placed.items()}

    def objections(self) -> Iterator[Objection]:
        """Yield the names that are not in the zone, and why."""
        for name, placed in self._placed.items():
            subject = f"the failover record {self._texts[name]}"
            if placed is None:
                yield Objection(subject, UNKNOWN)
            elif not placed.addresses:
                yield Objection(subject, f"it has no address: {placed.why}")


def _sets(placed: Placed | None) -> dict[int, RRset]:
    if placed is None:
        return {}
    found = {
        const.A: frozenset(one for one in placed.addresses if len(one) == 4),
        const.AAAA: frozenset(one for one in placed.addresses if len(one) == 16),
    }
    return {type_: RRset(placed.ttl, data) for type_, data in found.items() if data}
