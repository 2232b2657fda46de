"""The answer cache (RFC 2308 for negative ones, RFC 8767 for stale ones), least recently used out.

An entry outlives its TTL: it is what serve-stale answers from and what a sudden negative answer
is held against. TTL 0 answers are kept for that alone. No clock in here: `now` is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from consulfwd.core.ask import sibling_of
from consulfwd.dns.message import Message

if TYPE_CHECKING:
    from consulfwd.core.hot import HotTable

STALE_TTL = 30
# Answers with more octets than this are few in the cache: one in so many.
LARGE, LARGE_SHARE = 4096, 32
# So are answers that deny: anyone can make up names, and what exists is needed when nobody answers.
NEGATIVE_SHARE = 4
# Large ones that deny are counted for themselves: nor are they to push out large ones that exist.
LARGE_NEGATIVE_SHARE = LARGE_SHARE * NEGATIVE_SHARE


@dataclass(frozen=True)
class Limits:
    """What the settings allow: `size` entries, TTLs and ages in seconds."""

    size: int = 10_000
    min_ttl: int = 0
    max_ttl: int = 86_400
    max_negative_ttl: int = 60
    stale_for: int = 86_400


class Entry:
    """One answer: fresh until `expires_at`, usable as stale until `gone_at`, from `source`.

    `watched` says that it is to be dropped when a watch tells so; `until` is then when it would
    expire without one, and `hot` where it is ready as bytes, as pairs of a table and a datagram.
    """

    __slots__ = (
        "expires_at", "gone_at", "hot", "message", "source", "stored_at", "until", "watched",
    )  # fmt: skip

    def __init__(
        self, message: Message, stored_at: float, expires_at: float, gone_at: float, source: str
    ) -> None:
        self.message = message
        self.stored_at = stored_at
        self.expires_at = expires_at
        self.gone_at = gone_at
        self.source = source
        self.watched = False
        self.until = 0.0
        self.hot: set[tuple[HotTable, bytes]] | None = None

    def cool(self) -> None:
        """Let no hot table give this answer any more."""
        hot, self.hot = self.hot, None
        for table, datagram in hot or ():
            table.remove(datagram)


class Cache:
    """Entries by question key. An entry is replaced only by a whole new answer.

    Large answers and those that deny have a share of the room: when it is full the least recent of
    them gives way, and no other. An alias to nothing denies, too. That a name has no address of one
    family does not while there are addresses of the other: it is of use as long as they are.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.entries: dict[bytes, Entry] = {}
        self._large: dict[bytes, None] = {}
        self._large_negative: dict[bytes, None] = {}
        self._negative: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def denials(self) -> int:
        """How many of them deny."""
        return len(self._negative)

    def get(self, key: bytes) -> Entry | None:
        """Return the entry, fresh or not, or None."""
        return self.entries.get(key)

    def fresh(self, key: bytes, now: float) -> Entry | None:
        """Return the entry if its TTL has not run out, and mark it as used."""
        entry = self.entries.get(key)
        if entry is None or entry.expires_at <= now:
            return None
        # Moving the key to the end is what makes the order of the dict least-recently-used.
        self.entries[key] = self.entries.pop(key)
        if key in self._negative:
            self._negative[key] = self._negative.pop(key)
        return entry

    def used(self, key: bytes) -> None:
        """Note that an entry is needed: others go first."""
        if key in self.entries:
            self.entries[key] = self.entries.pop(key)
            if key in self._negative:
                self._negative[key] = self._negative.pop(key)

    def stale(self, key: bytes, now: float, sibling: bytes | None = None) -> Entry | None:
        """Return the entry if it may still answer when nothing else can (RFC 8767).

        `sibling` is the key of the same name's addresses of the other family: beside those, that
        there are none of this one is worth as much as they are.
        """
        entry = self.entries.get(key)
        if entry is None or now < entry.gone_at:
            return entry
        if entry.message.positive or not self._beside(entry, sibling, now):
            return None
        return entry if now < entry.gone_at + self.limits.stale_for else None

    def _beside(self, entry: Entry, sibling: bytes | None, now: float) -> bool:
        """Return whether an entry says that there are no addresses beside some of the other family
        that may still be given."""
        if sibling is None or entry.message.rcode:
            return False
        other = self.entries.get(sibling)
        return other is not None and not _denies(other.message) and now < other.gone_at

    def ttl_of(self, message: Message) -> int:
        """Return for how many seconds this answer may be reused, 0 for not at all."""
        return self._ttl_of(message, message.positive)

    def _ttl_of(self, message: Message, positive: bool) -> int:
        limits = self.limits
        if positive:
            ttl = message.ttl if message.ttl is not None else 0
            ttl = min(max(ttl, limits.min_ttl), limits.max_ttl)
            if _denies(message):
                ttl = min(ttl, limits.max_negative_ttl)
            return ttl
        if message.negative and message.negative_ttl is not None:
            return min(message.negative_ttl, limits.max_negative_ttl)
        return 0

    def put(
        self, key: bytes, message: Message, now: float, source: str, ttl: int | None = None
    ) -> Entry:
        """Keep an answer, fresh for `ttl` (default: what the message and the limits say)."""
        entries = self.entries
        if key in entries:
            self.drop(key)
        positive = message.positive
        usual = self._ttl_of(message, positive)
        lasts = usual + self.limits.stale_for if positive else usual
        if ttl is None:
            ttl = usual
        entry = Entry(message, now, now + ttl, now + lasts, source)
        entries[key] = entry
        denies = _denies(message)
        if len(message.body) > LARGE:
            # 10,000 of them would be gigabytes.
            if denies:
                self._bound(self._large_negative, key, LARGE_NEGATIVE_SHARE)
            else:
                self._bound(self._large, key, LARGE_SHARE)
        if denies:
            self._negative[key] = None
            self._bound_negative(now)
        if len(entries) > self.limits.size:
            self.drop(next(iter(entries)))
        return entry

    def _bound(self, share: dict[bytes, None], key: bytes, part: int) -> None:
        """Note a new answer in a share, and drop the oldest of too many."""
        share.pop(key, None)
        share[key] = None
        if len(share) > max(self.limits.size // part, 1):
            self.drop(next(iter(share)))

    def _bound_negative(self, now: float) -> None:
        """Drop the least recently used answer that denies, if there are too many.

        Not one beside addresses of the other family: it is counted as what exists from here on.
        """
        share = self._negative
        most = max(self.limits.size // NEGATIVE_SHARE, 1)
        while len(share) > most:
            key = next(iter(share))
            if self._beside(self.entries[key], sibling_of(key), now):
                del share[key]
            else:
                self.drop(key)

    def refresh(
        self,
        key: bytes,
        entry: Entry,
        message: Message,
        now: float,
        source: str,
        ttl: int,
        lasts: int,
    ) -> None:
        """Put a positive message in the place of an entry's, fresh for `ttl`, of use for `lasts`.

        What `put` does for a question asked all the time, without making a new entry.
        """
        if self._negative:
            self._negative.pop(key, None)
        if self._large_negative:
            self._large_negative.pop(key, None)
        if entry.hot is not None:
            entry.cool()
        if now - entry.stored_at > 1:
            self.entries[key] = self.entries.pop(key)
        entry.message = message
        entry.source = source
        entry.stored_at = now
        entry.expires_at = now + ttl
        entry.gone_at = now + lasts
        if len(message.body) > LARGE:
            self._bound(self._large, key, LARGE_SHARE)
        elif self._large:
            self._large.pop(key, None)

    def lasts(self, message: Message) -> tuple[int, int]:
        """Return for how many seconds a message is fresh, and of use at all (`refresh`)."""
        positive = message.positive
        ttl = self._ttl_of(message, positive)
        # A negative answer by itself is never served stale: it would outlive what it denies.
        return ttl, ttl + (self.limits.stale_for if positive else 0)

    def take(self, limits: Limits) -> None:
        """Go by other limits from now on, with what is kept already, too."""
        if limits == self.limits:
            return
        self.limits = limits
        for kept, most in (
            (self._negative, max(limits.size // NEGATIVE_SHARE, 1)),
            (self._large, max(limits.size // LARGE_SHARE, 1)),
            (self._large_negative, max(limits.size // LARGE_NEGATIVE_SHARE, 1)),
            (self.entries, limits.size),
        ):
            for key in list(islice(kept, max(len(kept) - most, 0))):
                self.drop(key)
        for entry in self.entries.values():
            ttl, lasts = self.lasts(entry.message)
            entry.expires_at = min(entry.expires_at, entry.stored_at + ttl)
            entry.gone_at = entry.stored_at + lasts

    def drop(self, key: bytes) -> None:
        """Forget an entry, wherever it is noted; hot tables give it no more.

        Nothing leaves the cache in another way.
        """
        entry = self.entries.pop(key, None)
        if entry is not None:
            if self._large:
                self._large.pop(key, None)
            if self._large_negative:
                self._large_negative.pop(key, None)
            self._negative.pop(key, None)
            if entry.hot is not None:
                entry.cool()

    def age(self, seconds: float) -> None:
        """Take everything for so much older than it was: time has passed that no clock told of."""
        for entry in self.entries.values():
            entry.stored_at -= seconds
            entry.expires_at -= seconds
            entry.gone_at -= seconds
            entry.until -= seconds

    def clear(self) -> None:
        """Forget everything."""
        for key in list(self.entries):
            self.drop(key)

    def clamp(self, message: Message) -> None:
        """Bring a new message's TTLs within the limits: the first client is told no other."""
        message.body = message.body_with_ttls(0, *self._clamp(message))

    def body(self, entry: Entry, now: float) -> bytes:
        """Return the body for an answer served fresh: TTLs clamped to the limits and aged."""
        age = int(now - entry.stored_at)
        return entry.message.body_with_ttls(age, *self._clamp(entry.message))

    def stale_body(self, entry: Entry) -> bytes:
        """Return the body for an answer served stale: TTLs at most 30 s (RFC 8767 section 4)."""
        return entry.message.body_with_ttls(0, 0, STALE_TTL)

    def _clamp(self, message: Message) -> tuple[int, int]:
        if not _denies(message):
            return self.limits.min_ttl, self.limits.max_ttl
        most = min(self.limits.max_negative_ttl, self.limits.max_ttl)
        if message.negative_ttl is not None and not message.aliased:
            # Of what a denial says of its time only this counts down: who keeps it behind us must
            # not do so for longer than we may (RFC 2308 section 5).
            most = min(most, message.negative_ttl)
        return 0, most


def _denies(message: Message) -> bool:
    """Return whether there is nothing of the type asked: no answer, or an alias to nothing."""
    return not message.positive or (message.aliased and not message.matched)
