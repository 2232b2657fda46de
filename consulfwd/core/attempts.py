"""A lookup's attempts: whom the plan names next, how long to wait for a reply, how it ended.

What belongs here is keeping count. What a reply decides is in `query`.
"""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.core.pace import Pace
from consulfwd.core.upstreams import Upstream
from consulfwd.dns.message import Message

MAX_ATTEMPTS = 16
# RFC 9520 section 3.1: nobody is asked the same over one transport more often, in one lookup.
MAX_TRIES = 3
# After so many false replies to one question somebody may be trying IDs: whoever is asked then is
# asked from another port, or over a stream, where that is in vain (RFC 5452 section 9.3).
MOST_STRAYS = 5
# A false reply that only who knows port and ID can give, or another server in its place.
SPELLED = "a reply that spells the question in another way"
MANY_STRAYS = "too many false replies"
# A stream needs a handshake before the query.
STREAM_PATIENCE = 3
# The last attempt is sent when so much of the time is over: whoever comes back late is to be asked,
# and must have time to answer.
LAST = 0.5


class Attempt:
    """One query to one upstream. `decided` says in words what followed from its result.

    `plain` is one without EDNS, to an upstream that may know none (`Upstream.plain`). `took` is in
    seconds and None while there is no result; `size` in octets; `due` is when its upstream is
    slower than usual, 0 once that was noted; `strays` counts what came in its place and was not the
    reply.
    """

    __slots__ = (
        "decided",
        "due",
        "lookup",
        "plain",
        "result",
        "sent_at",
        "size",
        "strays",
        "stream",
        "took",
        "upstream",
        "why",
    )

    def __init__(
        self, lookup: Attempts, upstream: Upstream, stream: bool, now: float, why: str
    ) -> None:
        self.lookup = lookup
        self.upstream = upstream
        self.stream = stream
        self.plain = upstream.plain
        self.sent_at = now
        self.due = now
        self.why = why
        self.result = ""
        self.decided = ""
        self.took: float | None = None
        self.size = self.strays = 0


class Outcome:
    """How a lookup ended: a message from an upstream, or None with the reason (`ede`, `reason`)."""

    __slots__ = ("ede", "message", "reason", "upstream")

    def __init__(
        self, message: Message | None, upstream: Upstream | None, ede: int = 0, reason: str = ""
    ) -> None:
        self.message = message
        self.upstream = upstream
        self.ede = ede
        self.reason = reason


