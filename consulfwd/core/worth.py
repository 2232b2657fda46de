"""Whether proofs are worth what they cost: they spare asking an agent for each answer.

What belongs here: how many must ask for that. Must not know: what a proof is, whose they are.
Pure: `now` is passed in.
"""

from __future__ import annotations

from collections import deque

# Below so many questions a second, over so long (seconds), to ask an agent each time costs this
# host and Consul less than a proof a second does.
LEAST, OVER = 2, 15.0
# So many answers that agents were asked for within so long (seconds) are worth proofs again.
MANY, SOON = 10, 5.0


class Worth:
    """`it_is` until hardly anybody has asked for a while, and again once many do."""

    def __init__(self) -> None:
        self.it_is = True
        self._counts: deque[tuple[float, int]] = deque()
        self._asked: deque[float] = deque(maxlen=MANY)

    def asked(self, now: float) -> None:
        """Note that an agent was asked for an answer that might have been at hand."""
        if self.it_is:
            return
        self._asked.append(now)
        if len(self._asked) == MANY and now - self._asked[0] <= SOON:
            self.it_is = True
            self._counts.clear()
            self._asked.clear()

    def count(self, queries: int, now: float) -> None:
        """Note how many queries there have been; called every second, or a few."""
        counts = self._counts
        counts.append((now, queries))
        while len(counts) > 1 and counts[1][0] <= now - OVER:
            counts.popleft()
        since, before = counts[0]
        if now - since >= OVER and queries - before < LEAST * (now - since):
            self.it_is = False
