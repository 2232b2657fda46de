"""One notation for messages, in and out: lines, made and read by dnspython.

`packet` builds what others send, `lines` reads what we send; both know nothing of our own code.
`wire` spells bytes that no library would build.

A message is its head ("QR AA NOERROR"), its question, and its records by section, such as
"an web.service.consul. 30 IN A 10.0.0.1" (an, au, ad). The OPT is part of the head.
"""

from __future__ import annotations

import functools

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

ID = b"\x12\x34"
SECTIONS = {"an": 1, "au": 2, "ad": 3}


def wire(*parts: str | bytes) -> bytes:
    """Bytes from tokens: hex digits, 'label', `.` for the root, @12 for a pointer to offset 12."""
    out = bytearray()
    for part in parts:
        if isinstance(part, bytes):
            out += part
            continue
        for token in part.split():
            if token == ".":
                out.append(0)
            elif token[0] == "'":
                label = token.strip("'").encode()
                out += bytes((len(label),)) + label
            elif token[0] == "@":
                out += (0xC000 | int(token[1:])).to_bytes(2, "big")
            else:
                out += bytes.fromhex(token)
    return bytes(out)


def wire_name(text: str) -> bytes:
    """The uncompressed wire form of a name, its spelling kept."""
    return dns.name.from_text(text).to_wire() or b""


@functools.lru_cache(maxsize=1000)
def question(text: str) -> bytes:
    """The question section that asks "name type", its spelling kept."""
    name, rtype = text.split()
    return wire_name(name) + wire(f"{int(dns.rdatatype.from_text(rtype)):04x} 0001")


def packet(
    asked: str,
    *records: str,
    flags: str = "QR AA RD",
    rcode: int = 0,
    edns: int | None = None,
    do: bool = False,
    options: tuple[dns.edns.Option, ...] = (),
) -> bytes:
    """A message with compressed names; `edns` is the size its OPT announces."""
    name, rtype = asked.split()
    message = dns.message.QueryMessage(id=int.from_bytes(ID, "big"))
    message.flags = dns.flags.from_text(flags)
    kind = dns.rdatatype.from_text(rtype)
    message.question.append(dns.rrset.RRset(dns.name.from_text(name), dns.rdataclass.IN, kind))
    if edns is not None:
        ednsflags = int(dns.flags.EDNSFlag.DO) if do else 0
        message.use_edns(0, ednsflags, edns, options=list(options))
    message.set_rcode(dns.rcode.Rcode.make(rcode))
    for record in records:
        section, rrset = _record(record)
        # Not to be merged with others of its set: the order of a message counts.
        message.sections[section].append(rrset)
    return message.to_wire(max_size=65535)


@functools.lru_cache(maxsize=1000)
def _record(text: str) -> tuple[int, dns.rrset.RRset]:
    section, owner, ttl, rclass, kind, data = text.split(maxsplit=5)
    return SECTIONS[section], dns.rrset.from_text(owner, int(ttl), rclass, kind, data)


def parse(data: bytes) -> dns.message.Message:
    """What dnspython makes of a message; it refuses what is malformed or left over."""
    return dns.message.from_wire(data, one_rr_per_rrset=True)


def lines(data: bytes) -> list[str]:
    """A message as lines: its head, its question, each record."""
    message = parse(data)
    head = [dns.flags.to_text(message.flags), dns.rcode.to_text(message.rcode())]
    if message.edns >= 0:
        head.append(f"edns={message.payload}")
        head += ["do"] * bool(message.ednsflags & dns.flags.DO)
        head += [option.to_text() for option in message.options]
    found = [" ".join(part for part in head if part)]
    found += [f"{asked.name} {dns.rdatatype.to_text(asked.rdtype)}" for asked in message.question]
    for prefix, section in SECTIONS.items():
        found += [f"{prefix} {rrset.to_text()}" for rrset in message.sections[section]]
    return found


def counts(data: bytes) -> tuple[int, ...]:
    """The four section counts of a header."""
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in (4, 6, 8, 10))
