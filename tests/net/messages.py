"""DNS messages as tests write and read them: queries from words, replies as transcripts.

Made and read with dnspython, which the resolver's own wire code does not use.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

_ids = random.Random(4)


def question(
    name: str,
    qtype: str = "A",
    *,
    edns: int | None = 1232,
    version: int = 0,
    options: Sequence[dns.edns.Option] = (),
    ident: int | None = None,
) -> bytes:
    """Return a query as octets; `edns` is the buffer size announced, None for no EDNS."""
    if options:
        made = _without_id(name, qtype, edns, version, options)
    else:
        made = _kept(name, qtype, edns, version)
    number = _ids.randrange(65536)
    return (number if ident is None else ident).to_bytes(2, "big") + made


def _without_id(
    name: str, qtype: str, edns: int | None, version: int, options: Sequence[dns.edns.Option] = ()
) -> bytes:
    query = dns.message.make_query(name, qtype, id=0)
    if edns is not None:
        query.use_edns(version, payload=edns, options=list(options))
    return query.to_wire()[2:]


_kept = functools.lru_cache(maxsize=1000)(_without_id)


@dataclass(frozen=True)
class Reply:
    """A reply taken apart; records are lines `name ttl type data`, `name` the question's."""

    id: int
    rcode: str
    flags: tuple[str, ...]
    name: str
    answers: list[str]
    authority: list[str]
    additional: list[str]
    edns: int | None
    ede: list[tuple[int, str]]
    size: int

    @property
    def data(self) -> list[str]:
        """The data of the answers, sorted: instances come in any order."""
        return sorted(record.split(" ", 3)[3] for record in self.answers)

    @property
    def ttls(self) -> set[int]:
        """The TTLs of the answers."""
        return {int(record.split(" ", 3)[1]) for record in self.answers}

    @property
    def lines(self) -> list[str]:
        """The whole reply as a transcript: rcode and flags, sorted records, extended errors."""
        shown = [" ".join([self.rcode, *self.flags])]
        sections = ("an", self.answers), ("ns", self.authority), ("ar", self.additional)
        for section, records in sections:
            shown += sorted(f"{section} {record}" for record in records)
        return shown + [f"EDE {code}" for code, _ in self.ede]


def parse(packet: bytes) -> Reply:
    """Return the reply in a packet; AssertionError when it is none."""
    found = dns.message.from_wire(packet, one_rr_per_rrset=True)
    assert found.flags & dns.flags.QR
    names = ("aa", dns.flags.AA), ("tc", dns.flags.TC), ("rd", dns.flags.RD), ("ra", dns.flags.RA)
    return Reply(
        id=found.id,
        rcode=dns.rcode.to_text(found.rcode()),
        flags=tuple(name for name, bit in names if found.flags & bit),
        name=str(found.question[0].name) if found.question else "",
        answers=_records(found.answer),
        authority=_records(found.authority),
        additional=_records(found.additional),
        edns=found.payload if found.edns >= 0 else None,
        ede=[
            (int(option.code), option.text or "")
            for option in found.options
            if isinstance(option, dns.edns.EDEOption)
        ],
        size=len(packet),
    )


def _records(section: list[dns.rrset.RRset]) -> list[str]:
    lines = []
    for rrset in section:
        parts = str(rrset[0]).split()
        if rrset.rdtype == dns.rdatatype.SOA:
            parts[2] = "#"  # Consul's serial is the clock
        kind = dns.rdatatype.to_text(rrset.rdtype)
        lines.append(f"{rrset.name} {rrset.ttl} {kind} {' '.join(parts)}")
    return lines


def folded(name: str) -> str:
    """Return a name in lower case with its trailing dot, as names are compared."""
    return dns.name.from_text(name).to_text().lower()
