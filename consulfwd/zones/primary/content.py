"""What a zone holds at one serial, made ready to be given out and asked for names.

What belongs here: the records, what follows of them, all of it kept up in proportion to a change.
Must not know files, sockets, serials' policy. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from weakref import ref

from consulfwd.dns import const, names
from consulfwd.zones.model import Act, Apex, Key, Records, RRset
from consulfwd.zones.primary import packing
from consulfwd.zones.primary.packing import Piece

_DIGEST = 16
_MODULUS = 1 << 8 * _DIGEST


class Snapshot(Mapping[Key, RRset]):
    """Records as they were at one time: of what is another one since, what it was is kept here."""

    def __init__(self, live: Mapping[Key, RRset]) -> None:
        self._live = live
        self._was: dict[Key, RRset | None] = {}
        self._size = len(live)

    def note(self, key: Key) -> None:
        """Keep what there is of a key, as it is going to be changed."""
        if key not in self._was:
            self._was[key] = self._live.get(key)

    def __getitem__(self, key: Key) -> RRset:
        found = self._was[key] if key in self._was else self._live.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[Key]:
        yield from (key for key in self._live if key not in self._was)
        yield from (key for key, rrset in self._was.items() if rrset is not None)

    def __len__(self) -> int:
        return self._size


class Content:
    """Records of a zone, without those of its apex that are the zone's own (SOA, NS)."""

    def __init__(self, origin: bytes, records: Records) -> None:
        self.origin = origin
        self.records: dict[Key, RRset] = {}
        self._pieces: dict[Key, Piece] = {}
        # Of each name of the zone: how many RRsets are there or below it (RFC 8020).
        self._below: dict[bytes, int] = {}
        self._digest = 0
        self._snapshots: list[ref[Snapshot]] = []
        self.count = 0
        for key, rrset in records.items():
            self._put(key, rrset)

    def apply(self, acts: Iterable[Act]) -> None:
        """Do these; what was there before is what they say."""
        alive = [(one, found) for one in self._snapshots if (found := one()) is not None]
        self._snapshots = [one for one, _ in alive]
        for key, _, after in acts:
            for _, snapshot in alive:
                snapshot.note(key)
            if key in self.records:
                self._drop(key)
            if after is not None:
                self._put(key, after)

    def snapshot(self) -> Snapshot:
        """Return the records as they are now; it costs what is changed while it is in use."""
        found = Snapshot(self.records)
        self._snapshots.append(ref(found))
        return found

    def digest(self, apex: Apex) -> str:
        """Return what tells one content from others: of the records, and of the apex."""
        return f"{(self._digest + _hash(repr(apex).encode())) % _MODULUS:0{2 * _DIGEST}x}"

    def pieces(self) -> list[Piece]:
        """Return all records as they are now, for transfers; it does not change any more."""
        return list(self._pieces.values())

    def size(self) -> int:
        """Return about how many octets the records have in a transfer."""
        return 32 * self.count

    def has(self, name: bytes) -> bool:
        """Return whether a name exists: it has records, or there are some below it."""
        return name == self.origin or name in self._below

    def at(self, name: bytes) -> Iterator[tuple[Key, RRset]]:
        """Yield the RRsets of a name."""
        for rtype in (const.A, const.AAAA, const.CNAME, const.SRV, const.TXT, const.PTR):
            key = Key(name, rtype)
            if key in self.records:
                yield key, self.records[key]

    def _put(self, key: Key, rrset: RRset) -> None:
        self.records[key] = rrset
        self._pieces[key] = packing.of_set(key, rrset, self.origin)
        self._digest += _digest(key, rrset)
        self.count += len(rrset.data)
        for name in self._upwards(key.name):
            self._below[name] = self._below.get(name, 0) + 1

    def _drop(self, key: Key) -> None:
        rrset = self.records.pop(key)
        del self._pieces[key]
        self._digest -= _digest(key, rrset)
        self.count -= len(rrset.data)
        for name in self._upwards(key.name):
            self._below[name] -= 1
            if not self._below[name]:
                del self._below[name]

    def _upwards(self, name: bytes) -> Iterator[bytes]:
        while len(name) > len(self.origin):
            yield name
            name = name[name[0] + 1 :]


def servers(apex: Apex) -> RRset:
    """Return the NS records of the apex."""
    return RRset(apex.ttl, frozenset(apex.servers))


def within(records: Iterable[Key], origin: bytes) -> bool:
    """Return whether all are records a zone may hold besides those of its own."""
    return all(
        names.is_under(key.name, origin)
        and (key.name != origin or key.type not in (const.SOA, const.NS))
        for key in records
    )


def _digest(key: Key, rrset: RRset) -> int:
    whole = [key.name, b"%d %d" % (key.type, rrset.ttl)]
    for one in sorted(rrset.data):
        whole += (b"%d:" % len(one), one)
    return _hash(b"".join(whole))


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=_DIGEST).digest(), "big")
