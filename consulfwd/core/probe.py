"""Probes: one question to one upstream, only to learn its health.

What follows from a reply is decided here; when to probe whom is `core.health`'s to say.
"""

from __future__ import annotations

from consulfwd.core.ask import Ask
from consulfwd.core.attempts import SPELLED, Attempt
from consulfwd.core.query import Lookup
from consulfwd.core.states import State
from consulfwd.core.verdict import ANSWERS
from consulfwd.dns import const
from consulfwd.dns.message import Message

# How many usual times (`hedge_after`) a reply may take, and for how long (seconds) at least.
PATIENCE, PATIENCE_FLOOR = 4, 0.1
# How long an agent that was down is disbelieved when it does not know Consul's own service.
DISBELIEF = 60.0


class Probe(Lookup):
    """A question asked of one upstream only to learn its health; `ask` is what it is.

    An agent that once knew Consul's own service and now denies it has not got its catalog yet.
    """

    __slots__ = ("ask", "of_edns")

    ask: Ask
    of_edns: bool

    def start(self, now: float, *, edns: bool | None = None) -> list[Attempt]:
        """Return the one attempt, with or without EDNS where that is said.

        If it is to be with, the probe is about that alone.
        """
        attempt = self._send(now, "probe")
        self.of_edns = edns is True
        if edns is not None:
            attempt.plain = not edns
        self._arm(now + max(PATIENCE * self.plan[0].hedge_after(), PATIENCE_FLOOR))
        return [attempt]

    def on_reply(self, attempt: Attempt, message: Message, cut: bool, now: float) -> list[Attempt]:
        """Take the reply as a sign of health."""
        upstream = attempt.upstream
        self._ended(attempt, const.rcode_text(message.rcode), now - attempt.sent_at)
        if not upstream.is_agent:
            self._heed_edns(attempt, message, now)
        late = upstream.state is State.DOWN and now - upstream.changed_at > DISBELIEF
        # Any word of a recursor is a sign of life: not everyone may ask everybody for the root.
        if upstream.is_agent and message.rcode not in ANSWERS:
            self._health.bad(upstream, now, f"answers {const.rcode_text(message.rcode)}")
        elif upstream.is_agent and upstream.knows_itself and not (message.positive or late):
            self._health.bad(upstream, now, "denies Consul's own service")
        else:
            upstream.knows_itself = message.positive
            self._well(attempt, now)
        return [] if self.outcome is not None else self._finish(message, upstream)

    def on_failure(
        self, attempt: Attempt, reason: str, now: float, *, refused: bool, ours: bool = False
    ) -> list[Attempt]:
        """Take the failure as a sign of health."""
        super().on_failure(attempt, reason, now, refused=refused, ours=ours)
        return [] if self.outcome is not None else self._fail(const.EDE_NETWORK, reason)

    def on_stray(self, attempt: Attempt, reason: str, now: float) -> list[Attempt]:
        """Note a false reply; the true one is waited for, but not past too many."""
        attempt.strays += 1
        if attempt.strays == 1 and reason != SPELLED:
            self._health.bad(attempt.upstream, now, reason)
        if not attempt.result and (self._besieged() or reason == SPELLED):
            self._ended(attempt, reason, now - attempt.sent_at)
            return [] if self.outcome is not None else self._fail(const.EDE_NETWORK, reason)
        return []

    def on_timer(self, now: float) -> list[Attempt]:
        """Note that no reply came."""
        if self.outcome is None:
            if not self.of_edns:
                self._health.silent(self.plan[0], now, self.started_at)
            return self._fail(const.EDE_NETWORK, "no reply to a probe")
        return []
