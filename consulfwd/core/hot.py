"""The hot table: whole datagrams (but their ID) to ready answers, nothing parsed on a hit.

One table per listener. Each second it is gone through: TTLs count down, and what would run out
before the next second goes, so no expiry is checked on a hit. Whatever leaves the cache leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, cycle, islice
from typing import TYPE_CHECKING, Protocol

from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.records import is_rrset, orders, read_records, rotations, size_of_addresses
from consulfwd.dns.replies import STREAM_LIMIT, fits, respond
from consulfwd.dns.wire import HEADER_SIZE, Query
from consulfwd.errors import WireError

if TYPE_CHECKING:
    import random

    from consulfwd.core.cache import Entry

MAX_ENTRIES = 4096
# What they may take in all (octets); what one takes by itself; and all orders of one answer.
MAX_OCTETS, NOTED, MAX_OF_ONE = 4 << 20, 512, 64 << 10
MAX_VARIANTS = 16
# What making variants may cost: so many records in all of them. Larger answers keep their order.
MAX_RECORDS = 2048
# The same where they are made one by one, as long as somebody asks; then they are given again. Of
# few records no more than so many for each, or they would be kept by the thousand.
MAX_IN_TURN, EACH_IN_TURN = 8192, 8
_ZERO = bytes(4)
# Where a reply without its ID has the number of its answers.
_ANCOUNT = slice(4, 6)
Variant = Callable[[], bytes]


class Ready(Protocol):
    """Answers to one datagram; `hits` counts those given, `octets` is what they take."""

    hits: int

    @property
    def octets(self) -> int:
        """Return what they take."""

    def given(self) -> Variant:
        """Return what gives the next one."""

    def age(self, seconds: int) -> bool:
        """Count their TTLs down; False where that takes longer than to make them anew."""


class Compiled(Protocol):
    """Makes ready answers of replies that take turns, or of one and its plain RRset's records.

    These stand at `begin`, each of `size` octets; there may be more than fit into the reply.
    """

    def __call__(
        self,
        replies: Sequence[bytes],
        begin: int = 0,
        size: int = 0,
        records: bytes = b"",
        seed: int = 1,
    ) -> Ready:
        """Return them. Raises ValueError for what is no message."""


class PureReady:
    """Answers that are made while they are asked for, `most` at most, then given again in turn.

    Those that `fade` have TTLs that count down; of a `part` not every record comes first.
    """

    __slots__ = ("_fades", "_made", "_most", "hits", "octets", "part", "replies", "whole")

    def __init__(
        self, made: Iterator[bytes], most: int, octets: int, *, fades: bool, part: bool
    ) -> None:
        self.hits = 0
        self.octets = octets
        self.replies: list[bytes] = []
        # Whether they are all made.
        self.whole = False
        self._made = made
        self._most = most
        self._fades = fades
        self.part = part

    def given(self) -> Variant:
        return self._turns().__next__

    def _turns(self) -> Iterator[bytes]:
        replies = self.replies
        for reply in islice(self._made, self._most):
            if replies and reply is replies[0]:
                # The same again is what has no order to vary.
                break
            replies.append(reply)
            self.hits += 1
            yield reply
        self.whole = True
        for reply in cycle(replies):
            self.hits += 1
            yield reply

    def age(self, seconds: int) -> bool:
        return not self.part and not (seconds and self._fades)


class Place:
    """What is known of a datagram in the table; `age` is how old its TTLs tell the entry to be."""

    __slots__ = ("age", "entry", "key", "octets", "ready")

    def __init__(self, ready: Ready, entry: Entry, key: bytes, age: int, octets: int) -> None:
        self.ready = ready
        self.entry = entry
        self.key = key
        self.age = age
        self.octets = octets


class HotTable:
    """`answers` is what the listener's loop looks in; the rest keeps it bounded and true."""

    def __init__(self, compiled: Compiled | None = None) -> None:
        self.answers: dict[bytes, Variant] = {}
        self.octets = 0
        self._compiled = compiled
        self._places: dict[bytes, Place] = {}

    def has_room(self, message: Message) -> bool:
        """Return whether there is room for an answer."""
        if len(self._places) >= MAX_ENTRIES:
            return False
        return self.octets + NOTED + _times(message) * len(message.body) <= MAX_OCTETS

    def put(self, datagram: bytes, key: bytes, entry: Entry, age: int, ready: Ready) -> Variant:
        """Have a datagram (without its ID) answered by an entry, which is so many seconds old.

        `key` is the entry's. Return what gives the next answer.
        """
        self.remove(datagram)
        octets = NOTED + len(datagram) + ready.octets
        self._places[datagram] = Place(ready, entry, key, age, octets)
        self.octets += octets
        give = self.answers[datagram] = ready.given()
        if entry.hot is None:
            entry.hot = set()
        entry.hot.add((self, datagram))
        return give

    def remove(self, datagram: bytes) -> None:
        """Forget the answer to a datagram, if there is one."""
        place = self._places.pop(datagram, None)
        if place is not None:
            del self.answers[datagram]
            self.octets -= place.octets
            if place.entry.hot is not None:
                place.entry.hot.discard((self, datagram))

    def clear(self) -> None:
        """Forget every answer: something changed."""
        for datagram in [*self._places]:
            self.remove(datagram)

    def age(self, now: float, ends: float) -> list[bytes]:
        """Count TTLs down, and forget what is not good up to `ends`; return whose were given.

        Where there is not much room left, those go too that were not given since the last time.
        """
        crowded = 2 * len(self._places) > MAX_ENTRIES or 2 * self.octets > MAX_OCTETS
        used: list[bytes] = []
        gone: list[bytes] = []
        for datagram, place in self._places.items():
            ready = place.ready
            if ready.hits:
                used.append(place.key)
                ready.hits = 0
            elif crowded:
                gone.append(datagram)
                continue
            entry = place.entry
            age = int(now - entry.stored_at)
            if entry.expires_at < ends or not self._grows_older(datagram, place, age - place.age):
                gone.append(datagram)
            place.age = age
        for datagram in gone:
            self.remove(datagram)
        return used

    def _grows_older(self, datagram: bytes, place: Place, seconds: int) -> bool:
        ready = place.ready
        if ready.age(seconds):
            return True
        if self._compiled is None or not isinstance(ready, PureReady):
            return False
        if ready.part or not ready.whole:
            return False
        # All are made, and there are as many who ask: that need not be done again.
        place.ready = ready = self._compiled(ready.replies)
        self.answers[datagram] = ready.given()
        return ready.age(seconds)

    def make(
        self, query: Query, message: Message, limit: int, body: bytes, rng: random.Random
    ) -> Ready:
        """Return ready answers to `query`, at most `limit` octets long, with the TTLs of `body`."""
        compiled = self._compiled
        turns = in_turn(query, message, limit, body, rng)
        if compiled is not None:
            records = len(message.ends)
            plain = message.answers == records > 1 and len(body) <= STREAM_LIMIT
            size = size_of_addresses(body, records) if plain else 0
            if size:
                reply = respond(query, b"", message, limit, body=body)
                if any(reply[_ANCOUNT]):
                    begin = HEADER_SIZE - 2 + len(query.question)
                    return compiled((reply,), begin, size, body, rng.getrandbits(64))
            first, second = next(turns), next(turns)
            if first is second:
                return compiled((first,))
            turns = chain((first, second), turns)
        most = _times(message)
        fades = any(body[at : at + 4] != _ZERO for at in message.ttls)
        part = most < message.answers
        return PureReady(turns, most, most * len(body), fades=fades, part=part)


