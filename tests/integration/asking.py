"""How the tests ask any DNS server, and what they compare of its replies."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Sequence

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

At = tuple[str, int]
PATIENCE_S = 5.0

SECTIONS = ("an", "ns", "ar")
# No EDNS, the smallest size, what is usual today, what Consul answers large lists at.
SIZES = (None, 512, 1232, 4096)


def table(text: str) -> list[tuple[str, str]]:
    """Lines of a name and a type, for tests that ask them one by one."""
    return [(name, rtype) for name, rtype in map(str.split, text.strip().splitlines())]


def question(name: str, rtype: str = "A", edns: int | None = 4096) -> dns.message.Message:
    """A query; `edns` is the buffer size announced, None for no EDNS."""
    query = dns.message.make_query(name, rtype)
    if edns is not None:
        query.use_edns(0, payload=edns)
    return query


def ask(
    at: At, name: str, rtype: str = "A", *, edns: int | None = 4096, tcp: bool = False
) -> dns.message.Message:
    """The reply of the server `at` (address, port) to this question.

    Over UDP it must not be larger than `edns` allows.
    """
    query = question(name, rtype, edns)
    if tcp:
        return dns.query.tcp(query, at[0], PATIENCE_S, at[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect(at)
        sock.send(query.to_wire())
        packet = sock.recv(65535)
    assert len(packet) <= (edns or 512)
    reply = dns.message.from_wire(packet)
    assert query.is_response(reply)
    return reply


def rcode(reply: dns.message.Message) -> str:
    """NOERROR, NXDOMAIN, ..."""
    return dns.rcode.to_text(reply.rcode())


def data(reply: dns.message.Message, rtype: str = "", *, section: str = "an") -> set[str]:
    """The data of a section's records (the Answer's), or only of those of one type."""
    return {
        str(record)
        for rrset in reply.sections[SECTIONS.index(section) + 1]
        for record in rrset
        if rtype in ("", dns.rdatatype.to_text(rrset.rdtype))
    }


def cut(reply: dns.message.Message) -> bool:
    """Does it say that it is not the whole answer?"""
    return bool(reply.flags & dns.flags.TC)


def facts(
    reply: dns.message.Message, *, ttls: bool = True, sections: Sequence[str] = SECTIONS
) -> list[str]:
    """All a reply says, sorted: rcode, then `section owner ttl type data`.

    Names are in lower case. The serial of a SOA is left out: with Consul it is the clock.
    """
    found = []
    for label, section in zip(SECTIONS, reply.sections[1:], strict=True):
        for rrset in section if label in sections else ():
            rtype = dns.rdatatype.to_text(rrset.rdtype)
            for record in rrset:
                words = str(record) if rtype == "TXT" else str(record).lower()
                if rtype == "SOA":
                    mname, rname, _, *times = words.split()
                    words = " ".join([mname, rname, "SERIAL", *times])
                ttl = f" {rrset.ttl}" if ttls else ""
                found.append(f"{label} {str(rrset.name).lower()}{ttl} {rtype} {words}")
    return [rcode(reply), *sorted(found)]


# Their data holds no names, which might be written by pointing to where others are.
NAMELESS = frozenset({dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.TXT, dns.rdatatype.OPT})


def unordered(packet: bytes) -> tuple[bytes, ...]:
    """What a reply (without its ID) has in common with those that say the same in another order.

    Far sooner had than `facts`. Where it is not easily said it is the reply itself.
    """
    message = b"\0\0" + packet
    records = []
    try:
        questions, *counts = struct.unpack_from("!4H", message, 4)
        if questions != 1:
            return (packet,)
        _, at = _name(message, 12)
        at += 4
        begin = message[:at]
        for section, count in enumerate(counts):
            for _ in range(count):
                owner, at = _name(message, at)
                rtype, length = struct.unpack_from("!H6xH", message, at)
                end = at + 10 + length
                if rtype not in NAMELESS or end > len(message):
                    return (packet,)
                records.append(bytes((section,)) + owner + message[at:end])
                at = end
    except (IndexError, RecursionError, struct.error):
        return (packet,)
    return (begin, *sorted(records), message[at:])


def _name(message: bytes, at: int) -> tuple[bytes, int]:
    """The labels of a name, and where it ends."""
    begin = at
    while length := message[at]:
        if length >= 0xC0:
            pointed = (length & 0x3F) << 8 | message[at + 1]
            return message[begin:at] + _name(message, pointed)[0], at + 2
        at += 1 + length
    return message[begin : at + 1], at + 1


def missing(part: list[str], whole: list[str]) -> list[str]:
    """What `part` says that `whole` does not."""
    return sorted((Counter(part) - Counter(whole)).elements())
