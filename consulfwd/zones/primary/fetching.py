"""What secondaries have, where another publisher wrote the last version: the base of a takeover.

What belongs here: asking them, for the SOA or by AXFR, with the same key. What becomes of it is
`target`'s.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.xfr
import dns.zone

from consulfwd.config import Endpoint
from consulfwd.dns import const, names
from consulfwd.dns.wire import skip_name
from consulfwd.errors import WireError
from consulfwd.zones.model import Apex, Key, RRset
from consulfwd.zones.primary import tsig
from consulfwd.zones.primary.sockets import source_of
from consulfwd.zones.primary.versions import Version, Whole
from consulfwd.zones.serials import newer

_TIMES = struct.Struct("!5I")
# What a zone of ours holds; a secondary that signs it adds others.
_OURS = frozenset((const.A, const.AAAA, const.CNAME, const.SRV, const.TXT, const.PTR))
_FAULTS = (OSError, EOFError, ValueError, LookupError, struct.error, WireError)
# Seconds one may take to go on, and all of them in all.
_SILENT, _WHOLE = 5.0, 20.0
# Seconds they may take to say their serials, which are asked for at the same time.
SERIAL = 1.0
_AT_A_TIME = 20


def newest(
    origin: bytes,
    secondaries: Sequence[Endpoint],
    key: tsig.Key | None,
    sources: Sequence[Endpoint] = (),
) -> int | None:
    """Return the newest serial they answer with, None where none of them has the zone."""
    best = None
    for one in _serials(origin, secondaries, key, sources):
        if one is not None and (best is None or newer(one, best)):
            best = one
    return best


def _serials(
    origin: bytes,
    secondaries: Sequence[Endpoint],
    key: tsig.Key | None,
    sources: Sequence[Endpoint],
) -> list[int | None]:
    if not secondaries:
        return []
    with ThreadPoolExecutor(min(len(secondaries), _AT_A_TIME)) as pool:
        return list(pool.map(lambda one: _serial(origin, one, key, sources), secondaries))


def _serial(
    origin: bytes, secondary: Endpoint, key: tsig.Key | None, sources: Sequence[Endpoint]
) -> int | None:
    query = dns.message.make_query(dns.name.from_text(names.to_text(origin)), dns.rdatatype.SOA)
    if key is not None:
        query.use_tsig(*_ring(key))
    try:
        reply = dns.query.udp(
            query, secondary.host, SERIAL, secondary.port, source_of(secondary, sources)
        )
        if key is not None and not reply.had_tsig:
            # Anybody may have said so: serials go up by it, and never down again.
            return None
        found = reply.find_rrset(
            reply.answer, query.question[0].name, dns.rdataclass.IN, dns.rdatatype.SOA
        )
        return int(found[0].serial)
    except (*_FAULTS, dns.exception.DNSException):
        return None


def fetch(
    origin: bytes,
    version: Version,
    secondaries: Sequence[Endpoint],
    key: tsig.Key | None,
    sources: Sequence[Endpoint] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Whole | None:
    """Return the zone as a secondary has it that is at least at this version's serial, or None."""
    until = clock() + _WHOLE
    said = list(zip(secondaries, _serials(origin, secondaries, key, sources), strict=True))
    # One that says nothing may take long; only where none does it is asked all the same.
    if any(serial is not None for _, serial in said):
        said = [one for one in said if one[1] is not None and not newer(version.serial, one[1])]
    for secondary, _ in said:
        left = until - clock()
        if left <= 0:
            break
        try:
            zone = _transferred(origin, secondary, key, sources, left)
            found = _version(zone, version.apex)
            records = dict(_records(zone, origin))
        # A zone that is spoiled may raise what it wants: it is not what was asked for.
        except (*_FAULTS, dns.exception.DNSException):
            continue
        if not newer(version.serial, found.serial):
            return Whole(found, records)
    return None


def _transferred(
    origin: bytes,
    secondary: Endpoint,
    key: tsig.Key | None,
    sources: Sequence[Endpoint],
    left: float,
) -> dns.zone.Zone:
    zone = dns.zone.Zone(dns.name.from_text(names.to_text(origin)), relativize=False)
    keyring: dict[dns.name.Name, dns.tsig.Key] | None = None
    keyname: dns.name.Name | None = None
    if key is not None:
        keyring, keyname = _ring(key)
    query, _ = dns.xfr.make_query(zone, None, keyring=keyring, keyname=keyname)
    dns.query.inbound_xfr(
        secondary.host, zone, query, secondary.port, timeout=_SILENT, lifetime=left,
        source=source_of(secondary, sources),
    )  # fmt: skip
    return zone


def _ring(key: tsig.Key) -> tuple[dict[dns.name.Name, dns.tsig.Key], dns.name.Name]:
    name = dns.name.from_text(names.to_text(key.name))
    return {name: dns.tsig.Key(name, key.secret, key.algorithm)}, name


def _version(zone: dns.zone.Zone, ours: Apex) -> Version:
    assert zone.origin is not None
    found = zone.find_rdataset(zone.origin, dns.rdatatype.SOA)
    soa = found[0].to_digestable()
    mail = skip_name(soa, 0, pointers=False)
    numbers = soa[skip_name(soa, mail, pointers=False) :]
    serial, refresh, retry, expire, minimum = _TIMES.unpack(numbers)
    servers = {one.to_digestable() for one in zone.find_rdataset(zone.origin, dns.rdatatype.NS)}
    # Those of a set have no order: ours, if it is the same one.
    ordered = ours.servers if servers == set(ours.servers) else tuple(sorted(servers))
    apex = Apex(
        soa[:mail], soa[mail : -_TIMES.size], refresh, retry, expire, minimum, found.ttl, ordered
    )  # fmt: skip
    return Version(serial, apex)


def _records(zone: dns.zone.Zone, origin: bytes) -> Iterator[tuple[Key, RRset]]:
    for name, found in zone.iterate_rdatasets():
        owner = name.to_digestable()
        if found.rdtype in _OURS and names.is_under(owner, origin):
            data = frozenset(one.to_digestable() for one in found)
            yield Key(owner, int(found.rdtype)), RRset(found.ttl, data)
