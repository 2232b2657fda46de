"""The messages of a transfer, from their octets to records.

What belongs here: one message, and whether its signature is right (RFC 8945 section 5.3.1). Must
not know what the records come to, nor connections. A zone may have a hundred thousand records, and
all of them are read: what makes an object of each takes ten times as long.
"""

from __future__ import annotations

import struct
import time
from typing import NamedTuple

import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tsig

from consulfwd.dns import const, wire
from consulfwd.dns.records import read_records
from consulfwd.errors import WireError
from consulfwd.zones.primary import tsig
from consulfwd.zones.sinks.transfers import Record

_FIELDS = struct.Struct("!HH")
_QR, _OPCODE, _TC = 0x8000, 0x7800, 0x0200
# Where in the data names begin that are the same however they are spelled (RFC 4034 section 6.2).
_NAME_AT = {const.NS: 0, const.CNAME: 0, const.PTR: 0, const.DNAME: 0, const.MX: 2, const.SRV: 6}


class Unpacked(NamedTuple):
    """One message; `foreign` says that there are records of another class than IN."""

    answers: bool
    truncated: bool
    rcode: int
    records: list[Record]
    foreign: bool


class Unpacker:
    """Takes the messages that answer one query, one after the other. Raises WireError."""

    def __init__(self, query: dns.message.Message) -> None:
        self._id = query.id
        (asked,) = query.question
        name = asked.name.to_wire()
        assert name is not None
        self._question = name.lower(), int(asked.rdtype), int(asked.rdclass)
        self._key: dns.tsig.Key | None = query.keyring
        self._mac = query.mac
        self._context: dns.tsig.HMACTSig | dns.tsig.GSSTSig | None = None
        self.signed = False  # whether the last one was

    def take(self, data: bytes) -> Unpacked:
        """Read a message. Raises dnspython's errors for a signature that is wrong."""
        try:
            return self._take(data)
        except (IndexError, struct.error):
            raise WireError("the message is cut short") from None

    def _take(self, data: bytes) -> Unpacked:
        flags, questions, *_ = wire.HEADER.unpack_from(data, 2)
        answers = int.from_bytes(data[:2], "big") == self._id
        answers = answers and flags & (_QR | _OPCODE) == _QR and questions < 2
        if not answers:
            return Unpacked(False, False, 0, [], False)
        start = wire.HEADER_SIZE
        if questions:
            # All but the first may be without it (RFC 5936 section 2.2.1).
            name = wire.read_name(data, start).lower()
            start = wire.skip_name(data, start)
            answers = (name, *_FIELDS.unpack_from(data, start)) == self._question
            start += 4
        found, _, _ = read_records(data, start)
        self._verify(data)
        records = [_record(one) for one in found]
        return Unpacked(
            answers, bool(flags & _TC), flags & 15, [one for one in records if one], None in records
        )

    def _verify(self, data: bytes) -> None:
        """Have the signature checked, where there is one."""
        found = tsig.find(data)
        self.signed = found is not None
        if found is None:
            if self._context is not None:
                self._context.update(data)  # type: ignore[no-untyped-call]
            return
        if self._key is None:
            raise WireError("it is signed, and the query was not")
        at = wire.skip_name(data, found.start) + wire.RECORD.size
        kinds = dns.rdataclass.ANY, dns.rdatatype.TSIG
        rdata = dns.rdata.from_wire(*kinds, data, at, len(data) - at)
        owner, now = dns.name.from_wire(found.name, 0)[0], int(time.time())
        self._context = dns.tsig.validate(  # type: ignore[no-untyped-call]
            data, self._key, owner, rdata, now, self._mac, found.start, self._context, True
        )


def _record(found: bytes) -> Record | None:
    """Return a record from its octets, names in it uncompressed; None if it is of another class."""
    at = wire.skip_name(found, 0, pointers=False)
    rtype, rclass, ttl, _ = wire.RECORD.unpack_from(found, at)
    if rclass != const.IN:
        return None
    data = found[at + wire.RECORD.size :]
    name_at = _NAME_AT.get(rtype)
    raw = b""
    if name_at is not None:
        folded = data[:name_at] + data[name_at:].lower()
        if folded != data:
            data, raw = folded, data
    # RFC 2181 section 8.
    return Record(found[:at].lower(), rtype, ttl if ttl < 1 << 31 else 0, data, raw)
