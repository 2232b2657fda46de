"""How long answers about other datacenters take: agents ask there, over whatever is in between.

Such a question is slow at every agent alike. Held against the time of an agent's other answers it
would be asked everywhere at once, and all of them would look ill. Pure.
"""

from __future__ import annotations

from consulfwd.core.upstreams import smoothed, usual_wait

# What to wait (seconds) for a datacenter nothing is known of, and for any at most.
UNKNOWN, LONGEST = 0.1, 1.0
# Names of datacenters are cheap to make up: the oldest are forgotten.
MAX_PACES = 256


class Pace:
    """One datacenter's measured round-trip time, in seconds."""

    __slots__ = ("rttvar", "srtt")

    def __init__(self) -> None:
        self.srtt = self.rttvar = 0.0

    def measured(self, rtt: float) -> None:
        """Take the time of one answer into the running mean and deviation."""
        self.srtt, self.rttvar = smoothed(self.srtt, self.rttvar, min(rtt, LONGEST))

    def wait(self) -> float:
        """Return how long to wait for an answer before another agent is asked too."""
        return min(usual_wait(self.srtt, self.rttvar), LONGEST) if self.srtt else UNKNOWN


class Paces:
    """The paces of datacenters, by the label that names them."""

    def __init__(self) -> None:
        self._paces: dict[bytes, Pace] = {}

    def of(self, datacenter: bytes) -> Pace:
        """Return the pace of a datacenter, a new one if nothing is known of it."""
        pace = self._paces.get(datacenter)
        if pace is None:
            pace = self._paces[datacenter] = Pace()
            if len(self._paces) > MAX_PACES:
                del self._paces[next(iter(self._paces))]
        return pace
