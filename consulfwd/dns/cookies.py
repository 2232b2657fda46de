"""The COOKIE option (RFC 7873) taken out of queries and put into replies.

What is taken out leaves the same octets for all who ask the same, so whatever is kept by query (the
hot table, questions made ready) holds one entry, not one for each client. Pure bytes; whose cookie
it is `core.cookies` says.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from consulfwd.dns import const
from consulfwd.dns.edns import build_option, read_options
from consulfwd.dns.wire import HEADER, HEADER_SIZE, NO_EDNS_SIZE, RECORD, skip_name
from consulfwd.errors import WireError

CLIENT_SIZE, SERVER_SIZE = 8, 16
# What both cookies take in a reply, as one option.
OPTION_SIZE = 4 + CLIENT_SIZE + SERVER_SIZE
# What a query with one must hold: its number.
MARK = const.COOKIE.to_bytes(2, "big")
_LONGEST = CLIENT_SIZE + 32
_TYPE_OPT = b"\0" + const.OPT.to_bytes(2, "big")
_OPT_HEAD = 11


class Taken(NamedTuple):
    """A query without its cookie, announcing less room by what the reply's takes; the cookie.

    `size` is the room (octets) that the client itself announced; `asks` whether there is a question
    (without one it only asks for a cookie, RFC 7873 section 5.4).
    """

    query: bytes
    cookie: bytes
    size: int
    asks: bool


def take_cookie(data: bytes, most: int) -> Taken | None:
    """Return a raw query and its cookie, None without one or where the query is malformed.

    `most` is how much (octets) a reply may have, whatever the client says. Raises WireError for a
    cookie of a length that none has (RFC 7873 section 5.2.2: FORMERR).
    """
    try:
        found = _find_opt(data)
        if found is None:
            return None
        start, end, size = found
        options = read_options(data[start + _OPT_HEAD : end])
    except (IndexError, struct.error, WireError):
        return None
    cookie = next((value for code, value in options if code == const.COOKIE), None)
    if cookie is None:
        return None
    if not (len(cookie) == CLIENT_SIZE or CLIENT_SIZE + 8 <= len(cookie) <= _LONGEST):
        raise WireError("a cookie of a length that none has", const.FORMERR)
    # Of several the first counts (RFC 7873 section 5.2), and none is passed on.
    rest = b"".join(build_option(*one) for one in options if one[0] != const.COOKIE)
    size = min(max(size, NO_EDNS_SIZE), most)
    head = _TYPE_OPT + max(size - OPTION_SIZE, NO_EDNS_SIZE).to_bytes(2, "big")
    opt = head + data[start + 5 : start + 9] + len(rest).to_bytes(2, "big") + rest
    return Taken(data[:start] + opt + data[end:], cookie, size, data[5] == 1)


def _find_opt(data: bytes) -> tuple[int, int, int] | None:
    """Return where the OPT of a query begins and ends, and the room it announces.

    None for other messages, and for versions of EDNS that nobody knows: their options may differ.
    """
    flags, questions, answers, authorities, additionals = HEADER.unpack_from(data, 2)
    if flags & (const.QR | const.OPCODE_MASK) or questions > 1 or answers or authorities:
        return None
    position = HEADER_SIZE
    if questions:
        position = skip_name(data, position, pointers=False) + 4
    for _ in range(min(additionals, 2)):
        begin, position = position, skip_name(data, position)
        rtype, size, ttl, length = RECORD.unpack_from(data, position)
        position += RECORD.size + length
        if position > len(data):
            return None
        if rtype == const.OPT and data[begin] == 0:
            return None if ttl >> 16 & 0xFF else (begin, position, size)
    return None


def put_cookie(reply: bytes, cookie: bytes, most: int) -> bytes:
    """Return a reply of ours, whose OPT is its end, with a cookie, at most `most` octets long.

    Where that is too much the reply is emptied and TC set: over TCP there is room. One without an
    OPT stays as it is.
    """
    at = _find_last_opt(reply)
    if at < 0:
        return reply
    option = build_option(const.COOKIE, cookie)
    if len(reply) + len(option) > most:
        cut = _emptied(reply, at)
        if cut is None or len(cut) + len(option) > most:
            return reply
        reply, at = cut, len(cut) - _OPT_HEAD
    had = len(reply) - at - _OPT_HEAD
    length = (had + len(option)).to_bytes(2, "big")
    return reply[: at + _OPT_HEAD - 2] + length + reply[at + _OPT_HEAD :] + option


def _find_last_opt(reply: bytes) -> int:
    """Return where the OPT at the end of a reply begins, -1 if there is none.

    No option of ours holds what looks like one of just that length: texts in them are printable.
    """
    at = reply.rfind(_TYPE_OPT, HEADER_SIZE)
    while at >= 0:
        head = at + _OPT_HEAD
        if reply[head - 2 : head] == (len(reply) - head & 0xFFFF).to_bytes(2, "big"):
            return at
        at = reply.rfind(_TYPE_OPT, HEADER_SIZE, at + len(_TYPE_OPT) - 1)
    return -1


def _emptied(reply: bytes, at: int) -> bytes | None:
    """Return a reply with nothing but its question and a plain OPT (the one at `at`), TC set."""
    flags, questions, *_ = HEADER.unpack_from(reply, 2)
    try:
        end = skip_name(reply, HEADER_SIZE) + 4 if questions else HEADER_SIZE
    except (IndexError, WireError):
        return None
    head = HEADER.pack(flags | const.TC, questions, 0, 0, 1)
    return reply[:2] + head + reply[HEADER_SIZE:end] + reply[at : at + _OPT_HEAD - 2] + b"\0\0"
