"""Answers whose records may stand in another order: what leads into them goes with them.

Consul's additional addresses point to the targets of the SRV records before them. Names are read
once for each message; an order is a few slices then, and as many pointers as there are, moved.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from copy import copy
from itertools import accumulate, pairwise

from consulfwd.dns import const
from consulfwd.dns.message import Message, between_ttls
from consulfwd.dns.records import MAX_POINTER, NAMES_IN_RDATA, QUESTION_POINTER, skip_strings
from consulfwd.dns.wire import HEADER_SIZE, RECORD

# From the first to the one behind the last.
Range = tuple[int, int]


class Movable:
    """A message whose answers may stand in any order, and the pointers that go with them.

    In the answers names are spelled out, but for pointers to the question. Of many answers the
    first so many stay `near`: pointers would not reach them further off. `even` says that all its
    TTLs are alike, and nothing else is like them.
    """

    __slots__ = ("_leads", "_near", "_places", "_pointers", "_starts", "_step", "even", "message")

    def __init__(
        self, message: Message, starts: list[int], near: int, leads: list[tuple[int, int]],
        start: int,
    ) -> None:  # fmt: skip
        """Know where answers begin and the last ends, and what `leads` (where to, where it is)."""
        self.message = message
        self.even = between_ttls(message.body, message.ttls) is not None
        self._starts = array("H", starts)
        self._near = near
        targets = [target for target, _ in leads]
        self._leads = array("H", [bisect_left(targets, at) for at in starts])
        self._pointers = b"".join([(0xC000 | at + start).to_bytes(2, "big") for at in targets])
        self._places = array("H", [place - starts[-1] for _, place in leads])
        self._step = _step(self._places)

    def order(self, first: int, turn: int) -> list[Range]:
        """Return the answers with one of them `first`, the others from behind so many on."""
        near, count = self._near, len(self._starts) - 1
        ranges = [(first, first + 1), *_others(0, near, first, turn)]
        return ranges if near == count else ranges + _others(near, count, first, turn)

    def ordered(self, body: bytes, ranges: list[Range]) -> bytes:
        """Return a body (the message's, or one with other TTLs) with its answers in this order."""
        starts, leads = self._starts, self._leads
        parts: list[bytes | bytearray] = []
        pointers: list[tuple[int, bytes]] = []
        at = 0
        for low, high in ranges:
            begin = starts[low]
            parts.append(body[begin : starts[high]])
            first, last = leads[low], leads[high]
            if first < last:
                moved = _moved(self._pointers[2 * first : 2 * last], at - begin)
                pointers.append((first, moved))
            at += starts[high] - begin
        parts.append(self._pointed(body[starts[-1] :], pointers))
        return b"".join(parts)

    def _pointed(self, rest: bytes, pointers: list[tuple[int, bytes]]) -> bytes | bytearray:
        if not pointers:
            return rest
        found = bytearray(rest)
        places, step = self._places, self._step
        for first, moved in pointers:
            count = len(moved) // 2
            if step:
                begin = places[first]
                end = begin + step * (count - 1) + 1
                found[begin:end:step] = moved[::2]
                found[begin + 1 : end + 1 : step] = moved[1::2]
            else:
                for number, place in enumerate(places[first : first + count]):
                    found[place : place + 2] = moved[2 * number : 2 * number + 2]
        return found

    def with_ttls_of(self, body: bytes, message: Message) -> bytes:
        """Return the body with the TTLs of that of a message with the same records."""
        own = self.message.ttls
        if self.even:
            at, there = own[0], message.ttls[0]
            parts = self.message.body.split(self.message.body[at : at + 4])
            return body[there : there + 4].join(parts)
        found = bytearray(self.message.body)
        for at, there in zip(own, message.ttls, strict=True):
            found[at : at + 4] = body[there : there + 4]
        return bytes(found)

    def cut(self, body: bytes, ranges: list[Range]) -> Message:
        """Return the message with its answers in this order, to be cut where a record ends."""
        told = copy(self.message)
        told.body = self.ordered(body, ranges)
        starts = self._starts
        sizes = [starts[at + 1] - starts[at] for low, high in ranges for at in range(low, high)]
        told.ends = [*accumulate(sizes), *told.ends[len(sizes) :]]
        return told


def _others(low: int, high: int, first: int, turn: int) -> list[Range]:
    """Return those from `low` to `high`, without `first`, from behind so many of them on."""
    if not low <= first < high:
        then = low + turn % (high - low)
        return [(then, high), (low, then)]
    then = low + turn % max(high - low - 1, 1)
    if then < first:
        return [(then, first), (first + 1, high), (low, then)]
    return [(then + 1, high), (low, first), (first + 1, min(then + 1, high))]


def _step(places: array[int]) -> int:
    """Return from one to the next how far it is, 0 where that differs."""
    if len(places) < 2:
        return 0
    step = places[1] - places[0]
    alike = step > 0 and [*places] == [*range(places[0], places[-1] + 1, step)]
    return step if alike else 0


def _moved(pointers: bytes, distance: int) -> bytes:
    """Return pointers to so far behind where they lead; all at once, as digits of one number."""
    if not distance:
        return pointers
    ones = int.from_bytes(b"\0\1" * (len(pointers) // 2), "big")
    return (int.from_bytes(pointers, "big") + distance * ones).to_bytes(len(pointers), "big")


def movable(message: Message, question: bytes) -> Movable | None:
    """Return a message whose answers may be moved as they stand; None if they may not.

    Nothing in them may lead to another of them, and every pointer must lead to a whole name or the
    end of one: what else it leads through may be somewhere else then.
    """
    body, answers = message.body, message.answers
    start = HEADER_SIZE + len(question)
    starts = [0, *message.ends]
    owner = 1 if body[0] == 0 else 2
    if owner == 2 and body[:2] != QUESTION_POINTER:
        return None
    asked = {HEADER_SIZE + at for at in _labels(question, 0)}
    # Of one owner, type and class.
    head = body[: owner + 4]
    for at in starts[:answers]:
        if body[at : at + len(head)] != head:
            return None
        if not asked.issuperset(_target(body, place) for place in _pointers(body, at)):
            return None
    leads = []
    for at in starts[answers:-1]:
        for place in _pointers(body, at):
            target = _target(body, place)
            if target in asked:
                continue
            target -= start
            number = bisect_right(starts, target) - 1
            if number < 0 or not _is_name(body, starts[number], target):
                return None
            if number < answers:
                leads.append((target, place))
    starts = starts[: answers + 1]
    leads.sort()
    near = answers
    if leads and start + starts[-1] > MAX_POINTER:
        near = bisect_right(starts, leads[-1][0])
        longest = max(end - at for at, end in pairwise(starts))
        # Any of those behind may come first.
        if start + starts[near] + longest > MAX_POINTER:
            return None
    return Movable(message, starts, near, leads, start)


def _target(body: bytes, place: int) -> int:
    return (body[place] & 0x3F) << 8 | body[place + 1]


def _names(body: bytes, at: int) -> Iterator[Range]:
    """Yield the names of a record that may be compressed: its owner, and those in its data.

    Each is where it begins, and where its end is: a pointer, or the root's octet.
    """
    end = _end(body, at)
    yield at, end
    at = end + (2 if body[end] else 1)
    rtype = body[at] << 8 | body[at + 1]
    if rtype in NAMES_IN_RDATA:
        before, names, _ = NAMES_IN_RDATA[rtype]
        at += RECORD.size + before
        if rtype == const.NAPTR:
            at = skip_strings(body, at, 3)
        for _ in range(names):
            end = _end(body, at)
            yield at, end
            at = end + (2 if body[end] else 1)


def _end(body: bytes, at: int) -> int:
    while 0 < (length := body[at]) < 0xC0:
        at += 1 + length
    return at


def _labels(body: bytes, at: int) -> Iterator[int]:
    """Yield where each label of a name begins, as far as it stands there."""
    while 0 < body[at] < 0xC0:
        yield at
        at += 1 + body[at]


def _pointers(body: bytes, at: int) -> Iterator[int]:
    """Yield where there is a pointer in a name of the record that begins there."""
    return (end for _, end in _names(body, at) if body[end])


def _is_name(body: bytes, at: int, target: int) -> bool:
    """Return whether a name of the record that begins at `at`, or an end of one, is at `target`."""
    return any(target in _labels(body, name) for name, _ in _names(body, at))
