"""The little DNS wire format a development agent needs: read a query, write a reply.

What belongs here: bytes in, bytes out, after RFC 1035 and RFC 6891. Must not know: catalogs,
faults, sockets. It shares nothing with `consulfwd.dns` on purpose: an agent that tests the
resolver must not repeat the resolver's mistakes. Names are compressed as Consul does, because the
size decides what is cut.
"""

from __future__ import annotations

import functools
import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

Name = tuple[bytes, ...]

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
BADVERS = 16

QR, AA, TC, RD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0010
OPCODE, RCODE = 0x7800, 0x000F

HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")


class BadQuery(Exception):
    """A query that cannot be answered; `rcode` says how to refuse it, None means in silence."""

    def __init__(self, rcode: int | None) -> None:
        self.rcode = rcode
        super().__init__(f"rcode {rcode}")


@dataclass(frozen=True)
class DevQuery:
    """One question as it came; `edns_size` is None without EDNS, `ecs` the subnet option's data."""

    id: int
    flags: int
    name: Name
    type: int
    class_: int
    edns_size: int | None = None
    ecs: bytes | None = None

    @property
    def text(self) -> str:
        """The name as asked, spelling kept, no trailing dot."""
        return b".".join(self.name).decode("latin-1")


class DataName(NamedTuple):
    """A name inside record data; SRV targets are written whole (RFC 2782)."""

    name: Name
    whole: bool = False


Data = tuple[bytes | DataName, ...]


class DevRecord(NamedTuple):
    name: Name
    type: int
    ttl: int
    data: Data


@dataclass(frozen=True)
class DevReply:
    """An answer in the making; `question` is what is repeated, normally the query's.

    `bits` are set in the header besides what belongs there, `class_` is that of the records, and
    `opts` how many OPT records there are.
    """

    query: DevQuery
    rcode: int = NOERROR
    authoritative: bool = True
    truncated: bool = False
    answers: Sequence[DevRecord] = ()
    authority: Sequence[DevRecord] = ()
    additional: Sequence[DevRecord] = ()
    edns: bool = True
    id: int | None = None
    question: Name | None = None
    ecs_scope: int | None = 0
    bits: int = 0
    class_: int = 1
    opts: int = 1

    def pack(self) -> bytes:
        """The message; its OPT record comes last, when the query had one and `edns` is set."""
        query = self.query
        flags = QR | (query.flags & (OPCODE | RD | CD)) | self.bits | self.rcode & RCODE
        flags |= AA if self.authoritative else 0
        flags |= TC if self.truncated else 0
        opt = self.opts if self.edns and query.edns_size is not None else 0
        writer = _Writer(self.class_)
        counts = (len(self.answers), len(self.authority), len(self.additional) + opt)
        message_id = query.id if self.id is None else self.id
        writer.out += HEADER.pack(message_id, flags, 1, *counts)
        writer.name(query.name if self.question is None else self.question)
        writer.out += struct.pack("!HH", query.type, query.class_)
        for section in (self.answers, self.authority, self.additional):
            for record in section:
                writer.record(record)
        writer.out += self._opt() * opt
        return bytes(writer.out)

    def _opt(self) -> bytes:
        options, ecs = b"", self.query.ecs
        if ecs is not None and len(ecs) >= 4:
            scope = ecs[2] if self.ecs_scope is None else self.ecs_scope
            ecs = ecs[:3] + bytes([scope]) + ecs[4:]
            options = struct.pack("!HH", 8, len(ecs)) + ecs
        more = self.rcode >> 4 << 24
        return b"\0" + _FIXED.pack(OPT, self.query.edns_size or 0, more, len(options)) + options

    def only(self, rcode: int, *, authoritative: bool = False, edns: bool = False) -> DevReply:
        """The same without any record, with another rcode."""
        return replace(
            self,
            rcode=rcode,
            authoritative=authoritative,
            edns=edns,
            answers=(),
            authority=(),
            additional=(),
        )


class _Writer:
    def __init__(self, class_: int = 1) -> None:
        self.out = bytearray()
        self._class = class_
        self._seen: dict[Name, int] = {}

    def name(self, name: Name, whole: bool = False) -> None:
        for start in range(len(name)):
            rest = name[start:]
            at = self._seen.get(rest)
            if at is not None and not whole:
                self.out += struct.pack("!H", 0xC000 | at)
                return
            if at is None and len(self.out) < 0x4000:
                self._seen[rest] = len(self.out)
            self.out.append(len(name[start]))
            self.out += name[start]
        self.out.append(0)

    def record(self, record: DevRecord) -> None:
        self.name(record.name)
        self.out += _FIXED.pack(record.type, self._class, record.ttl, 0)
        start = len(self.out)
        for part in record.data:
            if isinstance(part, DataName):
                self.name(part.name, part.whole)
            else:
                self.out += part
        struct.pack_into("!H", self.out, start - 2, len(self.out) - start)


