"""The bounds-checked reader: queries from clients, names inside messages (RFC 1035 section 4).

Whatever the bytes, only WireError gets out, in time linear in their number. Compression
pointers are followed only backwards. Knows nothing of caches, clients or sockets.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from consulfwd.dns import const
from consulfwd.dns.edns import Edns, read_opt
from consulfwd.dns.names import MAX_NAME, ROOT
from consulfwd.errors import WireError

HEADER = struct.Struct("!HHHHH")
RECORD = struct.Struct("!HHIH")
HEADER_SIZE = 12
NO_EDNS_SIZE = 512
# A name has at most 127 labels, so no encoder needs more. Without a limit a chain of pointers,
# walked again for each record that points to its end, costs the square of a message's size.
MAX_POINTERS = 128
# How much of a message that is refused is looked at for its OPT.
MAX_LOOKED_AT = 64


class Query(NamedTuple):
    """A client's question as far as it does not depend on the message ID.

    `question` is the section as spelled by the client; `name` the folded wire name.
    """

    flags: int
    question: bytes
    name: bytes
    qtype: int
    qclass: int
    edns: Edns | None

    @property
    def do(self) -> bool:
        """Return whether DNSSEC records are asked for (RFC 3225)."""
        return self.edns is not None and self.edns.do


def read_query(data: bytes) -> Query:
    """Return the query in a datagram or TCP message (the ID is not looked at).

    Raises WireError; its `rcode` is None where a server keeps silent (too short for a header, or
    a response), else what to answer. What the header alone shows is refused before the rest is
    read.
    """
    if len(data) < HEADER_SIZE:
        raise WireError("shorter than a DNS header")
    flags, questions, answers, authorities, additionals = HEADER.unpack_from(data, 2)
    if flags & const.QR:
        raise WireError("a response where a query belongs")
    if flags & const.OPCODE_MASK:
        raise WireError("an opcode other than QUERY", const.NOTIMP)
    if questions != 1 or answers or authorities > 1 or additionals > 2:
        raise WireError("not exactly one question and nothing else", const.FORMERR)
    try:
        end = skip_name(data, HEADER_SIZE, pointers=False)
        qtype, qclass = struct.unpack_from("!HH", data, end)
        position = end + 4
        edns = None
        # Who asks for the changes of a zone says which one it has (RFC 1995 section 3).
        if authorities and qtype != const.IXFR:
            raise WireError("a record in Authority", const.FORMERR)
        for index in range(authorities + additionals):
            is_root = data[position] == 0
            start = skip_name(data, position)
            rtype, rclass, ttl, length = RECORD.unpack_from(data, start)
            position = start + RECORD.size + length
            if position > len(data):
                raise WireError("a record runs past the end", const.FORMERR)
            if rtype == const.OPT:
                if edns is not None or not is_root or index < authorities:
                    raise WireError("an OPT where none may stand", const.FORMERR)
                edns = read_opt(rclass, ttl, data[start + RECORD.size : position])
    except (IndexError, struct.error):
        raise WireError("the message is cut short", const.FORMERR) from None
    except WireError as error:
        raise WireError(str(error), const.FORMERR) from None
    if position != len(data):
        raise WireError("something follows the message", const.FORMERR)
    question = data[HEADER_SIZE : end + 4]
    return Query(flags, question, data[HEADER_SIZE:end].lower(), qtype, qclass, edns)


def question_echo(data: bytes) -> bytes:
    """Return the question section of a broken query if it can be read, else nothing."""
    try:
        if data[4:6] != b"\0\1":
            return b""
        end = skip_name(data, HEADER_SIZE, pointers=False) + 4
    except (IndexError, WireError):
        return b""
    return data[HEADER_SIZE:end] if end <= len(data) else b""


def edns_echo(data: bytes) -> Edns | None:
    """Return what the OPT of a query that is refused says, None if there is none to be read."""
    position = HEADER_SIZE
    try:
        questions, *counts = HEADER.unpack_from(data, 2)[1:]
        if questions + sum(counts) > MAX_LOOKED_AT:
            return None
        for _ in range(questions):
            position = skip_name(data, position) + 4
        for index in range(sum(counts)):
            is_root = data[position] == 0
            start = skip_name(data, position)
            rtype, rclass, ttl, length = RECORD.unpack_from(data, start)
            position = start + RECORD.size + length
            if rtype == const.OPT and is_root and index >= counts[0] + counts[1]:
                rdata = data[position - length : position]
                return read_opt(rclass, ttl, rdata) if len(rdata) == length else None
    except (IndexError, struct.error, WireError):
        pass
    return None


def skip_name(data: bytes, position: int, *, pointers: bool = True) -> int:
    """Return the offset behind the name at `position`.

    Raises WireError for a forward or self pointer, a reserved label type, or a name over 255
    octets; IndexError when the data ends first.
    """
    start = position
    while length := data[position]:
        if length >= 0xC0:
            if (
                not pointers
                or not HEADER_SIZE <= ((length & 0x3F) << 8 | data[position + 1]) < start
            ):
                raise WireError("a compression pointer that does not go backwards")
            return position + 2
        if length > 63:
            raise WireError("a reserved label type")
        position += length + 1
        if position - start >= MAX_NAME:
            raise WireError(f"a name longer than {MAX_NAME} octets")
    return position + 1


def check_name(data: bytes, position: int, known: dict[int, int]) -> int:
    """Return the offset behind the name at `position`, which `read_name` can read then.

    `known` holds the length of the name at each target already followed, and learns new ones.
    Raises WireError as `read_name` does, IndexError when the data ends first.
    """
    start = position
    while length := data[position]:
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | data[position + 1]
            rest = known.get(target)
            if rest is None:
                if not HEADER_SIZE <= target < start:
                    raise WireError("a compression pointer that does not go backwards")
                rest = known[target] = len(_read_name(data, target, 1))
            if position - start + rest > MAX_NAME:
                raise WireError(f"a name longer than {MAX_NAME} octets")
            return position + 2
        if length > 63:
            raise WireError("a reserved label type")
        position += length + 1
        if position - start >= MAX_NAME:
            raise WireError(f"a name longer than {MAX_NAME} octets")
    return position + 1


def read_name(data: bytes, position: int) -> bytes:
    """Return the uncompressed name at `position`, its spelling kept.

    Raises WireError where a pointer does not lead strictly backwards, on overlength, and when the
    data ends first.
    """
    try:
        return _read_name(data, position, 0)
    except IndexError:
        raise WireError("a name is cut short") from None


def _read_name(data: bytes, position: int, pointers: int) -> bytes:
    labels: list[bytes] = []
    total = 1
    barrier = position
    while length := data[position]:
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | data[position + 1]
            if not HEADER_SIZE <= target < barrier:
                raise WireError("a compression pointer that does not go backwards")
            pointers += 1
            if pointers > MAX_POINTERS:
                raise WireError("a name with too many compression pointers")
            position = barrier = target
            continue
        if length > 63:
            raise WireError("a reserved label type")
        label = data[position : position + length + 1]
        if len(label) <= length:
            raise IndexError
        labels.append(label)
        total += length + 1
        if total > MAX_NAME:
            raise WireError(f"a name longer than {MAX_NAME} octets")
        position += length + 1
    return b"".join(labels) + ROOT
