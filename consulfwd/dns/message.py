"""A reply kept as bytes: read once, then relayed with only ID, flags, TTLs and OPT replaced.

Nothing is parsed into objects and packed again. Must not know who asked or who answered.
"""

from __future__ import annotations

import struct
from copy import copy
from itertools import accumulate, chain, islice
from operator import add
from typing import Any

from consulfwd.dns import const
from consulfwd.dns.edns import Edns, read_opt
from consulfwd.dns.records import (
    MAX_POINTER,
    NAMES_IN_RDATA,
    assemble,
    read_records,
    skip_strings,
)
from consulfwd.dns.wire import HEADER, HEADER_SIZE, RECORD, check_name
from consulfwd.errors import WireError

MAX_TTL = 0x7FFFFFFF
# What names without compression may make of a message of 65535 octets (they could make 3 MB).
MAX_SPELLED_OUT = 4 * 65535
# From so many records on it is worth a look whether all TTLs can be aged at once.
MANY = 5
_TTL = struct.Struct("!I")
_KIND = struct.Struct("!HH")
_FIXED_SIZE = {const.A: 4, const.AAAA: 16}


class Message:
    """A reply without its ID, question and OPT.

    body      everything behind the question but the OPT; offsets below count from its start
    ends      where each record ends; the first `answers` are the Answer section, and so on
    ttls      where each TTL field stands
    ttl       smallest TTL of the Answer section, None when there is none
    negative_ttl  what RFC 2308 allows to keep a negative answer, None without a SOA; where an
              alias leads to nothing both are the smaller of the two
    matched   whether a record of the type asked is in the Answer section
    aliased   whether a CNAME is
    behind    how many octets followed the message; they are left out
    plan      in which other orders its answers can stand, once that was asked for (`dns.turns`):
              whatever becomes of TTLs, it stays
    """

    __slots__ = (
        "aliased",
        "answers",
        "authorities",
        "behind",
        "body",
        "edns",
        "ends",
        "flags",
        "matched",
        "negative_ttl",
        "plan",
        "rcode",
        "size",
        "ttl",
        "ttls",
    )

    def __init__(
        self,
        flags: int,
        rcode: int,
        answers: int,
        authorities: int,
        body: bytes,
        ends: list[int],
        ttls: list[int],
        *,
        ttl: int | None = None,
        negative_ttl: int | None = None,
        edns: Edns | None = None,
        matched: bool = False,
        aliased: bool = False,
        size: int = 0,
        behind: int = 0,
    ) -> None:
        self.flags = flags
        self.rcode = rcode
        self.answers = answers
        self.authorities = authorities
        self.body = body
        self.ends = ends
        self.ttls = ttls
        self.ttl = ttl
        self.negative_ttl = negative_ttl
        self.edns = edns
        self.matched = matched
        self.aliased = aliased
        self.size = size
        self.behind = behind
        self.plan: Any = None

    @property
    def positive(self) -> bool:
        """Return whether this says that something exists: NOERROR with records or an alias."""
        return self.rcode == const.NOERROR and self.answers > 0

    @property
    def negative(self) -> bool:
        """Return whether this is NXDOMAIN or NODATA."""
        return self.rcode == const.NXDOMAIN or (self.rcode == 0 and not self.answers)

    @property
    def truncated(self) -> bool:
        """Return whether the sender said that it cut the reply (TC)."""
        return bool(self.flags & const.TC)

    def marked_cut(self) -> Message:
        """Return the same message with TC set."""
        marked = copy(self)
        marked.flags |= const.TC
        return marked

    def second_hand(self) -> Message:
        """Return the message as a cache tells it: neither authoritative nor authenticated."""
        if not self.flags & (const.AA | const.AD):
            return self
        told = copy(self)
        told.flags &= ~(const.AA | const.AD)
        return told

    def sections(self, question: bytes) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """Return the records of the three sections, position-independent (see `dns.records`).

        `question` is the one it was read with. Raises WireError where a TTL was changed since that
        a name borrows from.
        """
        counts = (self.answers, self.authorities, len(self.ends) - self.answers - self.authorities)
        head = HEADER.pack(self.flags & ~const.RCODE_MASK, 1, *counts)
        whole = b"".join((b"\0\0", head, question, self.body))
        return read_records(whole, HEADER_SIZE + len(question))

    def aged(self, age: int) -> Message:
        """Return the same message so many seconds later."""
        later = copy(self)
        later.body = self.body_with_ttls(age)
        later.ttl = None if self.ttl is None else max(self.ttl - age, 0)
        return later

    def body_with_ttls(self, age: int, floor: int = 0, ceiling: int = MAX_TTL) -> bytes:
        """Return the body with each TTL first clamped to [floor, ceiling], then aged by `age`."""
        if not self.ttls or (age == 0 and floor == 0 and ceiling == MAX_TTL):
            return self.body
        parts = between_ttls(self.body, self.ttls)
        if parts is not None:
            (ttl,) = _TTL.unpack_from(self.body, self.ttls[0])
            return _TTL.pack(_aged(ttl, age, floor, ceiling)).join(parts)
        body = self.body
        aged = bytearray(body)
        known: dict[bytes, bytes] = {}
        for offset in self.ttls:
            before = body[offset : offset + 4]
            after = known.get(before)
            if after is None:
                (ttl,) = _TTL.unpack(before)
                after = known[before] = _TTL.pack(_aged(ttl, age, floor, ceiling))
            aged[offset : offset + 4] = after
        return bytes(aged)


