"""The journal of a zone as octets: a whole version, and the differences that follow it.

What belongs here: how that is written, and read within bounds. Must not know files. Pure.

Each entry has a length and a checksum over itself and all before it, so that none is missing, and
none of another file is taken for one of this.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from zlib import crc32

from consulfwd.errors import WireError
from consulfwd.zones.model import Act, Apex, Key, Records, RRset
from consulfwd.zones.primary.versions import Delta, Version, Whole, Writer

MAGIC = b"consulfwd zone journal 1\n"
# Of the payload: its length, a checksum of that alone, and one of both.
_HEAD = struct.Struct("!II16s")
_DIGEST = 16
_TIMES = struct.Struct("!6I")
_SET = struct.Struct("!HIH")
_NONE = 0xFFFF
_WHOLE, _DELTA = 0, 1


@dataclass
class Found:
    """What a journal holds: as far as it is whole, that is until `end`; `first` ends the version.

    `torn` says that a part of an entry follows, as a power cut leaves it. `damage` is what is
    wrong with an entry that others follow, "" if nothing.
    """

    whole: Whole | None
    deltas: list[Delta]
    end: int
    chain: bytes
    torn: bool = False
    damage: str = ""
    first: int = 0


def start(origin: bytes, whole: Whole) -> tuple[bytes, bytes]:
    """Return the octets a journal begins with, and the checksum that the next entry continues."""
    writer = _Writer()
    writer.some(origin)
    writer.number(_WHOLE)
    writer.version(whole.version)
    writer.writer(whole.writer)
    writer.records(whole.records)
    entry, chain = _entry(writer.octets(), b"")
    return MAGIC + entry, chain


def entry(delta: Delta, chain: bytes) -> tuple[bytes, bytes]:
    """Return the octets of a difference, and the next checksum."""
    writer = _Writer()
    writer.number(_DELTA)
    writer.version(delta.before)
    writer.version(delta.after)
    writer.writer(delta.writer)
    writer.number(len(delta.acts))
    for key, before, after in delta.acts:
        writer.key(key)
        writer.rrset(before)
        writer.rrset(after)
    return _entry(writer.octets(), chain)


def read(octets: bytes, origin: bytes) -> Found:
    """Return what there is in a journal of this zone. Whatever the octets, nothing is raised."""
    found = Found(None, [], 0, b"")
    if not octets:
        return found
    if not octets.startswith(MAGIC):
        found.torn = MAGIC.startswith(octets)
        found.damage = "" if found.torn else "it is no journal"
        return found
    position = len(MAGIC)
    while position < len(octets):
        payload, end = _next(octets, position, found.chain)
        if payload is None:
            # Nothing whole can follow what reaches the end, or is nothing but room.
            found.torn = end >= len(octets) or not octets[position:].strip(b"\0")
            found.damage = "" if found.torn else f"the entry at octet {position} is damaged"
            return found
        try:
            _take(found, payload, origin)
        except (WireError, struct.error, IndexError) as error:
            found.damage = f"the entry at octet {position} cannot be read ({error})"
            return found
        found.chain = octets[position + _HEAD.size - _DIGEST : position + _HEAD.size]
        found.end = position = end
        found.first = found.first or end
    return found


def _entry(payload: bytes, chain: bytes) -> tuple[bytes, bytes]:
    digest = _checksum(payload, chain)
    return _HEAD.pack(len(payload), _short(len(payload)), digest) + payload, digest


def _short(size: int) -> int:
    return crc32(size.to_bytes(4, "big"), len(MAGIC))


def _checksum(payload: bytes, chain: bytes) -> bytes:
    size = len(payload).to_bytes(4, "big")
    return blake2b(chain + size + payload, digest_size=_DIGEST).digest()


def _next(octets: bytes, position: int, chain: bytes) -> tuple[bytes | None, int]:
    """Return an entry's payload, None if it is not whole, and where it ends or would."""
    if position + _HEAD.size > len(octets):
        return None, len(octets)
    size, short, digest = _HEAD.unpack_from(octets, position)
    if short != _short(size):
        # Where it ends nobody knows.
        return None, position
    end = position + _HEAD.size + size
    payload = octets[position + _HEAD.size : end]
    good = end <= len(octets) and _checksum(payload, chain) == digest
    return payload if good else None, end


