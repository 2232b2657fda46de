"""Records as they stand in the messages of transfers, whose question is the zone's name.

What belongs here: bytes. Pure. As each message has the question, the zone's name is at the same
place in all of them: what points there is the same wherever a record stands, and is made once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from consulfwd.dns import const, names
from consulfwd.dns.wire import RECORD
from consulfwd.zones.model import Apex, Key, RRset

# To the question's name, which begins behind the header (RFC 1035 section 4.1.4).
POINTER = b"\xc0\x0c"
# In data of these, and of no newer types, names may be compressed (RFC 3597 section 4).
_COMPRESSED = frozenset((const.NS, const.CNAME, const.PTR))


class Piece(NamedTuple):
    """Records one after the other, and how many."""

    octets: bytes
    number: int


NOTHING = Piece(b"", 0)


def of_set(key: Key, rrset: RRset, origin: bytes, end: bytes = POINTER) -> Piece:
    """Return the records of a set, `end` standing for the zone's name in all names."""
    return of_data(key, rrset.ttl, rrset.data, origin, end)


def of_data(
    key: Key, ttl: int, data: Iterable[bytes], origin: bytes, end: bytes = POINTER
) -> Piece:
    """Return the same for some data."""
    owner = name(key.name, origin, end)
    parts = []
    for one in data:
        rdata = name(one, origin, end) if key.type in _COMPRESSED else one
        parts.append(owner + RECORD.pack(key.type, const.IN, ttl, len(rdata)) + rdata)
    return Piece(b"".join(parts), len(parts))


def name(wire: bytes, origin: bytes, end: bytes = POINTER) -> bytes:
    """Return a name, with `end` for the zone's name if it ends with that."""
    if end is origin or not names.is_under(wire, origin):
        return wire
    return wire[: -len(origin)] + end


def soa_data(apex: Apex, serial: int) -> bytes:
    """Return the data of the SOA record, uncompressed."""
    times = (serial, apex.refresh, apex.retry, apex.expire, apex.minimum)
    return apex.primary + apex.mail + b"".join(one.to_bytes(4, "big") for one in times)


def soa(apex: Apex, serial: int, origin: bytes, end: bytes = POINTER) -> Piece:
    """Return the SOA record."""
    data = name(apex.primary, origin, end) + name(apex.mail, origin, end)
    data += soa_data(apex, serial)[-20:]
    return Piece(end + RECORD.pack(const.SOA, const.IN, apex.ttl, len(data)) + data, 1)


def filled(pieces: Iterable[Piece], room: int) -> Iterator[Piece]:
    """Yield the same records in their order, in as few pieces as hold `room` octets each."""
    parts: list[bytes] = []
    size = count = 0
    for octets, number in pieces:
        if size + len(octets) <= room:
            parts.append(octets)
            size += len(octets)
            count += number
            continue
        for one, each in _apart(octets, number, room):
            if parts and size + len(one) > room:
                yield Piece(b"".join(parts), count)
                parts, size, count = [], 0, 0
            parts.append(one)
            size += len(one)
            count += each
    if parts:
        yield Piece(b"".join(parts), count)


def _apart(octets: bytes, number: int, room: int) -> Iterator[Piece]:
    """Yield a piece, or its records one by one if it is larger than any message."""
    if len(octets) <= room:
        yield Piece(octets, number)
        return
    start = 0
    while start < len(octets):
        at = start
        while 0 < octets[at] < 0xC0:
            at += octets[at] + 1
        at += 2 if octets[at] else 1
        end = at + RECORD.size + RECORD.unpack_from(octets, at)[3]
        yield Piece(octets[start:end], 1)
        start = end
