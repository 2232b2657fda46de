"""SRV records with what belongs to each instance, recognised in any order (see `known`).

Addresses and texts stand behind all SRV records, in the order of these. Their owners are pointers
to where the name is first, or spelled out as far as it is nowhere yet: that depends on the order.
So an order is found in the answers, and what must stand behind them is made of it, and compared.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from consulfwd.core.known import FEW, TIMES, Known, Pieces
from consulfwd.dns import replies
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.records import MAX_POINTER, QUESTION_POINTER
from consulfwd.dns.wire import HEADER_SIZE, Query, read_name, skip_name

_SRV, _TEXT = b"\0\x21\0\1", b"\0\x10\0\1"
_ADDRESSES = (b"\0\1\0\1", b"\0\x1c\0\1")
# Where the length of its data and the target are in a SRV record whose owner is a pointer.
LENGTH, TARGET = 10, 18
# The ends of a name, each with how far in it begins.
Ends = tuple[tuple[bytes, int], ...]


class Beside(NamedTuple):
    """A record that belongs to an instance: its owner, the ends of that to be looked for, and what
    is behind it."""

    owner: bytes
    ends: Ends
    behind: bytes


# The ends of names that others may point to, by where they are in the SRV record; and what belongs
# to the instance.
Instance = tuple[Ends, tuple[Beside, ...]]


class Instances(Known):
    """A reply known by its SRV records, each with what belongs to it."""

    __slots__ = ("_question", "_records")

    def __init__(
        self, like: Known, data: bytes, question: bytes, records: dict[bytes, Instance]
    ) -> None:
        """Know the reply in `data`, that of `like`."""
        begin = HEADER_SIZE + len(question)
        super().__init__(like.message, like.source, like.ttl, like.lasts, data, begin)
        self.begin, self.end = begin, begin + len(like.message.body)
        self.head, self.tail = data[2:begin], data[self.end :]
        self.octets += 2 * TIMES * self.length
        self._question = question
        self._records = records

    def is_in(self, data: bytes) -> bool:
        """Return whether a datagram is this reply but for its ID and the order of its records."""
        at = self.begin
        if len(data) != self.length or data[2:at] != self.head or data[self.end :] != self.tail:
            return False
        left = self._records.copy()
        places: dict[bytes, int] = {}
        order = []
        for _ in range(len(left)):
            end = at + LENGTH + 2 + (data[at + LENGTH] << 8 | data[at + LENGTH + 1])
            found = left.pop(data[at:end], None)
            if found is None:
                return False
            for name, offset in found[0]:
                if name not in places:
                    places[name] = at + offset
            order.append(found[1])
            at = end
        return data[at : self.end] == _beside(order, places, at)

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


def _beside(order: list[tuple[Beside, ...]], places: dict[bytes, int], at: int) -> bytes:
    """Return what stands behind the SRV records, from `at` on, in this order.

    `places` is where names are, and learns new ones.
    """
    parts = []
    for those in order:
        for owner, ends, behind in those:
            place = spelled = 0
            for name, spelled in ends:
                place = places.get(name, 0)
                if place:
                    break
                places[name] = at + spelled
            pointer = (0xC000 | place).to_bytes(2, "big")
            part = owner[:spelled] + pointer + behind if spelled else pointer + behind
            parts.append(part)
            at += len(part)
    return b"".join(parts)


def instances(known: Known, data: bytes, question: bytes) -> Instances | None:
    """Return the same reply, known by its instances in any order; None where that cannot be.

    `known` was read in `data`.
    """
    message, begin = known.message, HEADER_SIZE + len(question)
    body, answers = message.body, message.answers
    end = begin + len(body)
    if (
        question[-4:] != _SRV
        or answers <= FEW
        or message.authorities
        or end > MAX_POINTER
        or data[begin:end] != body
    ):
        return None
    ends = [begin, *(begin + one for one in message.ends)]
    targets: dict[bytes, bytes] = {}
    for at, then in pairwise(ends[: answers + 1]):
        name = data[at + TARGET : then]
        if data[at : at + 6] != QUESTION_POINTER + _SRV or read_name(data, at + TARGET) != name:
            return None
        targets[data[at:then]] = name
    there = {name for target in targets.values() for name, _ in _ends(target)}
    besides = _read_beside(data, ends[answers:], there)
    if besides is None or len(targets) != answers or len(besides) not in (0, answers):
        return None
    besides += [()] * (answers - len(besides))
    wanted = {name for those in besides for one in those for name, _ in one.ends}
    records = {
        record: (
            tuple((name, TARGET + at) for name, at in _ends(target) if name in wanted), those
        )
        for (record, target), those in zip(targets.items(), besides, strict=True)
    }  # fmt: skip
    found = Instances(known, data, question, records)
    return found if found.is_in(data) else None


def _read_beside(
    data: bytes, ends: list[int], there: set[bytes]
) -> list[tuple[Beside, ...]] | None:
    """Return what belongs to each instance, which begins with an address; None if that is not so.

    `there` are the names, and ends of them, that the answers have.
    """
    found: list[tuple[Beside, ...]] = []
    for at, then in pairwise(ends):
        owner, kind = read_name(data, at), skip_name(data, at)
        looked: list[tuple[bytes, int]] = []
        for end in _ends(owner):
            looked.append(end)
            if end[0] in there:
                break
        else:
            return None
        one = Beside(owner, tuple(looked), data[kind:then])
        if data[kind : kind + 4] in _ADDRESSES:
            found.append((one,))
        elif data[kind : kind + 4] == _TEXT and found:
            found[-1] += (one,)
        else:
            return None
    return found


def _ends(name: bytes) -> Ends:
    """Return a name, and what is left of it behind each label, but the root."""
    found = []
    at = 0
    while name[at]:
        found.append((name[at:], at))
        at += 1 + name[at]
    return tuple(found)