def between_ttls(body: bytes, ttls: list[int]) -> list[bytes] | None:
    """Return what is before, between and behind the TTLs that stand at `ttls`, if they are alike.

    None where they are not, where there are few, or where something else in the body is like them.
    """
    count = len(ttls)
    if count < MANY:
        return None
    first = ttls[0]
    parts = body.split(body[first : first + 4])
    if len(parts) != count + 1:
        return None
    lengths = accumulate(map(len, islice(parts, count)))
    return parts if [*map(add, lengths, range(0, 4 * count, 4))] == ttls else None


def _aged(ttl: int, age: int, floor: int, ceiling: int) -> int:
    ttl = 0 if ttl > MAX_TTL else ttl
    return max(min(max(ttl, floor), ceiling) - age, 0)


def read_reply(data: bytes, question: bytes) -> Message:
    """Return the reply in `data` to `question` (folded name, type, class), bounds checked.

    Raises WireError when it is no reply, answers another question, or is malformed anywhere. What
    follows the message is ignored, as everybody does.
    A reply without a question section is taken when it is an error without records (some servers
    answer FORMERR or REFUSED so).
    """
    if len(data) < HEADER_SIZE:
        raise WireError("shorter than a DNS header")
    flags, questions, answers, authorities, additionals = HEADER.unpack_from(data, 2)
    if not flags & const.QR or flags & const.OPCODE_MASK:
        raise WireError("not a response to a query")
    if questions != 1:
        if flags & const.RCODE_MASK and data[4:] == bytes(HEADER_SIZE - 4):
            return Message(flags, flags & 15, 0, 0, b"", [], [], size=len(data))
        raise WireError("a response without exactly one question")
    start = HEADER_SIZE + len(question)
    asked = data[HEADER_SIZE:start]
    if asked != question and (asked[:-4].lower() != question[:-4] or asked[-4:] != question[-4:]):
        raise WireError("a response to another question")
    try:
        return _read_sections(data, start, flags, answers, authorities, additionals)
    except (IndexError, struct.error):
        raise WireError("the response is cut short") from None


