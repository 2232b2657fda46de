"""What changed of late: servers' states and places, as they were told, by the time of day.

What belongs here is keeping so many. Pure: the time is passed in. Nothing here keeps a server that
is asked no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

MOST = 200


class Changed(NamedTuple):
    """A change: `before` and `after` are states, the same where a server only changed its place."""

    at: float
    server: str
    kind: str
    before: str
    after: str
    why: str


class Timeline:
    """The last changes, the oldest first."""

    def __init__(self) -> None:
        self._changes: deque[Changed] = deque(maxlen=MOST)

    def add(self, change: Changed) -> None:
        """Note a change; the oldest of too many is forgotten."""
        self._changes.append(change)

    def __iter__(self) -> Iterator[Changed]:
        return iter(self._changes)
