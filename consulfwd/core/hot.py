"""The hot table: whole datagrams (but their ID) to ready answers, nothing parsed on a hit.

One table per listener. Each second it is gone through: TTLs count down, and what would run out
before the next second is put aside or goes, so no expiry is checked on a hit. Whatever leaves the
cache leaves it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Protocol, cast

from consulfwd.core.ready import Compiled, PureReady, Ready, Timed, Variant
from consulfwd.dns.message import Message
from consulfwd.dns.replies import STREAM_LIMIT, respond
from consulfwd.dns.turns import in_turn, plan_of
from consulfwd.dns.wire import HEADER_SIZE, Query

if TYPE_CHECKING:
    import random

MAX_ENTRIES = 4096
# What they may take in all (octets); what one takes by itself; and all orders of one answer.
MAX_OCTETS, NOTED, MAX_OF_ONE = 4 << 20, 512, 64 << 10
# One in so many of both is for what was asked for once, too.
FOR_ALL = 4
MAX_VARIANTS = 16
# What making variants may cost: so many records in all of them. Larger answers keep their order.
MAX_RECORDS = 2048
_ZERO = bytes(4)
# Where a reply without its ID has the number of its answers.
_ANCOUNT = slice(4, 6)


class Kept(Protocol):
    """An answer as the cache keeps it (`cache.Entry`), and where it is hot."""

    expires_at: float
    stored_at: float
    message: Message
    hot: set[tuple[HotTable, bytes]] | None


class Place:
    """What is known of a datagram in the table; `age` is how old its TTLs tell the entry to be."""

    __slots__ = ("age", "entry", "key", "octets", "ready")

    def __init__(self, ready: Ready, entry: Kept, key: bytes, age: int, octets: int) -> None:
        self.ready = ready
        self.entry = entry
        self.key = key
        self.age = age
        self.octets = octets


class HotTable:
    """`answers` is what the listener's loop looks in; the rest keeps it bounded and true.

    `ending` are answers that end within this second: for who looks whether they have.
    """

    def __init__(self, compiled: Compiled | None = None) -> None:
        self.answers: dict[bytes, Variant] = {}
        self.ending: dict[bytes, Timed] = {}
        self.octets = 0
        self._compiled = compiled
        self._places: dict[bytes, Place] = {}

    def take(self, datagram: bytes) -> Variant | None:
        """Return what gives the next answer to a datagram (without its ID) if that is fresh."""
        place = self._places.get(datagram)
        return None if place is None else self.answers.get(datagram) or place.ready.given()

    def has_room(self, entry: Kept, ends: float, *, again: bool) -> bool:
        """Return whether there is room for an answer that is to be good up to `ends`.

        A part is for what was asked for `again` alone: there are clients of which each datagram is
        another one, and made-up spellings are cheap.
        """
        if self._compiled is None and entry.expires_at < ends:
            return False
        message = entry.message
        octets = self.octets + NOTED + _times(message) * len(message.body)
        part = 1 if again else FOR_ALL
        return len(self._places) < MAX_ENTRIES // part and octets <= MAX_OCTETS // part

    def put(
        self, datagram: bytes, key: bytes, entry: Kept, age: int, ready: Ready, ends: float
    ) -> Variant:
        """Have a datagram (without its ID) answered by an entry, which is so many seconds old.

        `key` is the entry's; the second ends at `ends`. Return what gives the next answer.
        """
        self.remove(datagram)
        octets = NOTED + len(datagram) + ready.octets
        self._places[datagram] = Place(ready, entry, key, age, octets)
        self.octets += octets
        if entry.hot is None:
            entry.hot = set()
        entry.hot.add((self, datagram))
        give = ready.given()
        if entry.expires_at >= ends:
            self.answers[datagram] = give
        elif not self._ends(datagram, ready, entry.expires_at):
            self.remove(datagram)
        return give

    def _ends(self, datagram: bytes, ready: Ready, at: float) -> bool:
        """Put aside what is not good for a whole second; False where that cannot be."""
        if isinstance(ready, PureReady):
            return False
        self.answers.pop(datagram, None)
        timed = self.ending[datagram] = cast("Timed", ready)
        timed.until = at
        return True

    def remove(self, datagram: bytes) -> None:
        """Forget the answer to a datagram, if there is one."""
        place = self._places.pop(datagram, None)
        if place is not None:
            self.answers.pop(datagram, None)
            self.ending.pop(datagram, None)
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
            if entry.expires_at <= now or not self._grows_older(datagram, place, age - place.age):
                gone.append(datagram)
                continue
            place.age = age
            if entry.expires_at < ends and not self._ends(datagram, place.ready, entry.expires_at):
                gone.append(datagram)
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
        compiled, plan = self._compiled, plan_of(message, query.question)
        if compiled is not None and isinstance(plan, int):
            reply = respond(query, b"", message, limit, body=body)
            if plan and any(reply[_ANCOUNT]) and len(body) <= STREAM_LIMIT:
                begin = HEADER_SIZE - 2 + len(query.question)
                return compiled((reply,), begin, plan, body, rng.getrandbits(64))
            return compiled((reply,))
        turns = in_turn(query, message, limit, body, rng)
        if compiled is not None:
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
