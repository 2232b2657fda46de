"""The rules of blocking queries: what to ask next and when, and what a reply means.

What belongs here: index, wait, content, doubt, pauses. Must not know: connections, which name is
watched, what a change is good for. Pure: `now` and `rng` are arguments. A shell (`question.put`)
does as told:

    ask = rules.next(now)        wait until ask.at, ask with ask.params(), give up at ask.timeout
    decision = rules.reply(reply, now)      or rules.failed(error, now)

What DNS is to show hangs on them as they are (`watch`); where more is wanted, `belief` is between.

https://developer.hashicorp.com/consul/api-docs/features/blocking
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from consulfwd.consul.content import Content
from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError

if TYPE_CHECKING:
    import random

WAIT = 60.0
# Consul adds up to a sixteenth of the wait; the rest is for the way and for a slow agent.
MARGIN = 5.0
# So many questions may follow each other at once, then so many a second.
BURST = 2
RATE = 5.0
# How long (seconds) an empty list must have lasted, where there was something, to be believed.
HOLD = 1.0
PAUSE, LONGEST_PAUSE = 0.25, 30.0


class Verdict(Enum):
    """What is known once a question has ended."""

    CHANGED = "changed"  # the content is another one than before, or the first
    UNCHANGED = "unchanged"
    DOUBTED = "doubted"  # nothing is left where there was something: to be confirmed
    PARTIAL = "partial"  # the token may not see all: changes may go unseen
    FAILED = "failed"


class Index(Enum):
    """What becomes of the index a question waits for something newer than."""

    TAKE = "that of the reply"
    NONE = "none: the next question returns at once"


class ReplyEvent(Enum):
    """What a question may end with."""

    FIRST = "the first content"
    SAME = "the content known"
    OTHER = "other content"
    EMPTIED = "nothing, where there was something"
    GONE = "nothing still, by the leader's word, after a while"
    FILTERED = "a part, the rest hidden by ACLs"
    BROKEN = "an error, or no reply of Consul's"


class Rule(NamedTuple):
    """What follows: `then` is the next index; `known`, that the content is compared with next."""

    verdict: Verdict
    then: Index
    known: bool


RULES: dict[ReplyEvent, Rule] = {
    ReplyEvent.FIRST: Rule(Verdict.CHANGED, Index.TAKE, True),
    ReplyEvent.SAME: Rule(Verdict.UNCHANGED, Index.TAKE, True),
    ReplyEvent.OTHER: Rule(Verdict.CHANGED, Index.TAKE, True),
    ReplyEvent.EMPTIED: Rule(Verdict.DOUBTED, Index.NONE, False),
    ReplyEvent.GONE: Rule(Verdict.CHANGED, Index.TAKE, True),
    ReplyEvent.FILTERED: Rule(Verdict.PARTIAL, Index.TAKE, False),
    # A cluster that was restored counts anew, and would not wake who waits for the old count.
    ReplyEvent.BROKEN: Rule(Verdict.FAILED, Index.NONE, False),
}
# Statuses that say nothing about the question, only that this agent does not answer it now: too
# many connections, no leader, an error on the way. 0 is no reply at all.
_ELSEWHERE = frozenset({0, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class BlockingQuery:
    """One question: not before `at`, for changes after `index` (0: returns at once).

    `wait` is in seconds; `leader` asks for what the leader says, `consistent` for what it says
    after it has made sure that it is one still; a reply that takes longer than `timeout` seconds
    does not come.
    """

    at: float
    index: int
    wait: float
    consistent: bool
    timeout: float
    leader: bool = False

    def params(self) -> dict[str, str]:
        """Return the query's parameters."""
        params = {"consistent": ""} if self.consistent else {} if self.leader else {"stale": ""}
        if self.index:
            params |= {"index": str(self.index), "wait": f"{self.wait * 1000:.0f}ms"}
        return params


@dataclass(frozen=True, slots=True)
class Decision:
    """What a question's end means. `elsewhere`: another agent may do better. `why` is for people.

    Only after CHANGED and UNCHANGED is all known that there was to know at that moment. `status`
    is that of an error; of one that this program finds in a reply it is 0, or 403 where a token
    may not see what it is to see.
    """

    verdict: Verdict
    elsewhere: bool = False
    why: str = ""
    status: int = 0


