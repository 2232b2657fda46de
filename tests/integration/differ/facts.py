"""What a reply says, in a form in which replies of different servers can be compared.

Names without case, records as sets, TTLs as classes: caches count down. What of it is a
difference, and what that is called, is for `kinds`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset

from tests.integration.differ.questions import Query

# Upper bounds in seconds. No zone has a TTL just above one: it would come to it in a long run.
CLASSES = (0, 30, 60, 1000, 3000, 3600, 50000, 86400, 604800)
NAMES = ("QR", "AA", "TC", "RD", "RA", "AD", "CD")
SECTIONS = ("answer", "authority", "additional")
# Owner in lower case, type, data in its canonical form.
Record = tuple[str, int, bytes]
# Section, owner, type, and of a signature what it covers.
Key = tuple[str, str, int, int]


@dataclass(frozen=True)
class Facts:
    """One reply. `rcode` is "no reply" or "malformed" where there is nothing to say more.

    `spelled`: the question is as it was asked; `owned`: so are the owners of what answers it.
    `why` is for people: the text of an extended error, or what is malformed.
    """

    rcode: str
    flags: frozenset[str] = frozenset()
    size: int = 0
    question: bytes = b""
    sections: dict[str, frozenset[Record]] = field(
        default_factory=lambda: dict.fromkeys(SECTIONS, frozenset())
    )
    ttls: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    doubled: bool = False
    in_order: bool = True
    spelled: bool = True
    owned: bool = True
    edns: tuple[int, bool] | None = None
    payload: int = 0
    options: frozenset[int] = frozenset()
    ede: frozenset[int] = frozenset()
    why: str = ""

    @property
    def cut(self) -> bool:
        return "TC" in self.flags


NO_REPLY = Facts("no reply")


def read(wire: bytes | None, query: Query) -> Facts:
    """The facts of a reply, behind its ID; None where there was none."""
    if wire is None:
        return NO_REPLY
    try:
        return _read(wire, query)
    except dns.exception.DNSException as error:
        return Facts("malformed", size=len(wire) + 2, why=repr(error))


@lru_cache(maxsize=4096)
def _read(wire: bytes, query: Query) -> Facts:
    message = dns.message.from_wire(b"\0\0" + wire, one_rr_per_rrset=True)
    sections: dict[str, frozenset[Record]] = {}
    ttls: dict[Key, tuple[int, ...]] = {}
    doubled = False
    for label, section in zip(SECTIONS, message.sections[1:], strict=True):
        records = [_record(one) for one in section]
        sections[label] = frozenset(records)
        doubled |= len(sections[label]) < len(records)
        for one, (owner, rtype, _) in zip(section, records, strict=True):
            key = (label, owner, rtype, int(one.covers))
            ttls[key] = tuple(sorted({*ttls.get(key, ()), ttl_class(one.ttl)}))
        if any(rtype == dns.rdatatype.DNAME for _, rtype, _ in records):
            # The alias made of it has any TTL, as one cache or another was asked (RFC 6672).
            ttls = {key: classes for key, classes in ttls.items() if key[2] != dns.rdatatype.CNAME}
    echoed, asked = _question(wire), dns.name.from_text(query.name)
    errors = [one for one in message.options if isinstance(one, dns.edns.EDEOption)]
    return Facts(
        rcode=dns.rcode.to_text(message.rcode()),
        flags=frozenset(dns.flags.to_text(message.flags).split()),
        size=len(wire) + 2,
        question=echoed,
        sections=sections,
        ttls=ttls,
        doubled=doubled,
        in_order=_in_order(query, message.answer),
        spelled=echoed == query.question,
        edns=None if message.edns < 0 else (message.edns, bool(message.ednsflags & dns.flags.DO)),
        owned=all(
            one.name.labels == asked.labels for one in message.answer if one.name == asked
        ),
        payload=message.payload if message.edns >= 0 else 0,
        options=frozenset(int(one.otype) for one in message.options),
        ede=frozenset(int(one.code) for one in errors),
        why="; ".join(one.text for one in errors if one.text),
    )


def ttl_class(ttl: int) -> int:
    """The class's upper bound; what is above all is 2^31."""
    return next((bound for bound in CLASSES if ttl <= bound), 1 << 31)


def _question(wire: bytes) -> bytes:
    """The question as it stands there."""
    position = 10
    while wire[position]:
        position += wire[position] + 1
    return wire[10 : position + 5]


def _record(rrset: dns.rrset.RRset) -> Record:
    rdata = rrset[0]
    owner = rrset.name.to_text().lower()
    if rrset.rdtype == dns.rdatatype.SOA and owner.endswith("consul."):
        rdata = rdata.replace(serial=0)  # with Consul it is the clock
    return owner, rrset.rdtype, rdata.to_digestable(dns.name.root)


def _in_order(query: Query, answer: Iterable[dns.rrset.RRset]) -> bool:
    """Does each alias come before what it leads to?"""
    at = dns.name.from_text(query.name)
    seen = {at}
    for rrset in answer:
        if rrset.rdtype in (dns.rdatatype.DNAME, dns.rdatatype.RRSIG):
            continue
        if rrset.name not in seen:
            return False
        if rrset.rdtype == dns.rdatatype.CNAME:
            seen.add(rrset[0].target)
    return True


def shown(record: Record) -> str:
    """A record for people."""
    owner, number, wire = record
    rtype = dns.rdatatype.RdataType.make(number)
    rdata = dns.rdata.from_wire(dns.rdataclass.IN, rtype, wire, 0, len(wire))
    text = rdata.to_text()
    return f"{owner} {dns.rdatatype.to_text(rtype)} {text if len(text) < 80 else text[:77] + '...'}"
