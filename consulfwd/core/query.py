"""One query's life at the upstreams: whom to ask, what a reply decides, when to ask another.

Events go in (`start`, `on_reply`, `on_failure`, `on_timer`); out come attempts to send,
`wake_at`, the time to call `on_timer`, and at the end `outcome`. The shell in `net.resolver`
only carries that out. Every lookup ends: at the latest at its deadline.
"""

from __future__ import annotations

from collections.abc import Sequence

from consulfwd.core.attempts import MANY_STRAYS, MAX_ATTEMPTS, MAX_TRIES, SPELLED, Attempt
from consulfwd.core.health import Health
from consulfwd.core.opinions import Opinions
from consulfwd.core.order import Budget
from consulfwd.core.pace import Pace
from consulfwd.core.states import State
from consulfwd.core.upstreams import Upstream, all_down, hearsay
from consulfwd.core.verdict import ANSWERS, VERDICTS, lame
from consulfwd.dns import const
from consulfwd.dns.edns import read_ede
from consulfwd.dns.message import Message

RETRY_PAUSE = 0.05
# With a stale answer at hand: how many are asked once more when all have failed.
ONCE_MORE = 2
# How much longer than usual to wait when the hedging budget is used up.
UNHEDGED = 4
GAVE_WAY = "no reply yet, and it gave way to newer questions"
# How long (seconds since it was asked) the first in order is waited for when another denies the
# name: the others may not know what it does. And how often it is looked whether it is still well.
DENIAL_WAIT, DENIAL_LOOK = 1.0, 0.05


def _nothing_of(attempt: Attempt) -> str:
    """Return what has come of an attempt that is still open."""
    return "only false replies" if attempt.strays else "no reply"


