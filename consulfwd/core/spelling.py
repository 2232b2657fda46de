"""Whether a server repeats questions as they are spelled: tried, known, and known no more. Pure.

One that does not, or leaves such a query unanswered, must cost no client its answer: it is asked in
small letters then, and tried again later. `now` is in seconds.
"""

from __future__ import annotations

# So many replies in a row show that it does.
ENOUGH = 3
# After a trial without a reply the next is this much later, each time twice as much. While the
# first is under way all else goes in small letters.
TRIAL, LONGEST = 2.0, 86_400.0
# It is tried again so long after it has spelled a question in another way.
AGAIN = 3600.0
# So often in a row a question was answered in small letters that was not in mixed ones.
UNHEARD = 3
# So many replies in other letters are one too many, each of which so many in the right ones make up
# for: who guesses all but the letters once must not be spared guessing them from then on.
CHANGED, MADE_UP = 3, 16


class Spelling:
    """What is known of one server; `missed` is how many in a row were answered in small letters.

    `doubts` are MADE_UP for each reply in other letters, less one for each in the right ones.
    """

    __slots__ = ("_exact", "_pause", "_until", "doubts", "missed")

    def __init__(self) -> None:
        self._exact = self.doubts = self.missed = 0
        self._until = 0.0
        self._pause = TRIAL

    @property
    def known(self) -> bool:
        """Return whether it is sure to repeat them: a reply that does not is none."""
        return self._exact >= ENOUGH

    def mixes(self, now: float) -> bool:
        """Return whether to spell the next question by chance: it is known, or to be tried."""
        if self._exact >= ENOUGH:
            return True
        if now < self._until:
            return False
        self._until = now + self._pause
        self._pause = min(2 * self._pause, LONGEST)
        return True

    def repeated(self) -> None:
        """Note a reply that repeats the question as it was spelled by chance."""
        self._exact += 1
        self.missed = 0
        if self.doubts:
            self.doubts -= 1
        if self._exact <= ENOUGH:
            self._until, self._pause = 0.0, TRIAL

    def changed(self, now: float) -> bool:
        """Note a reply that spells it otherwise; return whether that is as good: nothing was known.

        Either somebody has guessed all but the spelling, or others answer there by now: that is so
        where it goes on.
        """
        if not self.known:
            self._exact, self._until = 0, now + AGAIN
            return True
        self.doubts += MADE_UP
        if self.doubts > (CHANGED - 1) * MADE_UP:
            self._exact = self.doubts = self.missed = 0
            self._until = now + AGAIN
        return False

    def unheard(self, now: float) -> None:
        """Note that a question was answered in small letters, and was not in mixed ones."""
        self.missed += 1
        if self.missed >= UNHEARD and self.known:
            self._exact = self.missed = 0
            self._until = now + AGAIN