# Records


def labels(text: str) -> Name:
    """`a.b` or `a.b.` as labels; the root is the empty tuple."""
    return tuple(part.encode("latin-1") for part in text.split(".") if part)


@functools.lru_cache(maxsize=4096)
def packed(text: str) -> bytes | None:
    """The 4 or 16 octets of an IP literal; None when the text is none."""
    try:
        return ipaddress.ip_address(text).packed
    except ValueError:
        return None


def address(name: Name, ttl: int, text: str) -> DevRecord:
    """A or AAAA, whichever the IP literal is. ValueError when it is none."""
    octets = packed(text)
    if octets is None:
        raise ValueError(f"not an IP address: {text}")
    return DevRecord(name, A if len(octets) == 4 else AAAA, ttl, (octets,))


def pointing(name: Name, type: int, ttl: int, target: Name) -> DevRecord:
    """CNAME, NS or PTR."""
    return DevRecord(name, type, ttl, (DataName(target),))


def srv(name: Name, ttl: int, weight: int, port: int, target: Name) -> DevRecord:
    return DevRecord(name, SRV, ttl, (struct.pack("!HHH", 1, weight, port), DataName(target, True)))


def txt(name: Name, ttl: int, text: str) -> DevRecord:
    raw = text.encode()
    chunks = [raw[i : i + 255] for i in range(0, len(raw), 255)] or [b""]
    return DevRecord(name, TXT, ttl, tuple(bytes([len(chunk)]) + chunk for chunk in chunks))


def soa(domain: Name, serial: int) -> DevRecord:
    """Consul's SOA record with its defaults: refresh 3600, retry 600, expire 86400, minimum 0."""
    numbers = struct.pack("!IIIII", serial & 0xFFFFFFFF, 3600, 600, 86400, 0)
    names = (DataName((b"ns", *domain)), DataName((b"hostmaster", *domain)))
    return DevRecord(domain, SOA, 0, (*names, numbers))


# Reading


def read_query(packet: bytes) -> DevQuery:
    """The query in `packet`. BadQuery for what Consul's DNS library refuses or ignores.

    It ignores replies and fragments of a header, knows no opcode but QUERY here, and wants exactly
    one question, at most one answer and authority record and two additional ones.
    """
    if len(packet) < 12:
        raise BadQuery(None)
    message_id, flags, questions, answers, authority, additional = HEADER.unpack_from(packet)
    if flags & QR:
        raise BadQuery(None)
    if flags & OPCODE:
        raise BadQuery(NOTIMP)
    if questions != 1 or answers > 1 or authority > 1 or additional > 2:
        raise BadQuery(FORMERR)
    try:
        name, at = _name(packet, 12)
        type_, class_ = struct.unpack_from("!HH", packet, at)
        size, ecs, at = None, None, at + 4
        for _ in range(answers + authority + additional):
            _, at = _name(packet, at)
            kind, extra, _, length = _FIXED.unpack_from(packet, at)
            at += 10
            if at + length > len(packet):
                raise BadQuery(FORMERR)
            if kind == OPT:
                size, ecs = extra, _subnet(packet[at : at + length])
            at += length
    except (struct.error, IndexError):
        raise BadQuery(FORMERR) from None
    return DevQuery(message_id, flags, name, type_, class_, size, ecs)


def refusal(packet: bytes, rcode: int) -> bytes:
    """The reply to a packet whose question could not be read: a header and nothing else."""
    message_id, flags = struct.unpack_from("!HH", packet)
    return HEADER.pack(message_id, QR | (flags & (OPCODE | RD)) | rcode, 0, 0, 0, 0)


def _name(packet: bytes, at: int) -> tuple[Name, int]:
    found: list[bytes] = []
    end, lowest = 0, at
    while True:
        length = packet[at]
        if length >= 0xC0:
            end = end or at + 2
            at = struct.unpack_from("!H", packet, at)[0] & 0x3FFF
            if at >= lowest:
                raise BadQuery(FORMERR)
            lowest = at
            continue
        if length > 63:
            raise BadQuery(FORMERR)
        at += 1
        if not length:
            break
        found.append(packet[at : at + length])
        at += length
    if sum(len(label) + 1 for label in found) > 254:
        raise BadQuery(FORMERR)
    return tuple(found), end or at


def _subnet(options: bytes) -> bytes | None:
    at = 0
    while at + 4 <= len(options):
        code, length = struct.unpack_from("!HH", options, at)
        if code == 8:
            return options[at + 4 : at + 4 + length]
        at += 4 + length
    return None
