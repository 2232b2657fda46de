"""Messages that a target sends: updates and queries for transfers, signed anew each time.

What belongs here: from our forms to dnspython's. Must not know what is changed, or why.
"""

from __future__ import annotations

from collections.abc import Iterable

import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.tsig
import dns.update

from consulfwd.dns import const
from consulfwd.zones.model import Key
from consulfwd.zones.sinks.transfers import AS_KNOWN, Spelled, serial_of
from consulfwd.zones.sinks.updates import Batch, Requires


def update(
    batch: Batch,
    zone: bytes,
    soa: bytes,
    key: dns.tsig.Key | None,
    spelled: Spelled = AS_KNOWN,
) -> dns.update.UpdateMessage:
    """Return the message for a batch, that requires the zone to have this very SOA record."""
    message = dns.update.UpdateMessage(_name(zone))
    for one in (Requires(zone, const.SOA, frozenset({soa})), *batch.requires):
        _require(message, one, spelled)
    for name, rtype, data, ttl in batch.orders:
        if ttl is not None:
            message.add(_name(name), ttl, _rdata(rtype, data))
        elif data:
            written = spelled.get((Key(name, rtype), data), data)
            message.delete(_name(name), _rdata(rtype, written))
        else:
            message.delete(_name(name), dns.rdatatype.RdataType.make(rtype))
    if key is not None:
        message.use_tsig(key)
    return message


def transfer(
    zone: bytes, since: bytes | None, key: dns.tsig.Key | None
) -> dns.message.QueryMessage:
    """Return the query for a whole zone, or for what changed since it had this SOA record."""
    kind = dns.rdatatype.AXFR if since is None else dns.rdatatype.IXFR
    query = dns.message.make_query(_name(zone), kind)
    query.flags &= ~dns.flags.RD
    if since is not None:
        soa = dns.rdata.from_text("IN", "SOA", f". . {serial_of(since)} 0 0 0 0")
        rrset = query.find_rrset(
            query.authority, _name(zone), dns.rdataclass.IN, dns.rdatatype.SOA, create=True
        )
        rrset.add(soa, 0)
    if key is not None:
        query.use_tsig(key)
    return query


def _require(message: dns.update.UpdateMessage, what: Requires, spelled: Spelled) -> None:
    name = _name(what.name)
    if what.data is None:
        kind = None if what.type == const.ANY else dns.rdatatype.RdataType.make(what.type)
        message.absent(name, kind)
    elif what.data:
        key = Key(what.name, what.type)
        written = [spelled.get((key, one), one) for one in what.data] if spelled else what.data
        message.present(name, _rdataset(what.type, written))
    else:
        message.present(name, dns.rdatatype.RdataType.make(what.type))


def _rdataset(rtype: int, data: Iterable[bytes]) -> dns.rdataset.Rdataset:
    return dns.rdataset.from_rdata(0, *(_rdata(rtype, one) for one in sorted(data)))


def _rdata(rtype: int, data: bytes) -> dns.rdata.Rdata:
    kind = dns.rdatatype.RdataType.make(rtype)
    return dns.rdata.from_wire(dns.rdataclass.IN, kind, data, 0, len(data))


def _name(name: bytes) -> dns.name.Name:
    return dns.name.from_wire(name, 0)[0]
