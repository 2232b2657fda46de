"""The versions of a zone: the one that holds, and the differences that led to it.

What belongs here: serials, what a secondary that has an older one lacks, what is kept how long.
Must not know files, messages, clocks. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from consulfwd.zones import serials
from consulfwd.zones.model import Act, Apex, Key, Records, RRset, applied
from consulfwd.zones.primary.content import Content

# Differences that are kept, and RRsets in them: those of older ones get all of the zone.
MOST_DELTAS = 1_000
MOST_ACTS = 50_000
# A publisher that ended may have given out some serials that nobody remembers: whoever comes next
# begins so much above, for each time the lock was got since.
LEAP = 100
_MOST_LEAPS = 1_000


class Version(NamedTuple):
    """A zone's serial and what it says of itself."""

    serial: int
    apex: Apex


class Writer(NamedTuple):
    """Who wrote, and by which number of the lock (0 where there is none)."""

    holder: str = ""
    number: int = 0


class Delta(NamedTuple):
    """What made one version of another."""

    before: Version
    after: Version
    acts: tuple[Act, ...]
    writer: Writer = Writer()


class Whole(NamedTuple):
    """A version with all its records."""

    version: Version
    records: Records
    writer: Writer = Writer()


class Versions:
    """The versions of one zone; `now` is None as long as there is none."""

    def __init__(self, origin: bytes) -> None:
        self.origin = origin
        self.now: Version | None = None
        self.writer = Writer()
        self.content = Content(origin, {})
        self.deltas: deque[Delta] = deque()
        self._acts = 0
        # A serial that is taken: others wrote it, or it is of a journal that was lost; and what
        # tells the content that has it from others, if that is known.
        self._taken: int | None = None
        self._taken_digest = ""
        self._taken_number = 0
        # Whether the version there is was somebody else's, who may have given out more.
        self._adopted = False

    @property
    def serial(self) -> int | None:
        """The serial there is."""
        return None if self.now is None else self.now.serial

    @property
    def behind(self) -> bool:
        """Whether secondaries may have got a later version than this one, from elsewhere."""
        taken, serial = self._taken, self.serial
        return taken is not None and (serial is None or serials.newer(taken, serial))

    @property
    def taken(self) -> int | None:
        """The last serial that is known to have been given out elsewhere."""
        return self._taken

    @property
    def digest(self) -> str:
        """What tells this content from others, "" as long as there is none."""
        return "" if self.now is None else self.content.digest(self.now.apex)

    @property
    def mark(self) -> str:
        """What is another one with each version, "" as long as there is none."""
        return "" if self.now is None else f"{self.now.serial}-{self.digest}"

    def given(self, serial: int, digest: str = "", number: int = 0) -> None:
        """Note that a serial was given out, here or elsewhere; for what content and by which lock.

        What is not known of that is "" and 0.
        """
        if self._taken is None or serials.newer(serial, self._taken):
            self._taken, self._taken_digest, self._taken_number = serial, digest, number
        elif serial == self._taken:
            self._taken_digest = digest or self._taken_digest

    def next_serial(self, wall: float, number: int = 0) -> int:
        """Return the serial of the version that comes next, written by the lock of this number."""
        known = []
        if self.now is not None:
            known.append(self.now.serial)
            if number > self.writer.number:
                known.append(_leapt(self.now.serial, number - self.writer.number))
        if (self.behind or self._adopted) and self._taken is not None:
            locks = number - self._taken_number if number and self._taken_number else 1
            known.append(_leapt(self._taken, locks))
        return serials.following(known, wall)

    def delta(self, acts: Sequence[Act], apex: Apex, wall: float, writer: Writer) -> Delta | None:
        """Return what comes of these acts; None where there is nothing to be different from."""
        if self.now is None or self.behind:
            return None
        after = Version(self.next_serial(wall, writer.number), apex)
        return Delta(self.now, after, tuple(acts), writer)

    def whole(self, acts: Sequence[Act], apex: Apex, wall: float, writer: Writer) -> Whole:
        """Return the same as a version of its own, to which no other leads.

        What others gave out is the same version still, where that is known.
        """
        records = applied(self.content.records, acts)
        serial = self.next_serial(wall, writer.number)
        same = self.behind and bool(self._taken_digest)
        if same and Content(self.origin, records).digest(apex) == self._taken_digest:
            serial = self._taken or serial
        return Whole(Version(serial, apex), records, writer)

    def begin(self, whole: Whole, content: Content | None = None) -> None:
        """Take a version that nothing leads to; what it holds may be made ready before."""
        self._adopted = whole.version.serial == self._taken
        self.now, self.writer = whole.version, whole.writer
        self.content = content or Content(self.origin, whole.records)
        self.forget(len(self.deltas))

    def take(self, delta: Delta) -> None:
        """Take the version that a difference leads to. Raises ValueError if it is not from here."""
        if delta.before != self.now:
            raise ValueError(f"a difference from {delta.before.serial}, not {self.serial}")
        self._adopted = False
        self.content.apply(delta.acts)
        self.now, self.writer = delta.after, delta.writer
        self.deltas.append(delta)
        self._acts += len(delta.acts)
        while len(self.deltas) > MOST_DELTAS or (self._acts > MOST_ACTS and len(self.deltas) > 1):
            self.forget(1)

    def forget(self, number: int) -> None:
        """Give up so many differences, the oldest first."""
        for _ in range(number):
            self._acts -= len(self.deltas.popleft().acts)

    def since(self, serial: int) -> tuple[Version, list[Act]] | None:
        """Return the version with this serial, and all that became another since; or None.

        What changed more than once is one difference (RFC 1995 section 5).
        """
        found: dict[Key, tuple[RRset | None, RRset | None]] = {}
        start = None
        for delta in self.deltas:
            if delta.before.serial == serial:
                start = delta.before
                found.clear()
            if start is None:
                continue
            for key, before, after in delta.acts:
                first = found[key][0] if key in found else before
                found[key] = first, after
        if start is None:
            return None
        return start, [Act(key, *both) for key, both in found.items() if both[0] != both[1]]

    def oldest(self) -> Whole | None:
        """Return the version that the first difference kept begins with."""
        if self.now is None:
            return None
        if not self.deltas:
            return Whole(self.now, dict(self.content.records), self.writer)
        back = (inverse for delta in reversed(self.deltas) for inverse in inverted(delta.acts))
        return Whole(self.deltas[0].before, applied(self.content.records, back))


def inverted(acts: Iterable[Act]) -> list[Act]:
    """Return what undoes these, in the order in which that is done."""
    return [Act(key, after, before) for key, before, after in reversed(list(acts))]


def _leapt(serial: int, locks: int) -> int:
    """Return the last serial that may be given out without anybody's remembering it."""
    return (serial + LEAP * max(1, min(locks, _MOST_LEAPS)) - 1) % (1 << 32)
