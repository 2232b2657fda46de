"""Replies of upstreams seen before: recognised as bytes, so that nothing is read twice.

Consul shuffles: of n instances there are n! replies. Those that are nothing but addresses are
recognised in any order (SRV records see `instances`), and passed on in the one they came in.
Whatever else differs is not recognised: a record, a TTL, a flag, a count, the spelling of the
question, the OPT.
"""

from __future__ import annotations

import struct
from copy import copy
from functools import lru_cache
from typing import NamedTuple

from consulfwd.dns import replies
from consulfwd.dns.message import Message
from consulfwd.dns.records import size_of_addresses
from consulfwd.dns.wire import HEADER_SIZE, Query

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


@lru_cache(maxsize=64)
def _records(size: int, count: int) -> struct.Struct:
    return struct.Struct(f"{size}s" * count)
