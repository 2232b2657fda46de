"""DNS messages octet by octet: queries no library would send, replies read without mercy.

Written by hand on one side and read by dnspython on the other, so that nothing of the resolver's
own wire code judges itself.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

QR, AA, TC, RD, RA, Z, AD, CD = 0x8000, 0x400, 0x200, 0x100, 0x80, 0x40, 0x20, 0x10
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
BADVERS = 16
IN, CH, HS, NONE, ANY_CLASS = 1, 3, 4, 254, 255
A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, SRV, OPT, DS, RRSIG, ANY = (
    1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 41, 43, 46, 255,
)  # fmt: skip
DO = 0x8000
ROOT = b"\0"
HEADER = struct.Struct("!HHHHHH")
FIXED = struct.Struct("!HHIH")
_idents = itertools.cycle(range(1, 0xFFFF))


@functools.lru_cache(4096)
def wire(text: str) -> bytes:
    """Return a name as it travels; `text` in presentation form (`\\.`, `\\000`)."""
    return dns.name.from_text(text).to_wire() or b""


def from_labels(*labels: bytes) -> bytes:
    """Return a name of these labels, whatever is in them."""
    return b"".join(bytes((len(label),)) + label for label in labels) + ROOT


def question(name: str | bytes, qtype: int = A, qclass: int = IN) -> bytes:
    """Return a question as it stands in a message."""
    return (wire(name) if isinstance(name, str) else name) + struct.pack("!HH", qtype, qclass)


def option(code: int, data: bytes = b"") -> bytes:
    """Return an EDNS option."""
    return struct.pack("!HH", code, len(data)) + data


def opt(
    size: int = 1232,
    *,
    version: int = 0,
    flags: int = 0,
    options: bytes = b"",
    owner: bytes = ROOT,
    rcode: int = 0,
) -> bytes:
    """Return an OPT record; `rcode` is the upper eight bits of an extended one."""
    return owner + struct.pack("!HHBBHH", OPT, size, rcode, version, flags, len(options)) + options


def record(
    owner: str | bytes, rtype: int, rdata: str | bytes, ttl: int = 300, rclass: int = IN
) -> bytes:
    """Return a record; its data as octets or in presentation form."""
    if isinstance(rdata, str):
        kind = dns.rdatatype.RdataType.make(rtype)
        rdata = dns.rdata.from_text(dns.rdataclass.IN, kind, rdata).to_wire() or b""
    owner = wire(owner) if isinstance(owner, str) else owner
    return owner + FIXED.pack(rtype, rclass, ttl, len(rdata)) + rdata


def message(
    ident: int,
    flags: int,
    questions: bytes | Sequence[bytes] = (),
    answers: Sequence[bytes] = (),
    authority: Sequence[bytes] = (),
    additional: Sequence[bytes] = (),
    counts: tuple[int, int, int, int] | None = None,
) -> bytes:
    """Return a message of these parts; `counts` where the header is to lie about them."""
    asked = [questions] if isinstance(questions, bytes) else questions
    sections = asked, answers, authority, additional
    said = counts or tuple(map(len, sections))
    return HEADER.pack(ident, flags, *said) + b"".join(itertools.chain(*sections))


def query(
    name: str | bytes = "www.test",
    qtype: int = A,
    qclass: int = IN,
    *,
    flags: int = RD,
    edns: bytes | None = None,
    behind: bytes = b"",
) -> bytes:
    """Return a query with an ID of its own, `edns` its OPT record, and octets `behind` it."""
    extra = [] if edns is None else [edns]
    asked = question(name, qtype, qclass)
    return message(next(_idents), flags, asked, additional=extra) + behind


class Opt(NamedTuple):
    """The OPT record of a reply."""

    size: int
    version: int
    flags: int
    options: list[tuple[int, bytes]]


@dataclass(frozen=True)
class Reply:
    """A reply read to its last octet. `question` is raw; records are lines `name ttl type data`."""

    data: bytes
    ident: int
    flags: int
    opcode: int
    rcode: int
    question: bytes
    answers: list[str]
    authority: list[str]
    additional: list[str]
    opt: Opt | None

    def has(self, bits: int) -> bool:
        """Return whether all these bits of the header are set."""
        return self.flags & bits == bits

    @property
    def bits(self) -> int:
        """The header's flags without opcode and rcode."""
        return self.flags & 0x87F0

    @property
    def rdata(self) -> list[str]:
        """The data of the answers, sorted."""
        return sorted(line.split(" ", 3)[3] for line in self.answers)

    @property
    def ttls(self) -> list[int]:
        """The TTLs of answers and authority, in order."""
        return [int(line.split(" ", 2)[1]) for line in self.answers + self.authority]

    @property
    def ede(self) -> list[int]:
        """The codes of extended errors (RFC 8914)."""
        options = self.opt.options if self.opt else []
        return [int.from_bytes(data[:2], "big") for code, data in options if code == 15]

    @property
    def timeless(self) -> tuple[object, ...]:
        """What must be the same however the reply is made: all but ID, TTLs and order."""
        lines = (self.answers, self.authority, self.additional)
        without = (sorted(" ".join(line.split(" ")[::2]) for line in part) for part in lines)
        bits = self.flags & ~(AA | AD)
        return (bits, self.rcode, self.question, *map(tuple, without), str(self.opt))


def read(data: bytes) -> Reply:
    """Return a reply; AssertionError or an error of dnspython's when it is not one to the letter.

    Counts, lengths and pointers are right, nothing follows, at most one OPT which is the last
    record, and Z is 0.
    """
    flags = int.from_bytes(data[2:4], "big")
    assert flags & QR
    assert not flags & Z, "the reserved bit is set (RFC 1035 section 4.1.1)"
    ident, opcode = int.from_bytes(data[:2], "big"), flags >> 11 & 15
    rcode, asked, answers, authority, additional, edns = _parts(data[2:])
    return Reply(
        data, ident, flags, opcode, rcode, asked, list(answers), list(authority), list(additional),
        edns,
    )  # fmt: skip


@functools.lru_cache(4096)
def _parts(rest: bytes) -> tuple[int, bytes, list[str], list[str], list[str], Opt | None]:
    """Return what a message without its ID says: the same comes again and again."""
    # What dnspython reads by other rules for other opcodes is read as a query's reply.
    plain = b"\0\0" + bytes((rest[0] & 0x87,)) + rest[1:]
    found = dns.message.from_wire(plain, one_rr_per_rrset=True)
    assert len(found.question) == int.from_bytes(rest[2:4], "big") <= 1
    asked = b""
    if found.question:
        asked = rest[10 : 14 + len(wire(str(found.question[0].name)))]
    edns = None
    if found.opt is not None:
        said = [(int(one.otype), one.to_wire()) for one in found.options]
        edns = Opt(found.payload, found.edns, found.ednsflags & 0xFFFF, said)
    sections = (found.answer, found.authority, found.additional)
    answers, authority, additional = (_lines(one) for one in sections)
    return int(found.rcode()), asked, answers, authority, additional, edns


def _lines(section: list[dns.rrset.RRset]) -> list[str]:
    return [
        f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rrset[0]}"
        for rrset in section
    ]
