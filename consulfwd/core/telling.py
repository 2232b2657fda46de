"""Which of an upstream's changes get a log line of their own, and which only a count.

An agent that comes and goes must not fill the disk. Must not know of logging or clocks: `now`
is passed in, the caller writes the lines.
"""

from __future__ import annotations

# Lines of their own in a window (seconds); a fall and the way back are up to four.
LINES = 12
WINDOW = 60.0


class Telling:
    """One upstream's changes. Those beyond LINES in a window are held back until it ends.

    While they go on like that, the next windows have no lines of their own, only the count.
    """

    __slots__ = ("_held", "_left", "ends_at")

    def __init__(self) -> None:
        self._left = LINES
        self._held = 0
        self.ends_at = 0.0

    def tell(self, now: float) -> bool:
        """Return whether this change is told now; if not, ask `held` at `ends_at`."""
        if now >= self.ends_at and not self._held:
            self.ends_at = now + WINDOW
            self._left = LINES
        if self._left:
            self._left -= 1
            return True
        self._held += 1
        return False

    @property
    def waits(self) -> bool:
        """Return whether this is the first change held back in the window."""
        return self._held == 1

    def held(self, now: float) -> int:
        """End the window, and return how many changes were held back in it."""
        held, self._held = self._held, 0
        self.ends_at = now + WINDOW
        # Whoever had a quieter window may have lines again in the one after it.
        self._left = 0 if held > LINES else LINES
        return held
