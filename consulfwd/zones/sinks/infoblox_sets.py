"""Objects of one zone together: sets of records, and the checksum by which a zone is known.

What belongs here: what they are, and what they are after a push. Must not know: fields of objects,
how they are asked for. Pure. There is no serial to go by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from consulfwd.zones.model import Act, Key, RRset, applied
from consulfwd.zones.sinks.infoblox_objects import Held
from consulfwd.zones.target import Base

# Stands for the TTL of records that have none of their own or several: the longest there can be
# (RFC 2181 section 8), which no setting allows, so that it is mended.
NO_TTL = (1 << 31) - 1


def base(found: Iterable[Held], other: Iterable[Key]) -> Base:
    """Return what a zone holds. The mark is a checksum of all that."""
    ours: dict[Key, dict[bytes, int | None]] = {}
    foreign: dict[Key, dict[bytes, int | None]] = {}
    for one in found:
        (ours if one.ours else foreign).setdefault(one.key, {})[one.data] = one.ttl
    for key in other:
        foreign.setdefault(key, {}).setdefault(b"", None)
    total = sum(
        _sum(key, data, ttl, whose)
        for whose, records in ((True, ours), (False, foreign))
        for key, values in records.items()
        for data, ttl in values.items()
    )
    return Base(
        mark=_mark(total),
        ours={key: _together(values) for key, values in ours.items()},
        foreign={key: _together(values) for key, values in foreign.items()},
    )


def pushed(before: Base, acts: Iterable[Act]) -> Base | None:
    """Return what a zone holds once acts were done there; None where that cannot be told.

    It is as `base` has it of what is there then, at the cost of the acts.
    """
    total = int(before.mark, 16)
    done = list(acts)
    for act in done:
        for found, times in ((act.before, -1), (act.after, 1)):
            if found is None:
                continue
            if found.ttl == NO_TTL:
                return None
            total += times * sum(_sum(act.key, data, found.ttl, True) for data in found.data)
    return Base(_mark(total), applied(before.ours, done), before.foreign)


def _sum(key: Key, data: bytes, ttl: int | None, ours: bool) -> int:
    line = repr((key.name, key.type, data, ttl, ours)).encode()
    return int.from_bytes(sha256(line).digest(), "big")


def _mark(total: int) -> str:
    return f"{total % (1 << 256):064x}"


def rrset(found: Iterable[Held]) -> RRset:
    """Return the set that objects of one name and type are."""
    return _together({one.data: one.ttl for one in found})


def _together(values: Mapping[bytes, int | None]) -> RRset:
    ttls = set(values.values())
    ttl = ttls.pop() if len(ttls) == 1 else None
    return RRset(NO_TTL if ttl is None else ttl, frozenset(values))
