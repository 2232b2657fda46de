"""Replies of upstreams seen before: recognised as bytes, so that nothing is read twice.

Consul shuffles: of n instances there are n! replies. Those that are nothing but addresses, or SRV
records with what belongs to each, are recognised in any order, and passed on in the one they came
in. Whatever else differs is not recognised: a record, a TTL, a flag, a count, the spelling of the
question, the OPT.
"""

from __future__ import annotations

import struct
from copy import copy
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from consulfwd.dns import replies
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.records import MAX_POINTER, QUESTION_POINTER, size_of_addresses
from consulfwd.dns.wire import HEADER_SIZE, Query

# What a record's kind looks like, and where in a SRV record its target is.
_SRV, _TXT = b"\0\x21\0\1", b"\0\x10\0\1"
_ADDRESSES = (b"\0\1\0\1", b"\0\x1c\0\1")
SRV_NAME = 18
# So few records have so few orders that whole replies are found sooner.
FEW = 3
# What is remembered of a reply takes so many octets by itself, and so many times the reply's.
NOTED, TIMES = 1024, 8


class Pieces(NamedTuple):
    """What a reply to a client is made of: its ID, `head`, data[begin:end] of the upstream's
    reply, `tail`."""

    head: bytes
    begin: int
    end: int
    tail: bytes


class Known:
    """A reply seen before: its message, and what it makes for clients on and off the host.

    `kept` is the message as the cache keeps it, `octets` about what all this takes. With a `size`,
    that of each record, it is known in any order: between `begin` and `end` are its records, which
    are `ordered` here, between `head` (behind the ID) and `tail`.
    """

    __slots__ = (
        "_unpack", "begin", "end", "head", "kept", "lasts", "length", "message", "octets",
        "off_host", "on_host", "ordered", "positive", "size", "source", "tail", "ttl",
    )  # fmt: skip

    def __init__(
        self, message: Message, source: str, ttl: int, lasts: int, data: bytes, begin: int
    ) -> None:
        """Know `data`, whose records begin at `begin` and that was read as `message`."""
        self.message = message
        self.kept = message.second_hand()
        self.positive = message.positive
        self.source = source
        self.ttl = ttl
        self.lasts = lasts
        self.on_host: Pieces | None = None
        self.off_host: Pieces | None = None
        self.length = len(data)
        self.octets = NOTED + TIMES * self.length
        count = len(message.ends)
        end = begin + len(message.body)
        self.size = 0
        self.begin = self.end = 0
        # Where limits of the settings change TTLs, what came is not what is given.
        if count == message.answers > FEW and data[begin:end] == message.body:
            self.size = size_of_addresses(message.body, count)
        if self.size:
            self.begin, self.end = begin, end
            self.head, self.tail = data[2:begin], data[end:]
            self._unpack = _records(self.size, count).unpack_from
            self.ordered = b"".join(sorted(self._unpack(data, begin)))

    def is_in(self, data: bytes) -> bool:
        """Return whether a datagram is this reply but for its ID and the order of its records.

        To be asked of those with a `size` only.
        """
        begin = self.begin
        return (
            len(data) == self.length
            and data[2:begin] == self.head
            and data[self.end :] == self.tail
            and b"".join(sorted(self._unpack(data, begin))) == self.ordered
        )

    def as_came(self, data: bytes) -> Message:
        """Return the message of a datagram that this was recognised in, its records in order."""
        if not self.size:
            return self.message
        message = copy(self.message)
        message.body = data[self.begin : self.end]
        return message

    def pieces(self, query: Query, limit: int) -> Pieces | None:
        """Return what replies to `query` are made of, at most `limit` octets long.

        None where they are not alike: each is to be made of its message then.
        """
        reply = replies.respond(query, b"", self.message, limit)
        if not self.size:
            return Pieces(reply, 0, 0, b"")
        begin = HEADER_SIZE - 2 + len(query.question)
        # Fewer where it had to be cut.
        octets = int.from_bytes(reply[4:6], "big") * self.size
        return Pieces(reply[:begin], self.begin, self.begin + octets, reply[begin + octets :])


