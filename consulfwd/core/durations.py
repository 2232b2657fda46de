"""How long something took, counted by size: what a histogram is made of.

Must not know what took so long, nor clocks.
"""

from __future__ import annotations

# Seconds: an agent on the host answers in less than the first, a recursor that looks a name up
# itself may take as long as the last.
BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Durations:
    """Counts of times: `counts[i]` of those up to BOUNDS[i] and above the bound before it.

    The last is of those above all bounds; `seconds` is the sum of all. Whoever times something adds
    to them itself, as that is often: at `bisect_left(BOUNDS, seconds)`.
    """

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
