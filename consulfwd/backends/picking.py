"""Which instance a program uses next: spread by weight, those that failed left out for a while.

What belongs here: whose turn it is, who failed and for how long that counts. Must not know: clocks,
chance, threads, where sets come from. Pure: `now` (seconds) and `rng` are passed in.

Each instance has a place on a line, and whoever is first on it is picked and moves on by one over
its weight: within any stretch each is picked as often as its weight says, off by less than two. The
first places are drawn by lot, so that a thousand programs do not begin at the same instance.

| An instance | is picked |
|---|---|
| is well | in its turn |
| failed (`failed`) | not for a second, or twice as long as last time, 60 s at most |
| had failed, and its time is over | on trial: once a second, until it `worked`, or has stood 10 s |
| is gone from the set, and back | in its turn: Consul says that it is well |

Where all have failed they are picked in turn, the one whose time is over soonest first: one try is
better than none.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consulfwd.backends.model import Backend, Key

if TYPE_CHECKING:
    import random

# Seconds: left out at first, at most; between two on trial; after so long it counts as well again.
FIRST, LONGEST, TRIAL, STOOD = 1.0, 60.0, 1.0, 10.0
# One of weight 0 is picked a thousandth as often as one of weight 1, or where it is alone.
LEAST = 0.001


@dataclass
class _Failing:
    """`pause` is how long it was left out last; on trial `since` its first try after that.

    `tries` is how often it was picked all the same, as there was nobody else.
    """

    until: float
    pause: float
    since: float | None = None
    tries: int = 0


class Picker:
    """Picks of the set it was given last. All take `now` by a clock that never goes back."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._set: dict[Key, Backend] = {}
        # Where each stands on the line. Who is left out is in `_failing`, and in neither of these.
        self._line: list[tuple[float, Key]] = []
        self._places: dict[Key, float] = {}
        self._failing: dict[Key, _Failing] = {}
        self._front = 0.0

    def use(self, backends: Iterable[Backend]) -> None:
        """Pick of these from now on; of those that stay it is known how they did."""
        before, self._set = self._set, {one.key: one for one in backends}
        for key in before:
            old, now = before[key], self._set.get(key)
            if now is None or (now.address, now.port) != (old.address, old.port):
                self._failing.pop(key, None)
                self._places.pop(key, None)
            elif now.weight != old.weight:
                # By its old weight its turn may be long in coming.
                self._places.pop(key, None)
        for key in self._set:
            if key not in self._places and key not in self._failing:
                self._enter(key)
        if len(self._line) > 2 * len(self._places) + 16:
            self._line = [(place, key) for key, place in self._places.items()]
            heapq.heapify(self._line)

    def pick(self, now: float) -> Backend | None:
        """Return the one whose turn it is; None where there is none at all."""
        trial = self._on_trial(now)
        if trial is not None:
            return trial
        while self._line:
            place, key = self._line[0]
            if self._places.get(key) != place:
                heapq.heappop(self._line)
                continue
            self._front = place
            onward = place + self._stride(key)
            self._places[key] = onward
            heapq.heapreplace(self._line, (onward, key))
            return self._set[key]
        if not self._failing:
            return None
        key, least = min(self._failing.items(), key=lambda one: (one[1].tries, one[1].until))
        least.tries += 1
        return self._set[key]

    def failed(self, key: Key, now: float) -> None:
        """Note that one could not be used: it is left out for a while. Who is gone is nobody."""
        if key not in self._set:
            return
        failing = self._failing.get(key)
        if failing is None:
            pause = FIRST
        elif failing.since is None and now < failing.until:
            # Several tries under way at once fail for one reason: they count once.
            return
        else:
            pause = min(2 * failing.pause, LONGEST)
        self._places.pop(key, None)
        # Programs that saw it fail together are not to come back together.
        drawn = pause * (1 + self._rng.random() / 4)
        self._failing[key] = _Failing(now + drawn, pause)

    def worked(self, key: Key) -> None:
        """Note that one could be used: nothing is held against it any more."""
        if self._failing.pop(key, None) is not None and key in self._set:
            self._enter(key)

    def excluded(self, now: float) -> tuple[Backend, ...]:
        """Return those that are left out now."""
        return tuple(
            self._set[key]
            for key, one in self._failing.items()
            if one.since is None and now < one.until
        )

    def _on_trial(self, now: float) -> Backend | None:
        """Return one that had failed and is due to be tried, if there is any."""
        found: Backend | None = None
        for key, one in list(self._failing.items()):
            if one.since is not None and now >= one.since + STOOD:
                self.worked(key)
            elif now >= one.until and found is None:
                if one.since is None:
                    one.since = now
                one.until = now + TRIAL
                found = self._set[key]
        return found

    def _enter(self, key: Key) -> None:
        """Put one on the line, somewhere within its first stride: it makes up for nothing."""
        place = self._front + self._stride(key) * self._rng.random()
        self._places[key] = place
        heapq.heappush(self._line, (place, key))

    def _stride(self, key: Key) -> float:
        return 1 / max(float(self._set[key].weight), LEAST)
