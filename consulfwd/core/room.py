"""Places for so many at once, of which half give way to newcomers when all are taken.

What takes longest under a flood is the flood: questions nobody answers. Half of the places are held
until they are given back, so that what needs its time gets it; of the other half the oldest gives
way, so that what is quick finds a place at once (as unbound's jostle list does). Pure.
"""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")

# Nobody gives way before so many seconds: most answers are there by then.
JOSTLE = 0.2


class Room(Generic[K]):
    """Who has a place, the oldest first, in each half: `firm`, and `loose`."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.firm: dict[K, float] = {}
        self.loose: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self.firm) + len(self.loose)

    @property
    def full(self) -> bool:
        """Return whether somebody has to give way first."""
        return len(self) >= self.size

    def take(self, key: K, now: float) -> None:
        """Give a place to somebody."""
        half = self.firm if len(self.firm) < self.size // 2 else self.loose
        half[key] = now

    def give_back(self, key: K) -> None:
        """Take the place back, if there is one."""
        if self.firm.pop(key, None) is None:
            self.loose.pop(key, None)

    def oldest(self) -> list[K]:
        """Return who has been there longest, in each half."""
        return [next(iter(half)) for half in (self.firm, self.loose) if half]

    def gives_way(self, now: float) -> K | None:
        """Return who is to make room for a newcomer, if anyone is."""
        for key, since in self.loose.items():
            return key if now - since >= JOSTLE else None
        return None
