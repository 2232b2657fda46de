"""Which of several agents is asked next: the first that is not known to fail.

What belongs here: who failed and for how long that counts. Must not know: what is asked, or how.
Pure: `now` is an argument.
"""

from __future__ import annotations

from collections.abc import Collection

# So long (seconds) an agent that failed is passed over; the longer, the oftener it did in a row.
PASSED_OVER, LONGEST = 10.0, 300.0


class Turns:
    """`count` agents in the order they are to be asked in."""

    def __init__(self, count: int) -> None:
        self._until = [float("-inf")] * count
        self._failures = [0] * count

    def first(self, now: float, besides: Collection[int] = ()) -> int:
        """Return who is to be asked, if possible none of `besides`.

        Where all have failed, it is the one whose time is over soonest.
        """
        every = range(len(self._until))
        left = [one for one in every if one not in besides] or list(every)
        return min(left, key=lambda one: (max(self._until[one], now), one))

    def failed(self, one: int, now: float) -> None:
        """Note that an agent did not answer, or not as one does that knows of its leader."""
        if now >= self._until[one]:
            pause = min(PASSED_OVER * 2.0 ** min(self._failures[one], 30), LONGEST)
            self._failures[one] += 1
            self._until[one] = now + pause

    def answered(self, one: int) -> None:
        """Note that an agent answered."""
        self._until[one] = float("-inf")
        self._failures[one] = 0
