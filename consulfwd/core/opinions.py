"""When a denial of an agent is believed: a second agent's opinion on what was known moments ago.

What belongs here is the doubt about one reply. What else a reply decides is in `query`.
"""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.core.attempts import MAX_ATTEMPTS, MAX_TRIES, Attempt, Attempts
from consulfwd.core.health import Health
from consulfwd.core.pace import Pace
from consulfwd.core.upstreams import Upstream
from consulfwd.core.verdict import ANSWERS, left_out, lost_most
from consulfwd.dns import const
from consulfwd.dns.message import Message


class Opinions(Attempts):
    """The attempts of one question, and what is doubted among their replies.

    known      how many records the answer held moments ago had: a denial needs a second opinion,
               and so does a list that lacks some of them (see `verdict.left_out`)
    has_stale  a stale answer is at hand
    opinions   how often another was asked for one; `overruled` whether it had an answer
    """

    __slots__ = ("_doubted", "_health", "has_stale", "known", "opinions", "overruled")

    def __init__(
        self,
        plan: Sequence[Upstream],
        health: Health,
        *,
        now: float,
        deadline: float,
        known: int,
        has_stale: bool,
        pace: Pace | None,
    ) -> None:
        super().__init__(plan, now, deadline, pace)
        self._health = health
        self.known = known
        self.has_stale = has_stale
        self.opinions = 0
        self.overruled = False
        self._doubted: tuple[Message, Attempt] | None = None

    def _doubtful(self, message: Message, upstream: Upstream, now: float) -> bool:
        """Return whether a reply takes back too much of what was known to be believed at once."""
        return message.negative or left_out(message, self.known, upstream, now)

    def _on_doubtful(self, attempt: Attempt, message: Message, now: float) -> list[Attempt]:
        upstream = attempt.upstream
        first = self._doubted
        if first is not None and first[0].rcode not in ANSWERS:
            first = None  # an error for a reverse name is nobody's opinion
        if first is not None and first[1].upstream is not upstream:
            if first[0].answers > message.answers:
                first[1].decided = "taken: the second opinion has even less"
                return self._believe(first[0], now, first[1], upstream)
            attempt.decided = "the second opinion agrees: taken"
            return self._believe(message, now, attempt, first[1].upstream)
        others = [one for one in self.plan if one is not upstream and one.is_agent]
        if not others:
            attempt.decided = "taken: there is no other agent to confirm it"
            return self._believe(message, now, attempt)
        if len(self.attempts) >= MAX_ATTEMPTS:
            attempt.decided = "taken: there is no attempt left to confirm it"
            return self._believe(message, now, attempt)
        what = f"has {message.answers} of {self.known} records" if message.positive else "denies"
        attempt.decided = f"{what} what was answered moments ago: a second agent is asked"
        if first is not None:
            return []
        self._doubted = (message, attempt)
        self.opinions += 1
        waiting = self.open_attempts()
        if any(one.upstream in others and one.due > now for one in waiting):
            return []
        silent = {one.upstream for one in waiting}
        asked = {one.upstream for one in self.attempts}
        free = [one for one in others if one not in silent and self._tries(one, False) < MAX_TRIES]
        if not free:
            return []
        other = min(free, key=lambda one: one in asked)
        # Whoever is next in order anyway is not to be asked once more right behind.
        turn = other is self.plan[self._next % len(self.plan)]
        return [self._send(now, "second opinion", None if turn else other)]

    def _believe(
        self, message: Message, now: float, attempt: Attempt, *others: Upstream
    ) -> list[Attempt]:
        """Take a doubtful reply if an agent that is well speaks for it, or nothing else is at hand.

        After a restart of the whole cluster each agent may lack what the others lack, for a moment
        after it is well, too: they read Raft's log at the same time.
        """
        witnesses = (attempt.upstream, *others)
        if (
            self.has_stale
            and message.rcode in ANSWERS
            and all(one.just_back(now) for one in witnesses)
        ):
            attempt.decided = "not believed: no agent that has been well for a while says so"
            return self._fail(const.EDE_NO_AUTHORITY, "no agent that is well says so")
        return self._finish(message, attempt.upstream)

    def opinion_took(self, now: float) -> float:
        """Return for how many seconds a second opinion has been waited for."""
        if self._doubted is None:
            return 0.0
        attempt = self._doubted[1]
        return now - attempt.sent_at - (attempt.took or 0)

    def _contradict(self, attempt: Attempt, message: Message) -> None:
        """A reply is held against whoever gave less, if it was much less."""
        assert self._doubted is not None
        said, doubted = self._doubted
        denier = doubted.upstream
        if said.positive and not lost_most(said, message.answers):
            attempt.decided = "the second opinion agrees: taken"
        elif denier is not attempt.upstream:
            now = attempt.sent_at + (attempt.took or 0)
            if said.positive:
                self._health.lied(denier, now, "left out most of what another agent answers")
                attempt.decided = f"taken: {denier.name} was wrong to leave out most of it"
            else:
                self._health.lied(denier, now)
                attempt.decided = f"taken: {denier.name} was wrong to deny the name"
            self.overruled = True
