"""Records in presentation form (RFC 1035 section 5.1) for people and JSON.

The types met every day are done here, so that a look-up need not load a DNS library; all others
are left to dnspython.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from consulfwd.dns import const
from consulfwd.dns.names import to_text
from consulfwd.dns.records import rdata_of, record_at
from consulfwd.dns.wire import RECORD, read_name, skip_name
from consulfwd.errors import WireError

_PRINTABLE = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\')


class Record(NamedTuple):
    """One record: names and data in presentation form, `ttl` in seconds."""

    name: str
    type: str
    ttl: int
    data: str


def to_record(record: bytes) -> Record:
    """Return a position-independent record (see `dns.records`) in presentation form.

    Raises WireError when it is none.
    """
    try:
        at = record_at(record)
        rtype, _, ttl, _ = RECORD.unpack_from(record, at)
    except (IndexError, struct.error):
        raise WireError("a record is cut short") from None
    return Record(
        to_text(record[:at]), const.type_text(rtype), ttl, rdata_text(rtype, rdata_of(record))
    )


def rdata_text(rtype: int, rdata: bytes) -> str:
    """Return record data in presentation form; the generic form of RFC 3597 if it is broken."""
    try:
        return _known(rtype, rdata)
    except (ValueError, IndexError, struct.error, WireError):
        return f"\\# {len(rdata)} {rdata.hex()}".rstrip()


def _known(rtype: int, rdata: bytes) -> str:
    if rtype == const.A:
        return str(IPv4Address(rdata))
    if rtype == const.AAAA:
        return str(IPv6Address(rdata))
    if rtype in (const.NS, const.CNAME, const.PTR, const.DNAME):
        return to_text(read_name(rdata, 0))
    if rtype == const.SRV:
        priority, weight, port = struct.unpack_from("!HHH", rdata)
        return f"{priority} {weight} {port} {to_text(read_name(rdata, 6))}"
    if rtype == const.MX:
        return f"{struct.unpack_from('!H', rdata)[0]} {to_text(read_name(rdata, 2))}"
    if rtype == const.TXT:
        return " ".join(_strings(rdata))
    if rtype == const.SOA:
        second = skip_name(rdata, 0)
        numbers = struct.unpack_from("!IIIII", rdata, skip_name(rdata, second))
        names = f"{to_text(read_name(rdata, 0))} {to_text(read_name(rdata, second))}"
        return f"{names} {' '.join(map(str, numbers))}"
    return _by_library(rtype, rdata)


def _strings(rdata: bytes) -> list[str]:
    found = []
    position = 0
    while position < len(rdata):
        end = position + 1 + rdata[position]
        if end > len(rdata):
            raise ValueError("a character-string runs past the record")
        text = "".join(
            chr(octet)
            if octet in _PRINTABLE
            else f"\\{octet:03d}"
            if octet not in b'"\\'
            else f"\\{octet:c}"
            for octet in rdata[position + 1 : end]
        )
        found.append(f'"{text}"')
        position = end
    return found


def _by_library(rtype: int, rdata: bytes) -> str:
    import dns.exception
    import dns.rdata
    from dns.rdataclass import RdataClass
    from dns.rdatatype import RdataType

    try:
        kind = RdataType.make(rtype)
        return dns.rdata.from_wire(RdataClass.IN, kind, rdata, 0, len(rdata)).to_text().rstrip()
    except dns.exception.DNSException as error:
        raise ValueError(str(error)) from None