class BlockingRules:
    """One name's blocking queries. `project` reads what counts of a reply (see `content`).

    A question waits for `wait` seconds, or longer by up to `spread` of that: those that began
    together must not all come again together. That nothing is left must have lasted `hold` seconds.
    `burst` questions may follow each other at once,
    then `rate` a second. `next` and (`reply` or `failed`) take turns; anything else raises
    RuntimeError and changes nothing.
    Between a reply and the next query's `at` nobody waits for changes, but none is lost.
    """

    def __init__(
        self,
        project: Callable[[object], Content],
        rng: random.Random,
        *,
        wait: float = WAIT,
        spread: float = 0.0,
        rate: float = RATE,
        burst: int = BURST,
        hold: float = HOLD,
    ) -> None:
        self.content: Content | None = None
        self._project = project
        # The digest of the bytes last read, and what they said.
        self._seen: tuple[bytes, Content] | None = None
        self._rng = rng
        self._wait = wait
        self._spread = spread
        self._every = 1 / rate
        self._burst = burst
        self._hold = hold
        self._index = 0
        self._asked: BlockingQuery | None = None
        # And as it was before the last question took one.
        self._full_at = self._was_full_at = float("-inf")
        self._not_before = self._failed_until = float("-inf")
        self._empty_since: float | None = None
        self._failures = 0

    @property
    def waits(self) -> bool:
        """Whether the next question is to wait for a change, as far as it goes by now."""
        return self._index > 0

    def next(self, now: float) -> BlockingQuery:
        """Return what to ask next."""
        if self._asked is not None:
            raise RuntimeError("the last question has not ended")
        # The bucket as the time when it will be full again: `every` for each token that is out.
        pauses = self._not_before, self._failed_until
        at = max(now, *pauses, self._full_at - (self._burst - 1) * self._every)
        self._was_full_at = self._full_at
        self._full_at = max(self._full_at, at) + self._every
        consistent = self._empty_since is not None
        wait = self._wait if self._index else 0.0
        if wait and self._spread:
            wait *= 1 + self._spread * self._rng.random()
        self._asked = BlockingQuery(at, self._index, wait, consistent, wait * 17 / 16 + MARGIN)
        return self._asked

    def reply(self, reply: Reply, now: float) -> Decision:
        """Take a reply of status 200."""
        asked = self._end()
        try:
            content = self.read(reply)
            if reply.index is None:
                raise ValueError("the reply has no X-Consul-Index")
        except (ConsulError, ValueError) as error:
            why = error.reason if isinstance(error, ConsulError) else str(error)
            return self._fail(now, True, why)
        self._failures = 0
        event = self._event(content, reply, asked, now)
        rule = RULES[event]
        # Below 1 it would not wait at all; a lower one than before may be of another count.
        index = max(reply.index, 1)
        self._index = 0 if rule.then is Index.NONE or index < self._index else index
        if event is ReplyEvent.EMPTIED:
            if self._empty_since is None:
                self._empty_since = now
            self._not_before = max(now, self._empty_since + self._hold)
        else:
            self._empty_since = None
        if rule.known:
            self.content = content
        return Decision(rule.verdict, why=event.value)

    def read(self, reply: Reply) -> Content:
        """Return the content of a reply; the same bytes once more are not read again.

        Raises ConsulError or ValueError where it has none.
        """
        digest = blake2b(reply.body, digest_size=16).digest()
        if self._seen is None or self._seen[0] != digest:
            self._seen = digest, self._project(reply.json())
        return self._seen[1]

    def keep(self, content: Content) -> None:
        """Take what was read last for this, which is equal to it."""
        self.content = content
        if self._seen is not None:
            self._seen = self._seen[0], content

    def failed(self, error: ConsulError, now: float) -> Decision:
        """Take the end of a question without a usable reply."""
        self._end()
        return self._fail(now, error.status in _ELSEWHERE, error.reason, error.status)

    def again(self, at: float, why: str) -> Decision:
        """Take nothing of a reply: it is asked again, not before `at`, without an index."""
        self._end()
        self._failures = 0
        self._index = 0
        self.not_before(at)
        return Decision(Verdict.DOUBTED, why=why)

    def not_before(self, at: float) -> None:
        """Ask nothing before that time."""
        self._not_before = max(self._not_before, at)

    def given_up(self, *, unsent: bool = False) -> None:
        """Take it that nobody waits for the reply to the last question; it will be asked anew.

        One that was not asked yet has not had its turn.
        """
        if unsent and self._asked is not None:
            self._full_at = self._was_full_at
        self._asked = None

    def moved(self) -> None:
        """Ask another agent from now on; a question under way is given up.

        What is known stays. Pauses stay too: where all agents fail, each is asked but rarely.
        """
        self._asked = None
        self._index = 0

    def forgive(self) -> None:
        """Make no pause for what failed so far: the reason may be gone."""
        self._failures = 0
        self._failed_until = float("-inf")

    def _end(self) -> BlockingQuery:
        asked, self._asked = self._asked, None
        if asked is None:
            raise RuntimeError("nothing was asked")
        return asked

    def _event(
        self, content: Content, reply: Reply, asked: BlockingQuery, now: float
    ) -> ReplyEvent:
        if reply.filtered_by_acls:
            return ReplyEvent.FILTERED
        if self.content is None:
            return ReplyEvent.FIRST
        if content == self.content:
            return ReplyEvent.SAME
        if content.size:
            return ReplyEvent.OTHER
        lasted = self._empty_since is not None and now >= self._empty_since + self._hold
        return ReplyEvent.GONE if asked.consistent and lasted else ReplyEvent.EMPTIED

    def _fail(self, now: float, elsewhere: bool, why: str, status: int = 0) -> Decision:
        rule = RULES[ReplyEvent.BROKEN]
        self._index = 0
        pause = min(PAUSE * 2.0 ** min(self._failures, 30), LONGEST_PAUSE)
        self._failures += 1
        self._failed_until = now + pause * (0.5 + self._rng.random() / 2)
        return Decision(rule.verdict, elsewhere, why, status)