def _take(found: Found, payload: bytes, origin: bytes) -> None:
    reader = _Reader(payload)
    if found.whole is None:
        if reader.some() != origin or reader.number() != _WHOLE:
            raise WireError("it is another zone's")
        found.whole = Whole(reader.version(), {}, reader.writer())
        found.whole = found.whole._replace(records=reader.records())
        reader.done()
        return
    if reader.number() != _DELTA:
        raise WireError("another version of this program wrote it")
    before, after, writer = reader.version(), reader.version(), reader.writer()
    number = reader.number()
    acts = tuple(Act(reader.key(), reader.rrset(), reader.rrset()) for _ in range(number))
    reader.done()
    last = found.deltas[-1].after if found.deltas else found.whole.version
    if before != last:
        raise WireError(f"it follows {before.serial}, not {last.serial}")
    found.deltas.append(Delta(before, after, acts, writer))


class _Writer:
    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def octets(self) -> bytes:
        return b"".join(self._parts)

    def number(self, value: int) -> None:
        self._parts.append(value.to_bytes(8, "big"))

    def some(self, value: bytes) -> None:
        self._parts += (len(value).to_bytes(2, "big"), value)

    def version(self, version: Version) -> None:
        serial, apex = version
        self.number(serial)
        self.some(apex.primary)
        self.some(apex.mail)
        times = (apex.refresh, apex.retry, apex.expire, apex.minimum, apex.ttl, len(apex.servers))
        self._parts.append(_TIMES.pack(*times))
        for one in apex.servers:
            self.some(one)

    def writer(self, writer: Writer) -> None:
        self.some(writer.holder.encode()[:1000])
        self.number(writer.number)

    def records(self, records: Records) -> None:
        self.number(len(records))
        for key, rrset in records.items():
            self.key(key)
            self.rrset(rrset)

    def key(self, key: Key) -> None:
        self.some(key.name)
        self._parts.append(key.type.to_bytes(2, "big"))

    def rrset(self, rrset: RRset | None) -> None:
        if rrset is None:
            self._parts.append(_SET.pack(_NONE, 0, 0))
            return
        data = sorted(rrset.data)
        self._parts.append(_SET.pack(0, rrset.ttl, len(data)))
        for one in data:
            self.some(one)


class _Reader:
    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def done(self) -> None:
        if self._at != len(self._octets):
            raise WireError("something follows in it")

    def _cut(self, size: int) -> bytes:
        found = self._octets[self._at : self._at + size]
        if len(found) != size:
            raise WireError("it is cut short")
        self._at += size
        return found

    def number(self) -> int:
        return int.from_bytes(self._cut(8), "big")

    def short(self) -> int:
        return int.from_bytes(self._cut(2), "big")

    def some(self) -> bytes:
        return self._cut(self.short())

    def version(self) -> Version:
        serial, primary, mail = self.number(), self.some(), self.some()
        refresh, retry, expire, minimum, ttl, number = _TIMES.unpack(self._cut(_TIMES.size))
        servers = tuple(self._some(number))
        return Version(serial, Apex(primary, mail, refresh, retry, expire, minimum, ttl, servers))

    def _some(self, number: int) -> Iterator[bytes]:
        for _ in range(number):
            yield self.some()

    def writer(self) -> Writer:
        return Writer(self.some().decode("utf-8", "replace"), self.number())

    def records(self) -> dict[Key, RRset]:
        found = {}
        for _ in range(self.number()):
            key, rrset = self.key(), self.rrset()
            if rrset is None:
                raise WireError("it has a set that is none")
            found[key] = rrset
        return found

    def key(self) -> Key:
        return Key(self.some(), self.short())

    def rrset(self) -> RRset | None:
        none, ttl, number = _SET.unpack(self._cut(_SET.size))
        return None if none else RRset(ttl, frozenset(self._some(number)))


def whole_text(origin: bytes, whole: Whole, deltas: Iterable[Delta]) -> tuple[bytes, bytes]:
    """Return a whole journal, and the next checksum."""
    octets, chain = start(origin, whole)
    parts = [octets]
    for delta in deltas:
        more, chain = entry(delta, chain)
        parts.append(more)
    return b"".join(parts), chain
