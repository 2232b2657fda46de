"""Which of several agents is asked next: the first that is not known to fail, nor to refuse.

What belongs here: who failed, or refused what, and for how long that counts. Must not know: what is
asked, or how. Pure: `now` is an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

# So long (seconds) an agent that failed, or refused something, is passed over; the longer, the
# oftener it did in a row.
PASSED_OVER, LONGEST = 10.0, 300.0
LONG_AGO = float("-inf")


class Turns:
    """`count` agents in the order they are to be asked in."""

    def __init__(self, count: int) -> None:
        self._until = [LONG_AGO] * count
        self._failures = [0] * count

    def first(
        self, now: float, refused: Sequence[float] = (), besides: Collection[int] = ()
    ) -> int:
        """Return who is to be asked, if possible none of `besides`.

        `refused` says until when each is asked nothing of the kind. Where that is nobody, it is the
        one whose time is over soonest.
        """
        until: Iterable[float] = map(max, self._until, refused) if refused else self._until
        free_at = {one: max(now, at) for one, at in enumerate(until)}
        left = [one for one in free_at if one not in besides] or list(free_at)
        return min(left, key=lambda one: (free_at[one], one))

    def passed_over(self, one: int, now: float) -> bool:
        """Return whether others are asked before it, as it failed."""
        return now < self._until[one]

    def failed(self, one: int, now: float) -> None:
        """Note that an agent did not answer, or not as one does that knows of its leader."""
        if now >= self._until[one]:
            self._until[one] = now + pause(self._failures[one])
            self._failures[one] += 1

    def answered(self, one: int) -> None:
        """Note that an agent answered, or that nothing is held against it any more."""
        self._until[one] = LONG_AGO
        self._failures[one] = 0


class Refusals:
    """Who of `count` agents refuses one thing, while it answers others: `until` when, each."""

    def __init__(self, count: int) -> None:
        self.until = [LONG_AGO] * count
        self._refusals = [0] * count

    def refused(self, one: int, now: float) -> None:
        """Note that an agent refused it."""
        self.until[one] = now + pause(self._refusals[one])
        self._refusals[one] += 1

    def answered(self, one: int) -> None:
        """Note that an agent answered it, or that it is shown something else than it refused."""
        self.until[one] = LONG_AGO
        self._refusals[one] = 0


def pause(before: int) -> float:
    """Return for how long (seconds) one is passed over that failed so often in a row before."""
    return float(min(PASSED_OVER * 2.0 ** min(before, 30), LONGEST))
