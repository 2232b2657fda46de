"""What must be in the first octets that a target sends: a text, a pattern, or both.

What belongs here: looking for them piece by piece, giving way to whatever else the loop has to do.
"""

from __future__ import annotations

import asyncio
import time

from consulfwd.failover.checks.automaton import Automaton, Search

# Octets of a page, or of what a connection gives, that are looked at.
LIMIT = 65_536
# Looked at without a look at the clock: 3 us, and 3 ms for the worst of patterns; after so long
# (seconds) the loop has its turn, since it answers queries as well.
_SLICE, _TURN = 64, 0.001


class Sought:
    """A text and a pattern, each of which may be missing."""

    def __init__(self, contains: str | None, matches: str | None) -> None:
        self._text = None if contains is None else contains.encode()
        self._pattern = None if matches is None else Automaton(matches)

    def __bool__(self) -> bool:
        return self._text is not None or self._pattern is not None

    def begin(self) -> Looking:
        """Return what looks for it in one text."""
        search = None if self._pattern is None else Search(self._pattern)
        return Looking(self._text, search)


class Looking:
    """One text, as it comes; `missing` is what was not found in it yet, "" once all was."""

    def __init__(self, text: bytes | None, search: Search | None) -> None:
        self._text = text
        self._search = search
        self._tail = b""
        self._left = LIMIT

    @property
    def full(self) -> bool:
        """Whether no more is looked at."""
        return self._left <= 0

    @property
    def missing(self) -> str:
        """What was not found."""
        text = "" if self._text is None else "the text"
        pattern = "" if self._search is None or self._search.found else "the pattern"
        return " and ".join(one for one in (text, pattern) if one)

    async def feed(self, octets: bytes) -> None:
        """Go on with what comes next; what is more than LIMIT is not looked at."""
        octets = octets[: self._left]
        self._left -= len(octets)
        if self._text is not None:
            seen = self._tail + octets
            if self._text in seen:
                self._text = None
            else:
                self._tail = seen[-len(self._text) :]
        if self._search is None:
            return
        begun = time.perf_counter()
        for at in range(0, len(octets), _SLICE):
            if self._search.found:
                break
            self._search.feed(octets[at : at + _SLICE])
            if time.perf_counter() - begun > _TURN:
                await asyncio.sleep(0)
                begun = time.perf_counter()

    def end(self) -> None:
        """Note that the text has ended: a pattern may be anchored there."""
        if self._search is not None and not self._search.found:
            self._search.end()
