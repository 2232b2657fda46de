"""Notes on their way from the event loop to a thread: so many, of so many octets, and no more.

Neither side ever waits for the other, and there is no lock: each counts what is its own.
"""

from __future__ import annotations

from collections import deque

from consulfwd.net.noting import Noted

# So many notes wait, of so many octets in all; what one takes beside its messages, and with them.
MOST, OCTETS, EACH, TYPICAL = 10_000, 16 << 20, 500, 1_000


class Intake:
    """`taken_in` and `dropped` are counted on the event loop, what was given out by the thread."""

    def __init__(self, most: int = MOST, octets: int = OCTETS) -> None:
        self.taken_in = 0
        self.dropped = 0
        self._most = most
        self._octets = octets
        self._held: deque[Noted] = deque()
        self._came = 0
        self._went = 0

    @property
    def full(self) -> bool:
        """Return whether there is hardly room for one more; on the event loop."""
        return self._has_no_room(TYPICAL)

    @property
    def filling(self) -> bool:
        """Return whether more than half of the room is taken."""
        return 2 * len(self._held) > self._most or 2 * (self._came - self._went) > self._octets

    def put(self, noted: Noted) -> None:
        """Take one in, or drop it where there is no room."""
        size = EACH + len(noted.data) + len(noted.reply)
        if self._has_no_room(size):
            self.dropped += 1
            return
        self.taken_in += 1
        self._came += size
        self._held.append(noted)

    def _has_no_room(self, size: int) -> bool:
        return len(self._held) >= self._most or self._came - self._went + size > self._octets

    def give(self, most: int) -> list[Noted]:
        """Return the oldest that wait, at most so many, and let go of them."""
        held = self._held
        given = [held.popleft() for _ in range(min(most, len(held)))]
        self._went += sum(EACH + len(one.data) + len(one.reply) for one in given)
        return given

    def __len__(self) -> int:
        return len(self._held)
