"""What a transfer consists of: the whole zone (RFC 5936), or what changed (RFC 1995).

What belongs here: records in their order. Must not know messages, or who asks. Pure. What is
returned is one version's, whatever becomes of the zone meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from consulfwd.dns import const
from consulfwd.zones import serials
from consulfwd.zones.model import Act, Apex, Key, RRset
from consulfwd.zones.primary import packing
from consulfwd.zones.primary.content import servers
from consulfwd.zones.primary.packing import Piece
from consulfwd.zones.primary.versions import Version, Versions

filled = packing.filled
# Octets of records in one message: a client can begin with it while the next is made.
FULL = 32_000


def soa_of(versions: Versions, end: bytes | None = None) -> Piece:
    """Return the SOA there is now; `end` stands for the zone's name if that is not pointed to."""
    return _soa(versions, versions.now, end)


def all_of(versions: Versions, end: bytes | None = None) -> Iterator[Piece]:
    """Return the whole zone, the SOA first and last."""
    now, origin = versions.now, versions.origin
    assert now is not None
    soa = soa_of(versions, end)
    own = packing.of_set(Key(origin, const.NS), servers(now.apex), origin, _end(end))
    if end is None:
        return chain([soa, own], versions.content.pieces(), [soa])
    sets = list(versions.content.records.items())
    return chain([soa, own], (packing.of_set(*one, origin, end) for one in sets), [soa])


def since(versions: Versions, serial: int, end: bytes | None = None) -> Iterator[Piece]:
    """Return what a secondary with this serial lacks; all of it if that is not known, or shorter.

    The SOA alone says that there is nothing newer.
    """
    now = versions.now
    assert now is not None
    soa = soa_of(versions, end)
    if serial == now.serial or serials.newer(serial, now.serial):
        return iter([soa])
    known = versions.since(serial)
    if known is None:
        return all_of(versions, end)
    before, acts = known
    gone, come = changes(before.apex, now.apex, acts, versions.origin)
    if sum(len(rrset.data) for _, rrset in gone + come) > versions.content.count:
        return all_of(versions, end)
    return chain(
        [soa, _soa(versions, before, end)],
        _packed(gone, versions.origin, end),
        [soa],
        _packed(come, versions.origin, end),
        [soa],
    )


Sets = list[tuple[Key, RRset]]


def changes(before: Apex, after: Apex, acts: Iterable[Act], origin: bytes) -> tuple[Sets, Sets]:
    """Return what goes and what comes, record by record; a TTL is of all of a set."""
    gone: Sets = []
    come: Sets = []
    own = Act(Key(origin, const.NS), servers(before), servers(after))
    for key, old, new in chain([own], acts):
        kept: frozenset[bytes] = frozenset()
        if old is not None and new is not None and old.ttl == new.ttl:
            kept = old.data & new.data
        for sets, one in ((gone, old), (come, new)):
            if one is not None and one.data - kept:
                sets.append((key, RRset(one.ttl, one.data - kept)))
    return gone, come


def _packed(sets: Sets, origin: bytes, end: bytes | None) -> Iterator[Piece]:
    return (packing.of_set(key, rrset, origin, _end(end)) for key, rrset in sets)


def _soa(versions: Versions, version: Version | None, end: bytes | None) -> Piece:
    assert version is not None
    return packing.soa(version.apex, version.serial, versions.origin, _end(end))


def _end(end: bytes | None) -> bytes:
    return packing.POINTER if end is None else end