class Lookup(Opinions):
    """One question on its way through a plan of upstreams.

    known      how many records the answer held moments ago had (see `Opinions`)
    has_stale  a stale answer is at hand: give up as soon as every upstream is known to be down,
               or has failed a second time
    reverse    the name is an address's: agents before Consul 1.18 say SERVFAIL if they know none
    must_recurse  who is asked is to look names up, not to send on to others
    about      tells the question from others, for the health of whoever does not answer it
    pace       how long answers about the datacenter in the name take, if it says one
    """

    __slots__ = (
        "_budget", "_cut", "_denied", "_errors", "_rounds", "_verdict", "_why", "about", "extra",
        "must_recurse", "reverse",
    )  # fmt: skip

    def __init__(
        self,
        plan: Sequence[Upstream],
        health: Health,
        budget: Budget,
        *,
        now: float,
        deadline: float,
        known: int = 0,
        has_stale: bool = False,
        reverse: bool = False,
        about: bytes = b"",
        pace: Pace | None = None,
    ) -> None:
        super().__init__(
            plan, health, now=now, deadline=deadline, known=known, has_stale=has_stale, pace=pace
        )
        self.about = about
        self._budget = budget
        self.reverse = reverse
        self.extra = 0
        self._rounds = 0
        self._errors: list[Attempt] = []
        self._cut: tuple[Message, Upstream] | None = None
        self._denied: tuple[Message, Attempt] | None = None
        self._verdict: tuple[Message, Upstream] | None = None
        self._why = 0
        self.must_recurse = True

    def start(self, now: float) -> list[Attempt]:
        """Return the first attempt to send."""
        if not self.plan:
            return self._fail(const.EDE_NO_AUTHORITY, "no upstream is configured for this name")
        self._budget.earn()
        return [self._send(now, "first in order")]

    def adopt(self, sent_at: float) -> Attempt:
        """Return the attempt for a query already sent to the first of the plan at `sent_at`."""
        return self._send(sent_at, "first in order")

    def on_reply(self, attempt: Attempt, message: Message, cut: bool, now: float) -> list[Attempt]:
        """Return what to send after a reply that was checked to belong to `attempt`.

        `cut` says that the reply was, or may have been, cut by the sender. Late replies of a
        finished lookup only inform the health of the upstream.
        """
        upstream = attempt.upstream
        self._ended(attempt, const.rcode_text(message.rcode), now - attempt.sent_at)
        attempt.size = message.size
        if message.rcode not in ANSWERS:
            if self._without_edns(attempt, message):
                attempt.decided = "may know no EDNS: asked again without"
                again = self._send(now, "without EDNS", upstream, stream=attempt.stream)
                again.plain = True
                return [again]
            return self._on_error_reply(attempt, message, now)
        if not upstream.is_agent:
            why = lame(message) if self.must_recurse else ""
            if why:
                return self._on_lame(attempt, why, now)
            self._heed_edns(attempt, message, now)
        if message.negative and upstream.is_agent and upstream.state is not State.UP:
            # It may have come back without its catalog: that is for probes to find out.
            self._health.alive(upstream, now)
        else:
            self._well(attempt, now)
        if self._errors and message.positive:
            self._blame(upstream, now)
        if self.outcome is not None:
            attempt.decided = "came after the answer"
            return []
        if cut and not attempt.stream:
            return self._on_cut(attempt, message, now)
        if message.truncated:
            # There is no other way to ask this one: whoever has it whole is better.
            self._cut = self._cut or (message, upstream)
            return self._advance(attempt, "cut over TCP too", now)
        if self.known and upstream.is_agent and self._doubtful(message, upstream, now):
            return self._on_doubtful(attempt, message, now)
        if message.negative and not upstream.is_agent:
            put_behind = self._put_behind() if self._denied is None else None
            if put_behind is not None or self._one_before_may_know(upstream, now):
                self._denied = self._denied or (message, attempt)
                attempt.decided = "denies the name: who comes before it in order is waited for"
                why = "it may know better, lame as it was"
                sent = [] if put_behind is None else [self._send(now, why, put_behind)]
                self._arm(now + DENIAL_LOOK)
                return sent
        attempt.decided = f"{attempt.decided}; taken after all" if attempt.decided else "taken"
        if self._doubted is not None and message.positive:
            self._contradict(attempt, message)
        return self._finish(message, upstream)

    def _one_before_may_know(self, upstream: Upstream, now: float) -> bool:
        """Return whether a recursor that comes before another in order may have an answer yet.

        Those in a list are not equals: the site's own comes first, and knows names of the site that
        a public one denies.
        """
        return any(
            one.upstream.state is State.UP and now < one.sent_at + DENIAL_WAIT
            for one in self.open_attempts()
            if one.upstream.lame or self.plan.index(one.upstream) < self.plan.index(upstream)
        )

    def _put_behind(self) -> Upstream | None:
        """Return a recursor that has not been asked, and is asked late only as it was lame.

        It may be the site's own, and lame for other names alone.
        """
        asked = {one.upstream for one in self.attempts}
        late = (one for one in self.plan if one.lame and one.state is State.UP)
        return next((one for one in late if one not in asked), None)

    def outdone_by(self, attempt: Attempt, message: Message) -> bool:
        """Return whether a reply that comes after the end is better than what was told: nothing.

        Or the denial of a recursor, to the answer of one that comes before it in order.
        """
        if self.outcome is None:
            return False
        told, by = self.outcome.message, self.outcome.upstream
        if told is None or by is None:
            return told is None
        better = told.negative and message.positive and not by.is_agent
        return better and self.plan.index(attempt.upstream) < self.plan.index(by)

    def _on_lame(self, attempt: Attempt, why: str, now: float) -> list[Attempt]:
        attempt.result = why
        self._health.lame(attempt.upstream, now, why)
        return self._advance(attempt, why, now)

    def _heed_edns(self, attempt: Attempt, message: Message, now: float) -> None:
        """Note whether a recursor knows EDNS: it may answer only what is asked without."""
        if message.edns is not None:
            self._health.knows_edns(attempt.upstream)
        elif attempt.plain and not attempt.upstream.plain:
            waits = (one for one in self.open_attempts() if one.upstream is attempt.upstream)
            if all(one.plain for one in waits if one.due > now):
                self._health.knows_no_edns(attempt.upstream, now)

    def _without_edns(self, attempt: Attempt, message: Message) -> bool:
        """Return whether an error may be about EDNS alone (RFC 6891 section 7)."""
        return (
            message.rcode in (const.FORMERR, const.NOTIMP)
            and message.edns is None
            and not attempt.plain
            and self.outcome is None
            and len(self.attempts) < MAX_ATTEMPTS
        )

    def _well(self, attempt: Attempt, now: float) -> None:
        upstream = attempt.upstream
        # A stream's time holds a handshake: it says nothing about the usual time of a datagram.
        usual = not attempt.stream or upstream.transport != "udp"
        took = now - attempt.sent_at
        self._health.good(upstream, now, took, measure=usual and self.pace is None)
        if usual and self.pace is not None:
            self.pace.measured(took)

    def _on_cut(self, attempt: Attempt, message: Message, now: float) -> list[Attempt]:
        upstream = attempt.upstream
        self._cut = (message, upstream)
        if any(one.stream and one.upstream is upstream for one in self.open_attempts()):
            attempt.decided = "cut by the sender, or may be: it is being asked over TCP already"
            return []
        if len(self.attempts) >= MAX_ATTEMPTS or self._tries(upstream, True) >= MAX_TRIES:
            attempt.decided = "cut by the sender, or may be: taken, there is no attempt left"
            return self._give_up("", now)
        attempt.decided = "cut by the sender, or may be: asked again over TCP"
        return [self._send(now, "whole answer over TCP", upstream, stream=True)]

    def _on_error_reply(self, attempt: Attempt, message: Message, now: float) -> list[Attempt]:
        upstream = attempt.upstream
        rcode = const.rcode_text(message.rcode)
        # A recursor's SERVFAIL is about the name (a lame or bogus zone), not about the recursor.
        if message.rcode == const.SERVFAIL and (
            not upstream.is_agent or (self.reverse and upstream.state is State.UP)
        ):
            self._well(attempt, now)
            if upstream.is_agent and self._doubted is None:
                self._doubted = (message, attempt)
        else:
            self._health.doubt(upstream, now)
            self._errors.append(attempt)
            if message.rcode in VERDICTS and not upstream.is_agent:
                self._verdict = self._verdict or (message, upstream)
            done = self.outcome
            if done is not None and done.upstream and done.message and done.message.positive:
                self._blame(done.upstream, now)
        ede = read_ede(message.edns)
        if ede is not None:
            rcode += f" ({const.EDE_TEXT.get(ede[0], ede[0])}{': ' + ede[1] if ede[1] else ''})"
            attempt.result = rcode
            if message.rcode == const.SERVFAIL and not upstream.is_agent:
                # Why a recursor could not (RFC 8914 section 2): nobody here knows better.
                self._why = self._why or ede[0]
        return self._advance(attempt, rcode, now)

    def _blame(self, witness: Upstream, now: float) -> None:
        """An error is held against whoever gave it when `witness` has the answer.

        Until then it may be about the name. A witness that gave an error itself moments ago only
        shows that times have changed.
        """
        erred = {one.upstream: one.result for one in self._errors}
        self._errors.clear()
        if witness not in erred:
            for upstream, rcode in erred.items():
                self._health.bad(upstream, now, f"answers {rcode}")

    def on_failure(
        self, attempt: Attempt, reason: str, now: float, *, refused: bool, ours: bool = False
    ) -> list[Attempt]:
        """Return what to send after an attempt failed: refused, broken off, false over a stream.

        `ours` says that it failed for want of sockets or the like here.
        """
        self._ended(attempt, reason, now - attempt.sent_at)
        upstream = attempt.upstream
        if refused:
            self._health.refused(upstream, now, reason)
        elif not ours:
            self._health.bad(upstream, now, reason)
        if attempt.stream and self._evaded_in_vain(upstream):
            attempt.decided = "failed: asked again over UDP"
            return [self._send(now, f"over TCP: {reason}", upstream)]
        doubtful = refused and hearsay(upstream, reason) and upstream.state is not State.DOWN
        return self._advance(attempt, reason, now, final=not doubtful)

    def give_way(self, attempt: Attempt, now: float) -> list[Attempt]:
        """End an attempt for want of room, and with the last one that is open the lookup."""
        self._ended(attempt, GAVE_WAY, now - attempt.sent_at)
        return [] if self.outcome is not None or self._open else self._give_up("", now)

    def on_stray(self, attempt: Attempt, reason: str, now: float) -> list[Attempt]:
        """Return what to send when a false reply came for an attempt: the next of the first round.

        The attempt stays open, the true reply may be on its way: off the host the false one may be
        somebody else's. After too many it is given up, and at once after one that differs in its
        spelling: who gives that is no worse for it.
        """
        attempt.strays += 1
        if attempt.result:
            return []
        if reason == SPELLED:
            return self._evade(attempt, reason, now)
        if attempt.strays == 1 and (self.outcome is None or attempt.upstream.on_host):
            self._health.bad(attempt.upstream, now, reason)
        if self._besieged():
            return self._evade(attempt, MANY_STRAYS, now)
        if self.outcome is not None or attempt.decided:
            return []
        if self._spent() or not self._round_goes_on():
            attempt.decided = f"{reason}: ignored"
            return []
        attempt.decided = f"{reason}: ignored, the next one is asked"
        self.extra += 1
        return [self._send(now, "the one before gave a false reply")]

    def _evade(self, attempt: Attempt, why: str, now: float) -> list[Attempt]:
        """Give up an attempt for false replies: its upstream is asked over TCP."""
        upstream = attempt.upstream
        self._ended(attempt, why, now - attempt.sent_at)
        if self.outcome is not None:
            return []
        if any(one.stream and one.upstream is upstream for one in self.open_attempts()):
            attempt.decided = "given up: it is being asked over TCP already"
            return []
        if len(self.attempts) >= MAX_ATTEMPTS or self._tries(upstream, True) >= MAX_TRIES:
            return self._advance(attempt, why, now)
        attempt.decided = "given up: asked again over TCP"
        return [self._send(now, f"{why} over UDP", upstream, stream=True)]

    def _evaded_in_vain(self, upstream: Upstream) -> bool:
        """Return whether a recursor is to be asked by another port, as TCP was of no avail.

        Others that fail are asked again anyway.
        """
        return (
            self.outcome is None
            and not (upstream.is_agent or self._open)
            and upstream.transport == "udp"
            and len(self.attempts) < MAX_ATTEMPTS
            and self._tries(upstream, False) < MAX_TRIES
            and any(
                one.result in (SPELLED, MANY_STRAYS) and one.upstream is upstream
                for one in self.attempts
            )
        )

    def on_timer(self, now: float) -> list[Attempt]:
        """Return what to send now that `wake_at` is reached."""
        if self.outcome is not None:
            return []
        waiting = self.open_attempts()
        for attempt in waiting:
            if 0 < attempt.due <= now:
                attempt.due = 0
                about = self.about if self.pace is None else None
                self._health.silent(attempt.upstream, now, attempt.sent_at, about)
        if now >= self.deadline:
            return self._give_up("no answer within the deadline", now)
        self._call_in(now)
        if self._denied is not None:
            if not self._one_before_may_know(self._denied[1].upstream, now):
                return self._give_up("", now)
            self._arm(now + DENIAL_LOOK)
            return []
        if now < self._hedge_at:
            self._arm(self._hedge_at)
            return []
        if self.has_stale and all_down(self.plan):
            return self._give_up("every upstream is down", now)
        full = self._spent()
        if (
            (self._doubted is not None and (full or self._all_asked()))
            or (self._cut is not None and self._all_asked() and self._half_over(now))
            or self._only_the_dead_are_left(waiting)
        ):
            return self._give_up("", now)
        if full:
            self._arm(self._half_time() if self._held_back else self.deadline)
            return []
        last = self.attempts[-1]
        why = "the ones before failed"
        if not last.result:
            if last.upstream.state is State.UP and not last.decided:
                if not self._budget.spend():
                    last.decided = "slow, but the hedging budget is used up: waited longer"
                    self._arm(now + UNHEDGED * last.upstream.hedge_after())
                    return []
                self.extra += 1
            last.decided = last.decided or "slower than its usual: the next one is asked too"
            why = "hedge: the one before has not answered"
        return [self._send(now, why)]

    def _advance(
        self, attempt: Attempt, reason: str, now: float, *, final: bool = True
    ) -> list[Attempt]:
        """After a failed attempt: the next of the first round at once, after it after a pause.

        Recursors are not asked again where all have failed, unless none has said a word and the
        failure is not `final`.
        """
        if self.outcome is not None:
            return []
        nobody_left = not self._open and not self._round_goes_on()
        # A recursor's error is about the name: the others say the same.
        self._call_in(now, failed=nobody_left and attempt.upstream.is_agent)
        if self._denied is not None:
            attempt.decided = "failed"
            waits = self._one_before_may_know(self._denied[1].upstream, now)
            return [] if waits else self._give_up("", now)
        attempt.decided = "failed: the next one is asked"
        full = self._spent()
        if not full and self._round_goes_on():
            return [self._send(now, f"{attempt.upstream.name} failed: {reason}")]
        if self._open:
            attempt.decided = "failed: another attempt is under way"
            if not full and all(one.due <= now for one in self.open_attempts()):
                # Those under way are late already: not worth a whole wait.
                self._arm(min(self._hedge_at, now + self._pause(now)))
            return []
        attempt.decided = "failed: nobody is left to be asked"
        if full or self._cut is not None or self._doubted is not None:
            return self._give_up("", now)
        if not attempt.upstream.is_agent and (final or any(one.size for one in self.attempts)):
            return self._give_up("", now)
        if self.has_stale:
            if all_down(self.plan):
                return self._give_up("every upstream is down", now)
            if self._next >= len(self.plan) + min(len(self.plan), ONCE_MORE):
                return self._give_up("every upstream failed, and failed again", now)
        pause = self._pause(now)
        attempt.decided = f"failed: the next one is asked in {pause * 1000:.0f} ms"
        self._arm(now + pause)
        return []

    def _pause(self, now: float) -> float:
        """Return how long to wait when all have failed: a moment first, then ever longer."""
        self._rounds += 1
        if self._rounds == 1 or self.has_stale:
            return RETRY_PAUSE
        return max(self._spread(now, self._turns_left()), RETRY_PAUSE)

    def _only_the_dead_are_left(self, waiting: list[Attempt]) -> bool:
        """Recursors only: somebody said that the name fails, and no healthy one is to answer."""
        return (
            not self.plan[0].is_agent
            and self._next >= len(self.plan)
            and any(one.size for one in self.attempts)
            and all(one.upstream.state is not State.UP or one.strays for one in waiting)
        )

    def _give_up(self, reason: str, now: float) -> list[Attempt]:
        if self._cut is not None:
            # Better than nothing, and marked: the rest could not be had over TCP.
            message, upstream = self._cut
            return self._finish(message.marked_cut(), upstream)
        if self._denied is not None and not (self.has_stale and reason):
            message, attempt = self._denied
            attempt.decided = "taken: who comes before it in order has not answered"
            return self._finish(message, attempt.upstream)
        if self._doubted is not None:
            message, attempt = self._doubted
            attempt.decided = "taken: no other agent gave an opinion in time"
            return self._believe(message, now, attempt)
        if self._verdict is not None and not self.has_stale:
            message, upstream = self._verdict
            return self._finish(message, upstream)
        tried = "; ".join(
            dict.fromkeys(
                f"{one.upstream.name}: {one.result or _nothing_of(one)}" for one in self.attempts
            )
        )
        heard = any(one.size for one in self.attempts)
        ede = self._why or (const.EDE_NO_AUTHORITY if heard else const.EDE_NETWORK)
        return self._fail(ede, f"{reason} ({tried})" if reason else tried)