class Attempts:
    """What was asked of whom along a plan of upstreams, and when to look again (`wake_at`).

    `pace` is that of another datacenter the question is about; `before` what this one comes after.
    """

    __slots__ = (
        "_hedge_at", "_held_back", "_next", "_open", "attempts", "before", "deadline", "outcome",
        "pace", "plan", "started_at", "wake_at",
    )  # fmt: skip

    def __init__(
        self, plan: Sequence[Upstream], now: float, deadline: float, pace: Pace | None = None
    ) -> None:
        self.plan = plan
        self.pace = pace
        self.before: Attempts | None = None
        self.started_at = now
        self.deadline = deadline
        self.attempts: list[Attempt] = []
        self.outcome: Outcome | None = None
        self.wake_at = self._hedge_at = deadline
        self._held_back: tuple[Upstream, ...] = ()
        self._next = 0
        self._open = 0

    def hold_back(self) -> None:
        """Leave out of the plan who was taken out for work, as long as another in it is up.

        Whoever is its first has been asked.
        """
        drained = tuple(one for one in self.plan[1:] if one.drained)
        if drained and any(one.up and not one.drained for one in self.plan):
            self.plan = tuple(one for one in self.plan if one not in drained)
            self._held_back = drained

    def _call_in(self, now: float, *, failed: bool = False) -> None:
        """Have those held back asked next, if nobody else in the plan is up any more.

        Or has an answer: where all have `failed`, or half of the time is over. Nobody is to have an
        error because of work on a server that is well.
        """
        if self._held_back and (
            failed or self._half_over(now) or not any(one.up for one in self.plan)
        ):
            self._next = min(self._next, len(self.plan))
            self.plan = (*self.plan, *self._held_back)
            self._held_back = ()

    def everyone(self) -> tuple[Upstream, ...]:
        """Return all who may be asked, those that are held back among them."""
        return (*self.plan, *self._held_back)

    # What each event leads to is decided in `query`.

    def on_reply(self, attempt: Attempt, message: Message, cut: bool, now: float) -> list[Attempt]:
        """Return what to send after a reply."""
        raise NotImplementedError

    def on_failure(
        self, attempt: Attempt, reason: str, now: float, *, refused: bool, ours: bool = False
    ) -> list[Attempt]:
        """Return what to send after an attempt failed."""
        raise NotImplementedError

    def on_stray(self, attempt: Attempt, reason: str, now: float) -> list[Attempt]:
        """Return what to send after a false reply."""
        raise NotImplementedError

    def give_way(self, attempt: Attempt, now: float) -> list[Attempt]:
        """Return what to send after an attempt was given up for want of room."""
        raise NotImplementedError

    def on_timer(self, now: float) -> list[Attempt]:
        """Return what to send at `wake_at`."""
        raise NotImplementedError

    def _send(
        self, now: float, why: str, upstream: Upstream | None = None, *, stream: bool = False
    ) -> Attempt:
        if upstream is None:
            upstream, stream = self._whose_turn()
        attempt = Attempt(self, upstream, stream, now, why)
        if not (upstream.knows_edns or upstream.is_agent or stream or attempt.plain):
            attempt.plain = self._may_drop_edns(upstream)
        self.attempts.append(attempt)
        self._open += 1
        wait = upstream.hedge_after()
        if stream:
            wait *= STREAM_PATIENCE
        if self.pace is not None:
            wait = max(wait, self.pace.wait())
        attempt.due = now + wait
        if self._next > len(self.plan):
            wait = max(wait, self._spread(now, self._turns_left()))
        self._hedge_at = at = now + wait
        self.wake_at = at if at < self.deadline else self.deadline
        return attempt

    def _whose_turn(self) -> tuple[Upstream, bool]:
        """Return whom the plan names next, and whether to ask over a stream."""
        plan = self.plan
        for _ in plan:
            upstream = plan[self._next % len(plan)]
            self._next += 1
            stream = upstream.transport != "udp" or self._may_have_lost_datagrams(upstream)
            if self._next <= len(plan) or self._tries(upstream, stream) < MAX_TRIES:
                break
        return upstream, stream

    def _tries(self, upstream: Upstream, stream: bool) -> int:
        """Return how often an upstream was asked over a transport."""
        return sum(one.upstream is upstream and one.stream is stream for one in self.attempts)

    def _spent(self) -> bool:
        """Return whether nobody is to be asked once more."""
        if len(self.attempts) >= MAX_ATTEMPTS:
            return True
        return self._next >= len(self.plan) and all(
            self._tries(one, one.transport != "udp") >= MAX_TRIES for one in self.plan
        )

    def _turns_left(self) -> int:
        """Return how many attempts there may be after those of the first round and until now."""
        turns = MAX_TRIES * len(self.plan) - self._next
        return min(turns, MAX_ATTEMPTS - len(self.attempts))

    def _spread(self, now: float, waits: int) -> float:
        """Return how long to wait where `waits` waits, each twice as long, lead up to `LAST`."""
        if waits <= 0:
            return max(self.deadline - now, 0.0)
        ends = self.started_at + LAST * (self.deadline - self.started_at)
        wait: float = max(ends - now, 0.0) / (2**waits - 1)
        return wait

    def _may_have_lost_datagrams(self, upstream: Upstream) -> bool:
        """In the second round: whether an agent off the host was silent over UDP.

        Some networks drop large datagrams, or some of UDP (RFC 9715): TCP is tried too.
        """
        second = len(self.plan) < self._next <= 2 * len(self.plan)
        if not second or upstream.on_host or not upstream.is_agent:
            return False
        return not any(one.result for one in self.attempts if one.upstream is upstream)

    def _may_drop_edns(self, upstream: Upstream) -> bool:
        """Return whether a recursor left a query with EDNS unanswered, and was asked none without.

        There are still some, and networks, that drop them (RFC 8906 section 3.2.2).
        """
        asked = [one for one in self.attempts if one.upstream is upstream and not one.stream]
        return bool(asked) and not any(one.result or one.plain for one in asked)

    def _arm(self, at: float) -> None:
        self._hedge_at = at
        self.wake_at = min(at, self.deadline)

    def _ended(self, attempt: Attempt, result: str, took: float) -> None:
        if not attempt.result:
            self._open -= 1
        attempt.result = result
        attempt.took = took

    def _besieged(self) -> bool:
        """Return whether too many false replies have come to wait past any more."""
        return sum(one.strays for one in self.attempts) >= MOST_STRAYS

    def _all_asked(self) -> bool:
        return {one.upstream for one in self.attempts} >= {one for one in self.plan if one.is_agent}

    def _finish(self, message: Message, upstream: Upstream) -> list[Attempt]:
        self.outcome = Outcome(message, upstream)
        return []

    def _fail(self, ede: int, reason: str) -> list[Attempt]:
        self.outcome = Outcome(None, None, ede, reason)
        return []

    def _round_goes_on(self) -> bool:
        """Everyone is asked in the first round; after it they are asked one by one."""
        return self._next < len(self.plan)

    def open_attempts(self) -> list[Attempt]:
        """Return the attempts without a result: a reply may still come."""
        return [one for one in self.attempts if not one.result]

    def _half_over(self, now: float) -> bool:
        return now >= self._half_time()

    def _half_time(self) -> float:
        return self.started_at + (self.deadline - self.started_at) / 2
