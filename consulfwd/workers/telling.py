"""What head and workers log, told once: several see the same, each a moment after the other.

What belongs here: which line was told already. Pure: `now` is passed in.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

# What another says within so long (seconds) is the same; so many lines are remembered.
AGAIN, MOST = 10.0, 512
_NUMBERS = re.compile(r"\d+(\.\d+)?")


class Once:
    """Counts how often each says a line, numbers aside: how long something took differs."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, int, str], tuple[Counter[int], float]] = {}

    def is_news(self, who: int, name: str, level: int, text: str, now: float) -> bool:
        """Return whether a line is to be told: nobody else has said it as often lately."""
        key = name, level, _NUMBERS.sub("#", text)
        counts, at = self._said.pop(key, (Counter(), now))
        if now - at >= AGAIN:
            counts.clear()
        counts[who] += 1
        self._said[key] = counts, now
        if len(self._said) > MOST:
            del self._said[next(iter(self._said))]
        return all(counts[who] > count for other, count in counts.items() if other != who)


def is_of_a_query(fields: dict[str, Any] | None) -> bool:
    """Return whether a line tells of one query: each is told."""
    return fields is not None