def _read_sections(
    data: bytes, start: int, flags: int, answers: int, authorities: int, additionals: int
) -> Message:
    qtype, qclass = _KIND.unpack_from(data, start - 4)
    size = len(data)
    position = start
    ends: list[int] = []
    ttls: list[int] = []
    ttl = negative_ttl = edns = None
    matched = aliased = False
    opt_at = opt_end = 0
    known = {HEADER_SIZE: start - HEADER_SIZE - 4}
    for index in range(answers + authorities + additionals):
        begin = position
        # Almost every owner is a pointer to the question.
        if data[position] == 0xC0 and data[position + 1] in known:
            position += 2
        else:
            position = check_name(data, position, known)
        rtype, rclass, rttl, length = RECORD.unpack_from(data, position)
        position += 10 + length
        if position > size:
            raise WireError("a record runs past the end")
        if rtype == const.OPT:
            if opt_end or index < answers + authorities or data[begin] != 0:
                raise WireError("an OPT where none may stand")
            opt_at, opt_end = begin, position
            edns = read_opt(rclass, rttl, data[position - length : position])
            continue
        if rclass != qclass and index < answers + authorities:
            raise WireError("a record of another class than was asked for")
        if rtype in _FIXED_SIZE:
            if length != _FIXED_SIZE[rtype]:
                raise WireError("an address of the wrong size")
        elif rtype in NAMES_IN_RDATA:
            _check_rdata(data, position - length, position, rtype, known)
        ends.append(position - start)
        ttls.append(position - length - 6 - start)
        if rttl > MAX_TTL:
            rttl = 0
        if index < answers:
            if ttl is None or rttl < ttl:
                ttl = rttl
            if rtype == qtype or qtype == const.ANY:
                matched = True
            elif rtype == const.CNAME:
                aliased = True
        elif rtype == const.SOA and index < answers + authorities:
            negative_ttl = min(rttl, _TTL.unpack_from(data, position - 4)[0], MAX_TTL)
    if aliased and not matched and ttl is not None and negative_ttl is not None:
        # An alias to nothing is as good as the shorter of alias and denial (RFC 2308 section 5).
        ttl = negative_ttl = min(ttl, negative_ttl)
    rcode = flags & const.RCODE_MASK
    body = data[start:position]
    if edns is not None:
        rcode |= edns.extended_rcode << 4
        if opt_end == position:
            body = data[start:opt_at]
        else:
            return _without_inner_opt(data, start, flags, rcode, edns)
    return Message(
        flags,
        rcode,
        answers,
        authorities,
        body,
        ends,
        ttls,
        ttl=ttl,
        negative_ttl=negative_ttl,
        edns=edns,
        matched=matched,
        aliased=aliased,
        size=size,
        behind=size - position,
    )


def _check_rdata(data: bytes, position: int, end: int, rtype: int, known: dict[int, int]) -> None:
    before, names, behind = NAMES_IN_RDATA[rtype]
    position += before
    if rtype == const.NAPTR:
        position = skip_strings(data, position, 3)
    for _ in range(names):
        position = check_name(data, position, known)
    if position + behind != end:
        raise WireError("a name in a record does not end where the record does")


def _without_inner_opt(data: bytes, start: int, flags: int, rcode: int, edns: Edns) -> Message:
    """Rebuild a reply whose OPT is not the last record: pointers behind it would shift."""
    sections = read_records(data, start)
    if sum(map(len, chain(*sections))) > MAX_SPELLED_OUT:
        raise WireError("far larger than a message once its names are spelled out")
    message = assemble_message(data[HEADER_SIZE:start], sections, flags=flags, rcode=rcode)
    message.edns, message.size = edns, len(data)
    return message


def assemble_message(
    question: bytes,
    sections: tuple[list[bytes], ...],
    *,
    flags: int,
    rcode: int = 0,
    reach: int = MAX_POINTER,
) -> Message:
    """Return a message made of position-independent records (see `dns.records.assemble`)."""
    body = assemble(question[:-4], sections, reach)
    head = HEADER.pack(flags & ~const.RCODE_MASK, 1, *(len(section) for section in sections))
    message = _read_sections(
        b"\0\0" + head + question + body, HEADER_SIZE + len(question), flags, *map(len, sections)
    )
    message.rcode = rcode
    return message
