"""A zone as a transfer tells it: the whole (AXFR, RFC 5936), or what changed (IXFR, RFC 1995).

What belongs here: what the records of a transfer come to, and whether they can be believed. Must
not know how they arrive. Pure. What is not whole is never taken for a zone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple

from consulfwd.dns import const, names
from consulfwd.zones.model import Key, RRset
from consulfwd.zones.serials import newer
from consulfwd.zones.sinks.faults import Fault

# What signers add by themselves (RFC 4034, RFC 5155, RFC 7344, RFC 8976), and BIND's note of it.
SIGNERS = frozenset({46, 47, 48, 50, 51, 59, 60, 63, 65_534})
_MEND = "nothing is done by it; see the server's log, and transfer the zone by hand"


class Record(NamedTuple):
    """One record: the name folded, names in the data uncompressed and folded but in SOA records.

    `raw` are the data with names as they came, where that is another thing.
    """

    name: bytes
    type: int
    ttl: int
    data: bytes
    raw: bytes = b""


# Takes the records of one message; returns whether the transfer is complete with them.
Take = Callable[[list[Record]], bool]


def serial_of(soa: bytes) -> int:
    """Return the serial of an SOA record's data, in wire form."""
    return int.from_bytes(soa[-20:-16], "big")


# Data as the server writes them, by where they are and how they are known.
Spelled = Mapping[tuple[Key, bytes], bytes]
AS_KNOWN: Spelled = MappingProxyType({})


class Contents(NamedTuple):
    """A zone at one serial, without what signers add. `soa` is the data as they came.

    `spelled` has what is not in lower case: PowerDNS deletes a record by its very letters.
    """

    zone: bytes
    soa: bytes
    records: Mapping[Key, RRset]
    spelled: Spelled = AS_KNOWN

    @property
    def serial(self) -> int:
        return serial_of(self.soa)


class Unusable(Fault):
    """A transfer that is no zone; `behind` says that the server's zone is older than known."""

    def __init__(self, what: str, *, behind: bool = False) -> None:
        self.behind = behind
        super().__init__(f"gave a transfer that cannot be used: {what}", _MEND)


class _At(Enum):
    """Where in a transfer the next record is."""

    START = auto()
    SECOND = auto()
    WHOLE = auto()
    DELETING = auto()
    ADDING = auto()
    END = auto()


class Transfer:
    """Takes one transfer; with `known`, one that may begin there."""

    def __init__(self, zone: bytes, known: Contents | None = None) -> None:
        self._zone = zone
        self._known = known
        self._at = _At.START
        self._soa = b""
        self._serial = 0  # of the step that is under way
        self._sets: dict[Key, tuple[int, set[bytes]]] = {}
        self._spelled: dict[tuple[Key, bytes], bytes] = {}  # as it came last

    @property
    def wanted(self) -> tuple[bytes, bytes | None]:
        """The zone, and the SOA record since which changes are wanted; None: all there is."""
        return self._zone, None if self._known is None else self._known.soa

    @property
    def changed(self) -> Set[Key] | None:
        """The sets that changes were told of; None where all there is came."""
        return None if self._known is None else self._sets.keys()

    def take(self, records: Iterable[Record]) -> bool:
        """Take the records of one message; return whether all is there. Raises Unusable."""
        records = list(records)
        if not records:
            raise Unusable("a message without records")
        for record in records:
            self._take(record)
        if self._at is _At.SECOND and self._known is not None:
            self._alone(self._known)
        return self._at is _At.END

    def contents(self) -> Contents:
        """Return the zone, once all is there."""
        assert self._at is _At.END
        known = {} if self._known is None else dict(self._known.records)
        for key, (ttl, data) in self._sets.items():
            if data:
                known[key] = RRset(ttl, frozenset(data))
            else:
                known.pop(key, None)
        if (self._zone, const.NS) not in known:
            raise Unusable("the zone is empty: it has no NS records")
        spelled = dict(AS_KNOWN if self._known is None else self._known.spelled) | self._spelled
        if spelled:
            none = RRset(0, frozenset())
            spelled = {
                (key, data): raw for (key, data), raw in spelled.items()
                if raw and data in known.get(key, none).data
            }  # fmt: skip
        return Contents(self._zone, self._soa, known, spelled)

    def _take(self, record: Record) -> None:
        of_zone = record.type == const.SOA and record.name == self._zone
        if self._at is _At.END:
            raise Unusable("records after its last SOA record")
        if self._at is _At.START:
            if not of_zone:
                raise Unusable(
                    f"it begins with {names.to_text(record.name)} {const.type_text(record.type)},"
                    f" not with the SOA record of {names.to_text(self._zone)}"
                )
            self._soa, self._at = record.data, _At.SECOND
        elif self._at is _At.SECOND:
            self._second(record, of_zone)
        elif of_zone:
            self._boundary(record)
        else:
            self._put(record)

    def _second(self, record: Record, of_zone: bool) -> None:
        """Tell by the second record what kind of transfer this is (RFC 1995 section 4)."""
        known = self._known
        if known is not None and of_zone and serial_of(record.data) == known.serial:
            if record.data == self._soa:
                raise Unusable("a list of changes without any")
            self._serial, self._at = known.serial, _At.DELETING
            return
        self._known, self._at = None, _At.WHOLE
        if of_zone:
            self._boundary(record)
        else:
            self._put(record)

    def _boundary(self, record: Record) -> None:
        if self._at is _At.WHOLE:
            if record.data != self._soa:
                raise Unusable("its last SOA record is not its first: it changed on the way")
            self._at = _At.END
        elif self._at is _At.DELETING:
            self._serial, self._at = serial_of(record.data), _At.ADDING
        elif record.data == self._soa:
            if self._serial != serial_of(self._soa):
                raise Unusable("changes end before its serial is reached")
            self._at = _At.END
        else:
            if serial_of(record.data) != self._serial:
                raise Unusable("changes do not follow each other")
            self._at = _At.DELETING

    def _put(self, record: Record) -> None:
        if record.type in SIGNERS or not names.is_under(record.name, self._zone):
            return
        key = Key(record.name, record.type)
        ttl, data = self._sets.get(key) or self._before(key)
        if self._at is _At.DELETING:
            if record.data not in data:
                raise Unusable(f"it takes away what {names.to_text(record.name)} does not have")
            data.remove(record.data)
        else:
            # Some servers let the TTLs of a set differ: the lowest counts (RFC 2181 section 5.2).
            ttl = min(ttl, record.ttl) if data else record.ttl
            data.add(record.data)
            if record.raw or self._known is not None:
                self._spelled[key, record.data] = record.raw
        self._sets[key] = ttl, data

    def _before(self, key: Key) -> tuple[int, set[bytes]]:
        found = None if self._known is None else self._known.records.get(key)
        return (0, set()) if found is None else (found.ttl, set(found.data))

    def _alone(self, known: Contents) -> None:
        """Judge a message of changes that has nothing but the SOA record (RFC 1995 section 2)."""
        serial = serial_of(self._soa)
        if serial == known.serial:
            self._at = _At.END
        elif not newer(serial, known.serial):
            raise Unusable(f"its serial {serial} is older than {known.serial}", behind=True)
