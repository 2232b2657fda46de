"""How much a watch would help: how often a name is asked for, fading with time.

What belongs here: counting questions, those that are not seen here too, and remembering the names
that have no watch. Must not know: watches, agents. Pure: `now` is passed in.

While an answer is reused nobody tells of those who get it. How often a name is asked for shows at
the end: the sooner it is asked for again once it is reused no more, the oftener it was before.
"""

from __future__ import annotations

from math import exp, log

from consulfwd.core.subjects import Subject

# After so long (seconds) a question counts half. An interest younger than `LEAST_AGE` is taken to
# be that old: two questions in a millisecond are not a thousand a second.
HALF, LEAST_AGE = 30.0, 10.0
# A watch is given up for a name that is asked for so many times as often.
BETTER = 2.0
# A name asked twice within so many seconds is worth a watch.
ADMIT_WITHIN = 10.0
# So long (seconds) after one more questions for the same are not seen (`net.relays.KEEP_AGAIN`).
UNSEEN = 0.1
# Shorter pauses (seconds) are not told from this one.
SHORTEST = 0.001
# Of how many of the last pauses the mean is, about.
PAUSES = 8
# A subject that could be watched at no agent is left alone for so long (seconds).
REST = 5.0
# Names remembered that have no watch.
MAX_SEEN = 8192
_PER_S = log(2) / HALF


class Interest:
    """The questions for one subject; `at` is when the last one was seen."""

    __slots__ = ("_count", "_pause", "_pauses", "_since", "at")

    def __init__(self, now: float) -> None:
        self.at = self._since = now
        self._count = 1.0
        # As if there had been a pause of a second: the first one alone says little.
        self._pause = self._pauses = 1.0

    def asked(self, now: float) -> None:
        """Note a question, while none is answered but by being asked for."""
        pause = now - self.at - UNSEEN
        self.seen(now)
        if pause > 0:
            self.spared(UNSEEN, pause)

    def seen(self, now: float) -> None:
        """Note a question, and nothing else."""
        self._count = self._faded(now) + 1
        self.at = now

    def spared(self, lasted: float, pause: float) -> None:
        """Note that for `lasted` seconds no questions were seen, and after that the next one came
        after a `pause`."""
        if pause > HALF:
            # What was before it says nothing of what is asked now.
            self._pause = self._pauses = 1.0
            return
        keep = 1 - 1 / PAUSES
        self._pause = self._pause * keep + pause
        self._pauses = self._pauses * keep + 1
        self._count += lasted / max(self._pause / self._pauses, SHORTEST)

    def rate(self, now: float, waits: float = 0.0) -> float:
        """Return about how many questions come a second; none has for the last `waits` seconds."""
        age = max(now - self._since, LEAST_AGE)
        rate = self._faded(now) * _PER_S / (1 - exp(-age * _PER_S))
        # Who is asked for so often would hardly have waited longer.
        return min(rate, 2 / waits) if waits > 0 else rate

    def _faded(self, now: float) -> float:
        return self._count * exp(-(now - self.at) * _PER_S)


class Seen:
    """The subjects without a watch that were asked for lately, or could be watched nowhere."""

    def __init__(self) -> None:
        self.interests: dict[Subject, Interest] = {}
        self.resting: dict[Subject, float] = {}

    def asked(self, subject: Subject, now: float) -> Interest | None:
        """Note a question; return the interest in its subject if that is worth a watch."""
        if self.resting and self.resting.get(subject, 0.0) > now:
            return None
        interest = self.interests.pop(subject, None)
        if interest is None:
            self.keep(subject, Interest(now))
            return None
        again = now - interest.at <= ADMIT_WITHIN
        interest.asked(now)
        self.keep(subject, interest)
        return interest if again else None

    def keep(self, subject: Subject, interest: Interest) -> None:
        """Remember an interest, and forget the oldest of too many."""
        self.interests.pop(subject, None)
        self.interests[subject] = interest
        if len(self.interests) > MAX_SEEN:
            del self.interests[next(iter(self.interests))]

    def rest(self, subject: Subject, now: float) -> None:
        """Leave a subject alone for a while that could be watched nowhere."""
        self.resting.pop(subject, None)
        self.resting[subject] = now + REST
        if len(self.resting) > MAX_SEEN:
            # The first is the one that has rested longest.
            del self.resting[next(iter(self.resting))]
