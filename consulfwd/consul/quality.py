"""What HTTP tells of one agent: is its data good, and when to look again.

What belongs here: when bad news count, how long they hold, what is worth a log line. Must not
know: connections, tasks, logging. Pure: `now` is an argument.

DNS is what counts: an agent that cannot be asked over HTTP is not held to be worse for it.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from consulfwd.consul.reply import Reply

# Bad news must be told twice, so many seconds apart: a new leader is elected in less. From then on
# twice as many each time, until it is a usual turn.
CONFIRM = 1.5
# So long (seconds) it holds that an agent was poor, when no more can be learned.
KEPT = 60.0
# An agent nobody asks anything is looked at each so many turns.
IDLE_TURNS = 6
# Turns between looks at one that HTTP does not get through to.
MOST_TURNS = 32
# Between two warnings (seconds) that an agent cannot be asked.
WARN_AGAIN = 3600.0


class News(Enum):
    """What to tell the log."""

    NONE = ""
    LOST = "it cannot be asked over HTTP"
    BACK = "it can be asked again"


class Look(NamedTuple):
    """What follows from a look: seconds until the next, what to tell."""

    pause: float
    news: News = News.NONE


def fault(reply: Reply, max_last_contact: float) -> str:
    """Return why an agent's data is not to be relied on, "" when nothing speaks against it."""
    if reply.known_leader is False:
        return "knows no leader"
    if reply.last_contact is not None and reply.last_contact > max_last_contact:
        return f"its data is {reply.last_contact:.0f} s behind the leader's"
    return ""


class Sight:
    """One agent, looked at every `every` seconds. `poor` is why it is to be asked later, or "".

    `lost` is why it cannot be asked over HTTP, once that was told, or "".
    """

    def __init__(self, every: float, max_last_contact: float) -> None:
        self.every = every
        self.max_last_contact = max_last_contact
        self.poor = self.lost = ""
        self._bad = 0
        self._failures = 0
        self._skipped = IDLE_TURNS  # the first look is at everyone
        self._heard_at = 0.0
        self._warned_at: float | None = None
        self._lost = False

    def idle(self, used: bool) -> bool:
        """Return whether to leave out this turn: nobody asked it (`used`), nothing is wrong."""
        if used or self.poor or self._bad or self._skipped + 1 >= IDLE_TURNS:
            self._skipped = 0
            return False
        self._skipped += 1
        return True

    def rest(self) -> float:
        """Leave out all turns up to the next that is nobody's choice; return how long that is."""
        left = max(IDLE_TURNS - self._skipped, 0)
        self._skipped = IDLE_TURNS
        return left * self.every

    def heard(self, reply: Reply, now: float) -> Look:
        """Take a reply."""
        self._failures = 0
        self._heard_at = now
        news = News.BACK if self._lost else News.NONE
        self._lost = False
        why = fault(reply, self.max_last_contact)
        self._bad = self._bad + 1 if why else 0
        if not why or self.poor or self._bad > 1:
            self.poor = why
        # Most of what is bad is an election, soon over: looked at again soon, then ever later.
        soon = CONFIRM * 2 ** (min(self._bad, 30) - 1)
        return Look(min(soon, self.every) if why else self.every, news)

    def failed(self, now: float, telling: bool) -> Look:
        """Take it that there was no good reply, and it is worth `telling`.

        While its DNS is not up either, log lines about that say enough.
        """
        self._failures += 1
        self._bad = 0
        if self.poor and now - self._heard_at > KEPT:
            self.poor = ""
        turns = 1 if self.poor else min(2 ** (min(self._failures, 30) - 1), MOST_TURNS)
        if self._failures == 1:
            # Perhaps it is starting again.
            return Look(min(CONFIRM, self.every))
        told = self._warned_at is not None and now - self._warned_at < WARN_AGAIN
        if not telling or told:
            return Look(turns * self.every)
        self._warned_at, self._lost = now, True
        return Look(turns * self.every, News.LOST)
