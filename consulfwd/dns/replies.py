"""Replies to clients: a message fitted to one client's ID, spelling, EDNS and size.

What does not fit is cut at a record boundary. TC says that the answer itself is cut, and only that
(RFC 2181 section 9): without it, what is beside the answer goes by whole RRsets. Pure bytes; must
not know where the message came from.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from consulfwd.dns import const
from consulfwd.dns.edns import build_ede, build_opt
from consulfwd.dns.message import Message, assemble_message, read_reply
from consulfwd.dns.names import labels_of
from consulfwd.dns.records import type_of
from consulfwd.dns.wire import (
    HEADER,
    HEADER_SIZE,
    NO_EDNS_SIZE,
    Query,
    edns_echo,
    question_echo,
    read_name,
    skip_name,
)
from consulfwd.errors import WireError

if TYPE_CHECKING:
    import dnslib

OWN_SIZE = 1232
STREAM_LIMIT = 65535
# How long it holds that something made here has no data of a type (seconds).
NEGATIVE_TTL = 60
# What is left in an IPv4 packet for a datagram; over IPv6 there is a little more.
DATAGRAM_LIMIT = STREAM_LIMIT - 20 - 8
_OPT_PLAIN = build_opt(OWN_SIZE)
_OPT_DO = build_opt(OWN_SIZE, do=True)
_QUERY_FLAGS = const.RD | const.CD
MAX_LABEL, MAX_QUESTION = 63, 255 + 4
# The counts of a message of one question, and of one with an OPT besides.
_ONE, _ONE_WITH_OPT = b"\0\1\0\0\0\0\0\0", b"\0\1\0\0\0\0\0\1"
_MESSAGE_FLAGS = const.AA | const.TC


def udp_limit(query: Query, *, on_host: bool) -> int:
    """Return how large a datagram this client may be sent: what it says, off the host 1232.

    Nobody can be sent more than fits into a packet, though any number up to 65535 can be said.
    """
    if query.edns is None:
        return NO_EDNS_SIZE
    size = max(query.edns.size, NO_EDNS_SIZE)
    return min(size, DATAGRAM_LIMIT if on_host else OWN_SIZE)


def respond(
    query: Query,
    ident: bytes,
    message: Message,
    limit: int,
    *,
    body: bytes | None = None,
    options: bytes = b"",
) -> bytes:
    """Return the reply to `query` with this ID, at most `limit` octets long.

    `body` replaces the message's (aged TTLs, another order; records end where the message's do
    unless it fits whole); `options` are EDNS options to add for a client that speaks EDNS.
    """
    if body is None:
        body = message.body
    question = query.question
    rcode = message.rcode
    flags = (
        const.QR
        | const.RA
        | query.flags & _QUERY_FLAGS
        | message.flags & _MESSAGE_FLAGS
        | rcode & const.RCODE_MASK
    )
    if message.flags & const.AD and (query.do or query.flags & const.AD):
        flags |= const.AD
    edns = query.edns
    if edns is None:
        opt = b""
        if rcode > const.RCODE_MASK:
            flags = flags & ~const.RCODE_MASK | const.SERVFAIL
    elif options or rcode > const.RCODE_MASK:
        opt = build_opt(OWN_SIZE, do=edns.do, extended_rcode=rcode >> 4, options=options)
    else:
        opt = _OPT_DO if edns.do else _OPT_PLAIN
    answers, authorities = message.answers, message.authorities
    additionals = len(message.ends) - answers - authorities
    room = limit - HEADER_SIZE - len(question) - len(opt)
    if len(body) > room:
        kept = bisect_right(message.ends, room)
        if kept < answers or (kept < answers + authorities and _proves(query, message, question)):
            flags |= const.TC
        else:
            kept = _whole_sets(message, question, kept)
        # A reordered or expanded body has other boundaries: cut the original instead.
        body = message.body if len(body) != len(message.body) else body
        body = body[: message.ends[kept - 1]] if kept else b""
        answers = min(answers, kept)
        authorities = min(authorities, kept - answers)
        additionals = kept - answers - authorities
    head = HEADER.pack(flags, 1, answers, authorities, additionals + (1 if edns else 0))
    return ident + head + question + body + opt


def with_options(reply: bytes, had: int, more: bytes) -> bytes:
    """Return a reply of ours, whose OPT is its end and has `had` octets of options, with `more`.

    Without an OPT, or where they do not fit, it stays as it is: they are no part of the answer.
    """
    at = len(reply) - had - 2
    if len(reply) + len(more) > STREAM_LIMIT or reply[at - 9 : at - 6] != b"\0\0\x29":
        return reply
    return reply[:at] + (had + len(more)).to_bytes(2, "big") + reply[at + 2 :] + more


def _proves(query: Query, message: Message, question: bytes) -> bool:
    """Return whether the Authority section is a part of the answer.

    In a denial it says for how long that holds (RFC 2308); to who wants proofs it has what proves
    that, or an answer by a wildcard (RFC 4035 section 3.1.3).
    """
    if message.rcode != const.NOERROR or not message.matched:
        return True
    try:
        return query.do and any(map(_is_proof, message.sections(question)[1]))
    except WireError:
        return True


def _is_proof(record: bytes) -> bool:
    return type_of(record) in (const.NSEC, const.NSEC3)


def _whole_sets(message: Message, question: bytes, kept: int) -> int:
    """Return how many records to keep of `kept`, so that no RRset beside the answer is a part."""
    data = bytes(HEADER_SIZE) + question + message.body
    start = HEADER_SIZE + len(question)
    starts = [start, *(start + end for end in message.ends)]
    try:
        cut = _kind_of(data, starts[kept])
        while kept > message.answers and _kind_of(data, starts[kept - 1]) == cut:
            kept -= 1
    except WireError:
        return message.answers
    return kept


def _kind_of(data: bytes, at: int) -> tuple[bytes, bytes]:
    """Return the owner, folded, and the type of the record that begins there."""
    name = read_name(data, at)
    end = skip_name(data, at)
    return name.lower(), data[end : end + 2]


def fits(query: Query, message: Message, limit: int) -> bool:
    """Return whether the whole message goes into `limit` octets with a plain OPT."""
    opt = 0 if query.edns is None else len(_OPT_PLAIN)
    return HEADER_SIZE + len(query.question) + len(message.body) + opt <= limit


def refuse(
    data: bytes, rcode: int, query: Query | None = None, ede: tuple[int, str] | None = None
) -> bytes:
    """Return an error reply to the raw query `data`, echoing its question where it is readable.

    `ede` is the (code, text) of an extended error, sent only to clients that speak EDNS. Those are
    told that this server does too (RFC 6891 section 6.1.1), where their OPT is readable.
    """
    flags = int.from_bytes(data[2:4], "big")
    # RD is copied whatever the opcode (RFC 1035 section 4.1.1). CD is, too (RFC 6895 section 2),
    # but means something in a QUERY only (RFC 4035): of other opcodes nobody knows what they mean.
    copied = const.OPCODE_MASK | (const.RD if flags & const.OPCODE_MASK else _QUERY_FLAGS)
    flags = const.QR | flags & copied | rcode & const.RCODE_MASK
    opt = b""
    edns = query.edns if query is not None else edns_echo(data)
    if edns is not None:
        options = build_ede(*ede) if ede else b""
        opt = build_opt(OWN_SIZE, do=edns.do, extended_rcode=rcode >> 4, options=options)
    question = query.question if query is not None else question_echo(data)
    head = HEADER.pack(flags, 1 if question else 0, 0, 0, 1 if opt else 0)
    return data[:2] + head + question + opt


def come_by_tcp(data: bytes) -> bytes | None:
    """Return an empty reply with TC to the raw query `data`, None where there is no query.

    It is never longer than that: who has others flooded in his name gains nothing. The query is
    looked at as far as its question, and its OPT if that comes next, since many of them may come.
    """
    if len(data) < HEADER_SIZE or data[2] & 0xF8 or data[4:6] != b"\0\1":
        return None
    end = HEADER_SIZE
    try:
        while length := data[end]:
            # A pointer has nowhere to lead to yet.
            if length > MAX_LABEL:
                return None
            end += 1 + length
    except IndexError:
        return None
    end += 5
    if end > len(data) or end - HEADER_SIZE > MAX_QUESTION:
        return None
    # QR, TC, RA; RD and CD as they came.
    flags = bytes((0x82 | data[2] & 1, 0x80 | data[3] & 0x10))
    if data[end : end + 3] == _OPT_PLAIN[:3] and len(data) >= end + len(_OPT_PLAIN):
        return data[:2] + flags + _ONE_WITH_OPT + data[HEADER_SIZE:end] + _OPT_PLAIN
    return data[:2] + flags + _ONE + data[HEADER_SIZE:end]


def empty(question: bytes, rcode: int) -> Message:
    """Return a message without records, for SERVFAIL and its like."""
    return assemble_message(question, ([], [], []), flags=0, rcode=rcode)


def local_answer(
    question: bytes, zone: bytes, rdatas: list[bytes], rcode: int, ttl: int, *, own: bool = False
) -> Message:
    """Return an answer made here: `rdatas` of the type asked, or a negative answer with a SOA.

    The SOA is that of a zone which only exists here; with `own` it is answered for the zone itself,
    and an NS record too (RFC 6303 section 3).
    """
    import dnslib

    reply = _made_here(question)
    reply.header.aa = 1
    reply.header.rcode = rcode
    for rdata in rdatas:
        data = dnslib.RD(rdata)
        reply.add_answer(dnslib.RR(reply.q.qname, reply.q.qtype, ttl=ttl, rdata=data))
    if not rdatas:
        apex = dnslib.DNSLabel(labels_of(zone))
        server = apex if apex.label else "localhost."
        soa = dnslib.SOA(server, "nobody.invalid.", (1, 3600, 1200, 604800, NEGATIVE_TTL))
        asked = reply.q.qtype
        if own and asked in (const.SOA, const.NS):
            data = soa if asked == const.SOA else dnslib.NS(server)
            reply.add_answer(dnslib.RR(apex, asked, ttl=ttl, rdata=data))
        else:
            # As whoever has the zone tells it (RFC 2308 section 3).
            shown = min(ttl, NEGATIVE_TTL)
            reply.add_auth(dnslib.RR(apex, const.SOA, ttl=shown, rdata=soa))
    return read_reply(bytes(reply.pack()), question)


def minimal_any(question: bytes) -> Message:
    """Return the answer RFC 8482 section 4.2 proposes to a query for ANY."""
    import dnslib

    reply = _made_here(question)
    hinfo = dnslib.RD(b"\x07RFC8482\0")
    reply.add_answer(dnslib.RR(reply.q.qname, const.HINFO, ttl=3789, rdata=hinfo))
    return read_reply(bytes(reply.pack()), question)


def _made_here(question: bytes) -> dnslib.DNSRecord:
    """Return an empty reply to build on; loaded when first needed, start-up does without."""
    import dnslib

    name = dnslib.DNSLabel(labels_of(question[:-4]))
    asked = dnslib.DNSQuestion(name, int.from_bytes(question[-4:-2], "big"))
    return dnslib.DNSRecord(dnslib.DNSHeader(qr=1, ra=0, aa=0, rd=0), q=asked)


def join_alias(
    question: bytes, aliases: list[bytes], rest: tuple[list[bytes], ...], target: Message
) -> Message:
    """Return a message of `aliases` (CNAMEs) followed by the sections that answer their target.

    It is truncated where the target's answer is.
    """
    answers = aliases + rest[0]
    sections = (answers, rest[1], rest[2])
    return assemble_message(question, sections, flags=target.flags & const.TC, rcode=target.rcode)


def build_query(
    question: bytes, flags: int, size: int, *, do: bool = False, options: bytes = b""
) -> bytes:
    """Return a query without its ID, announcing a receive buffer of `size` octets."""
    opt = build_opt(size, do=do, options=options)
    return HEADER.pack(flags, 1, 0, 0, 1) + question + opt


def build_plain_query(question: bytes, flags: int) -> bytes:
    """Return a query without its ID and without EDNS, for servers that do not know it."""
    return HEADER.pack(flags, 1, 0, 0, 0) + question
