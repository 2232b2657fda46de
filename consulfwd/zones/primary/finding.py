"""What a zone answers to an ordinary query (RFC 1034 section 4.3.2): it has no delegations.

What belongs here: which records answer, or deny. Must not know messages. Pure.
"""

from __future__ import annotations

from consulfwd.dns import const, names
from consulfwd.zones.model import Key, RRset
from consulfwd.zones.primary import packing
from consulfwd.zones.primary.content import servers
from consulfwd.zones.primary.packing import NOTHING, Piece
from consulfwd.zones.primary.versions import Version, Versions

# Aliases followed within the zone.
MOST_ALIASES = 8


def look_up(versions: Versions, name: bytes, rtype: int) -> tuple[int, Piece, Piece]:
    """Return the response code, the answer and the Authority section; names are uncompressed."""
    assert versions.now is not None
    origin, content = versions.origin, versions.content
    answers: list[Piece] = []
    seen: set[bytes] = set()
    rcode = const.NOERROR
    while len(seen) <= MOST_ALIASES and name not in seen and names.is_under(name, origin):
        seen.add(name)
        found = _sets(versions, name, rtype)
        if found:
            answers += [packing.of_set(key, rrset, origin, origin) for key, rrset in found]
            return rcode, _joined(answers), NOTHING
        alias = content.records.get(Key(name, const.CNAME))
        if alias is None:
            rcode = const.NOERROR if content.has(name) else const.NXDOMAIN
            return rcode, _joined(answers), _denial(versions.now, origin)
        answers.append(packing.of_set(Key(name, const.CNAME), alias, origin, origin))
        (name,) = list(alias.data)[:1]
    # It leads out of the zone, or nowhere.
    return rcode, _joined(answers), NOTHING


def _sets(versions: Versions, name: bytes, rtype: int) -> list[tuple[Key, RRset]]:
    now, records = versions.now, versions.content.records
    assert now is not None
    found = [] if rtype == const.ANY else [(key := Key(name, rtype), records.get(key))]
    if rtype == const.ANY:
        found = list(versions.content.at(name))
    if name == versions.origin:
        own = {
            const.SOA: RRset(now.apex.ttl, frozenset((packing.soa_data(now.apex, now.serial),))),
            const.NS: servers(now.apex),
        }
        found += [(Key(name, one), own[one]) for one in own if rtype in (one, const.ANY)]
    return [(key, rrset) for key, rrset in found if rrset is not None]


def _denial(now: Version, origin: bytes) -> Piece:
    # For as long as the least of both says (RFC 2308 section 3).
    apex = now.apex._replace(ttl=min(now.apex.ttl, now.apex.minimum))
    return packing.soa(apex, now.serial, origin, origin)


def _joined(pieces: list[Piece]) -> Piece:
    return Piece(b"".join(one.octets for one in pieces), sum(one.number for one in pieces))
