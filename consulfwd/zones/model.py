"""What a zone holds: RRsets by owner and type, and the differences between two states of it.

What belongs here: the values that all the other modules of zones hand to each other, and comparing
them. Must not know: Consul, settings, targets, how anything is written. Pure. The SOA and the NS
records of the origin are not among the records: they are the zone's own (`Apex`), and whoever
serves the zone may have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from consulfwd.dns import const, names

# Those that are counted as addresses where something is withdrawn.
ADDRESSES = frozenset({const.A, const.AAAA})


class Key(NamedTuple):
    """An owner name in wire form, folded to lower case and absolute, and a type."""

    name: bytes
    type: int

    def order(self) -> tuple[list[bytes], int]:
        """Return what sorts names as RFC 4034 section 6.1 does, and then types."""
        return names.labels_of(self.name)[::-1], self.type


class RRset(NamedTuple):
    """The TTL (seconds) and the data of a set: each in wire form, names in it uncompressed."""

    ttl: int
    data: frozenset[bytes]


Records = Mapping[Key, RRset]


class Apex(NamedTuple):
    """What a zone says of itself; names in wire form, times in seconds (RFC 1035, RFC 2308)."""

    primary: bytes
    mail: bytes
    refresh: int
    retry: int
    expire: int
    minimum: int
    ttl: int
    servers: tuple[bytes, ...]


class Act(NamedTuple):
    """One RRset that becomes another; None stands for none."""

    key: Key
    before: RRset | None
    after: RRset | None

    @property
    def withdrawn(self) -> frozenset[bytes]:
        """The data that were there and are not any more."""
        before = frozenset() if self.before is None else self.before.data
        return before if self.after is None else before - self.after.data


def difference(before: Records, after: Records, keys: Iterable[Key] | None = None) -> list[Act]:
    """Return what makes one of the other, in a stable order; of these keys only, if given.

    Work is in proportion to the keys.
    """
    among = before.keys() | after.keys() if keys is None else set(keys)
    acts = (Act(key, before.get(key), after.get(key)) for key in among)
    return sorted((act for act in acts if act.before != act.after), key=lambda act: act.key.order())


def applied(records: Records, acts: Iterable[Act]) -> dict[Key, RRset]:
    """Return the records as they are once these are done."""
    result = dict(records)
    for act in acts:
        if act.after is None:
            result.pop(act.key, None)
        else:
            result[act.key] = act.after
    return result


def owners(records: Records) -> set[bytes]:
    """Return the names that have records."""
    return {key.name for key in records}


def counted(records: Records) -> Iterator[tuple[bytes, bytes]]:
    """Yield each address with its name: what the budget counts besides names."""
    for key, found in records.items():
        if key.type in ADDRESSES:
            for one in found.data:
                yield key.name, one