class Instances(Known):
    """SRV records, each with its addresses and texts behind all of them, in whatever order.

    What belongs to one begins with a pointer to where its target is first. That is somewhere else
    in each order, so what must stand there is made of the order found in the answers.
    """

    __slots__ = ("_question", "_records")

    def __init__(
        self, like: Known, data: bytes, question: bytes, records: dict[bytes, tuple[bytes, ...]]
    ) -> None:
        """Know the reply in `data` by its SRV records, with what is behind the pointers of each."""
        begin = HEADER_SIZE + len(question)
        super().__init__(like.message, like.source, like.ttl, like.lasts, data, begin)
        self.begin, self.end = begin, begin + len(like.message.body)
        self.head, self.tail = data[2:begin], data[self.end :]
        self.octets += TIMES * self.length
        self._question = question
        self._records = records

    def is_in(self, data: bytes) -> bool:
        """Return whether a datagram is this reply but for its ID and the order of its records."""
        at = self.begin
        if len(data) != self.length or data[2:at] != self.head or data[self.end :] != self.tail:
            return False
        left = self._records.copy()
        first: dict[bytes, bytes] = {}
        behind = []
        for _ in range(len(left)):
            end = at + SRV_NAME - 6 + (data[at + 10] << 8 | data[at + 11])
            more = left.pop(data[at:end], None)
            if more is None:
                return False
            if more:
                target = data[at + SRV_NAME : end]
                pointer = first.get(target)
                if pointer is None:
                    pointer = first[target] = (0xC000 | at + SRV_NAME).to_bytes(2, "big")
                for one in more:
                    behind.append(pointer)
                    behind.append(one)
            at = end
        return data[at : self.end] == b"".join(behind)

    def as_came(self, data: bytes) -> Message:
        """Return the message of a datagram that this was recognised in."""
        return read_reply(data, self._question)

    def pieces(self, query: Query, limit: int) -> Pieces | None:
        """Return what replies to `query` are made of; None where they must be cut."""
        if not replies.fits(query, self.message, limit):
            return None
        reply = replies.respond(query, b"", self.message, limit)
        begin = HEADER_SIZE - 2 + len(query.question)
        tail = reply[begin + self.end - self.begin :]
        return Pieces(reply[:begin], self.begin, self.end, tail)


def instances(known: Known, data: bytes, question: bytes) -> Instances | None:
    """Return the same reply, known by its instances in any order; None where that cannot be.

    `known` was read in `data`.
    """
    message, begin = known.message, HEADER_SIZE + len(question)
    body, ends, answers = message.body, message.ends, message.answers
    if (
        question[-4:] != _SRV
        or answers <= FEW
        or message.authorities
        or begin + ends[answers - 1] > MAX_POINTER
        or data[begin : begin + len(body)] != body
    ):
        return None
    records: dict[bytes, list[bytes]] = {}
    places: dict[bytes, bytes] = {}
    for at, end in pairwise((0, *ends[:answers])):
        if body[at : at + 6] != QUESTION_POINTER + _SRV:
            return None
        if not _is_spelled(body, at + SRV_NAME, end):
            return None
        records[body[at:end]] = []
        place = (0xC000 | begin + at + SRV_NAME).to_bytes(2, "big")
        places.setdefault(body[at + SRV_NAME : end], place)
    # One after the other, and each begins with an address.
    left = iter(records)
    pointer, mine = b"", []
    for at, end in pairwise(ends[answers - 1 :]):
        if body[at + 2 : at + 6] in _ADDRESSES:
            record = next(left, b"")
            pointer, mine = places.get(record[SRV_NAME:], b""), records.get(record, [])
        elif body[at + 2 : at + 6] != _TXT:
            return None
        if body[at : at + 2] != pointer:
            return None
        mine.append(body[at + 2 : end])
    if len(records) != answers or (len(ends) > answers and next(left, None) is not None):
        return None
    return Instances(known, data, question, {one: (*more,) for one, more in records.items()})


def _is_spelled(body: bytes, at: int, end: int) -> bool:
    """Return whether a name without pointers is all there is."""
    while at < end and 0 < body[at] < 0xC0:
        at += 1 + body[at]
    return at == end - 1 and not body[at]


@lru_cache(maxsize=64)
def _records(size: int, count: int) -> struct.Struct:
    return struct.Struct(f"{size}s" * count)
