"""Which of many things are looked at: each with the same chance, at next to no cost for the others.

What belongs here: how many are passed over until the next. Pure: chance is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

NOBODY: Sequence[int] = ()


class Sampler:
    """Takes one of so many, at random: `rate` of them, more than 0, at most 1 (all).

    How many are passed over is drawn beforehand (the gaps between them have a geometric
    distribution), so that a batch in which nobody is taken costs one comparison.
    """

    __slots__ = ("_gap", "_log_other", "_random", "rate")

    def __init__(self, rate: float, rng: random.Random) -> None:
        self.rate = rate
        self._random = rng.random
        self._log_other = math.log1p(-rate) if rate < 1 else 0.0
        self._gap = self._draw()

    def take(self, count: int) -> Sequence[int]:
        """Return which of the next `count` are taken, by their numbers from 0 on."""
        gap = self._gap
        if gap >= count:
            self._gap = gap - count
            return NOBODY
        if not self._log_other:
            return range(count)
        taken = []
        while gap < count:
            taken.append(gap)
            gap += 1 + self._draw()
        self._gap = gap - count
        return taken

    def _draw(self) -> int:
        return int(math.log1p(-self._random()) / self._log_other) if self._log_other else 0
