"""What went within the last hour and did not come back, and the greatest number there was then.

What belongs here: counting, of one kind of things. Must not know what they are. Pure; `now` is
passed in.

What went in an hour is counted against the greatest number there was in that hour: rounds that each
take a part of what the last one left get no further than one that takes it all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import floor, inf

from consulfwd.config.zones import BudgetSettings


class Peak:
    """The greatest number there was in a sliding time."""

    __slots__ = ("_length", "_seen")

    def __init__(self, length: float) -> None:
        self._length = length
        # Since when, and how many. Later ones that are greater make earlier ones no matter, so that
        # these only fall; each ends where the next begins.
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, number: int, now: float) -> None:
        """Note how many there are."""
        since = now
        while self._seen and self._seen[-1][1] <= number:
            since = self._seen.pop()[0]
        self._seen.append((since, number))
        self.expire(now)

    def expire(self, now: float) -> None:
        """Forget what ended a whole length ago."""
        while len(self._seen) > 1 and self._seen[1][0] <= now - self._length:
            self._seen.popleft()

    def value(self) -> int:
        """Return the greatest number."""
        return self._seen[0][1] if self._seen else 0

    def noted(self) -> list[tuple[float, int]]:
        """Return what must be remembered, the oldest first."""
        return list(self._seen)


class Count:
    """Things of one kind, each as some octets: the greatest number, and since when each is gone."""

    __slots__ = ("gone", "peak", "settings")

    def __init__(
        self,
        settings: BudgetSettings,
        now: float,
        gone: Iterable[tuple[float, bytes]] = (),
        most: Iterable[tuple[float, int]] = (),
    ) -> None:
        self.settings = settings
        self.peak = Peak(settings.hour)
        self.gone = {item: now - age for age, item in gone}
        for age, number in most:
            self.peak.note(number, now - age)

    def expire(self, now: float) -> None:
        """Forget what is longer ago than an hour."""
        self.peak.expire(now)
        while self.gone:
            first = next(iter(self.gone))
            if now - self.gone[first] < self.settings.hour:
                break
            del self.gone[first]

    def limit(self) -> float:
        """Return how many may go in an hour."""
        greatest = self.peak.value()
        if greatest < self.settings.least:
            return inf
        # 30 % of 10 are 3, whatever binary fractions make of it.
        return floor(greatest * self.settings.percent / 100 + 1e-9)

    def left(self) -> float:
        """Return how many may still go."""
        return self.limit() - len(self.gone)

    def new(self, items: Iterable[bytes]) -> int:
        """Return how many of these are not counted yet."""
        return sum(one not in self.gone for one in items)

    def note(self, lost: Iterable[bytes], came: Iterable[bytes], now: float) -> None:
        """Note what went, and what came."""
        self.back(came)
        for item in lost:
            self.gone.pop(item, None)
            self.gone[item] = now

    def back(self, items: Iterable[bytes]) -> None:
        """Note that these are there."""
        if self.gone:
            for item in items:
                self.gone.pop(item, None)