def _times(message: Message) -> int:
    """Return how many orders of an answer are made: each record comes first equally often, if all
    can."""
    answers = max(message.answers, 1)
    most = min(MAX_VARIANTS, MAX_OF_ONE // max(len(message.body), 1))
    most = max(min(most, MAX_RECORDS // max(len(message.ends), 1)), 1)
    return most // answers * answers or most


def in_turn(
    query: Query, message: Message, limit: int, body: bytes, rng: random.Random
) -> Iterator[bytes]:
    """Yield answers to `query` without their ID, without end, an RRset's records in varied order.

    Each instance comes first equally often, also where the message must be cut to `limit` (not
    every client asks again over TCP). One that holds more than a plain RRset has the one answer.
    """
    size = size_of_addresses(body, len(message.ends))
    if size and message.answers == len(message.ends) > 1:
        for other in rotations(body, size, rng):
            yield respond(query, b"", message, limit, body=other)
    yield from cycle(_read_in_turn(query, message, limit, body, rng))


def _read_in_turn(
    query: Query, message: Message, limit: int, body: bytes, rng: random.Random
) -> Iterator[bytes]:
    """Yield the answers to be given in turn for want of a cheaper way: records must be read."""
    plain = respond(query, b"", message, limit, body=body)
    records = len(message.ends)
    sections: tuple[list[bytes], ...] = ([],)
    if message.answers > 1 and records <= MAX_RECORDS:
        whole = respond(query, b"\0\0", message, STREAM_LIMIT, body=body)
        # A name that borrows its labels from a TTL field is another one a second later.
        with suppress(WireError):
            sections = read_records(whole, HEADER_SIZE + len(query.question))
    if not is_rrset(sections[0]):
        yield plain
        return
    most = max(min(MAX_IN_TURN // records, EACH_IN_TURN * records), 1)
    whole_fits = fits(query, message, limit)
    for order in islice(orders(sections[0], rng), most):
        other = assemble_message(
            query.question, (order, *sections[1:]), flags=message.flags, rcode=message.rcode
        )
        if whole_fits and not fits(query, other, limit):
            # Names are spelled out here that the message as it came has compressed.
            yield plain
            return
        yield respond(query, b"", other, limit)
