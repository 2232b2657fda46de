"""What is believed of one fact: what is asked about it next, and which replies count.

What belongs here: when the leader's word is wanted, when nothing is really nothing, when fewer are
really fewer, what a token hides. The rules of blocking queries are in `blocking`. Must not know:
connections, tasks, who is asked. Pure: `now` and `rng` are arguments.

| Doubt | because | asked for next |
|---|---|---|
| nothing at first | a token without rights, an agent just started | the leader's consistent word |
| nothing, where something was | the same | the same, after HOLD (`blocking`) |
| members gone, by streaming | such replies do not say that ACLs hide some | a plain look: it does |
| members gone, before Consul 1.10 | no reply says so there | what is refused then (`rights`) |
| members gone of a part | that it is one is all that replies say | the same |
| by streaming, from before what is known | it may not have begun | a plain look |
| from before what is known | an agent behind, or a cluster restored | the leader's word |
| members gone, by a lower index of the leader's | a cluster restored | the same, until ANEW |

The first question is for the leader's word, too: there is nothing yet to tell by that an agent
answers from the past. From then on the index tells, so that a new leader is not asked for
everything by everybody.
"""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import TYPE_CHECKING, Any

from consulfwd.consul import rights
from consulfwd.consul.blocking import BlockingQuery, BlockingRules, Decision, Verdict
from consulfwd.consul.facts import Fact, Reading
from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError

if TYPE_CHECKING:
    import random

# A question waits for a change from WAIT seconds to twice that: proofs tell sooner that an agent
# hangs. Many facts on many hosts must not ask together.
WAIT, SPREAD = 60.0, 1.0
# A fact that changes all the time is looked at once a second, after a few times at once.
RATE, BURST = 1.0, 4
# What only tells where to look, so many times.
HINT_RATE = 5.0
# So long (seconds) after streaming told that members are gone, or twice as long, a plain look is
# taken: the server behind that one may learn of it a moment later.
SHRUNK_AFTER = 0.15
# So many plain looks may still show them; then the leader's word is wanted.
LOOKS = 2
# Within so long (seconds), each at a moment of its own, the leader is asked about what is old.
APART = 3.0
# So long (seconds) what was known stays where the leader counts from lower: in a cluster that was
# begun anew, or restored, what was registered since comes back as its hosts do.
ANEW, ANEW_EVERY = 60.0, 5.0
# Where nothing is known of what was before, nothing must have been so for so long (seconds).
SECOND_LOOK = 5.0
FORBIDDEN = 403
# Shared by all: there may be very many.
_NOBODY: frozenset[object] = frozenset()


class Doubt(Enum):
    """Why a reply is not believed until another confirms it."""

    NONE = ""
    NOTHING = "nothing at first"
    SHRUNK = "members are gone, which streaming does not tell from hidden"
    OLDER = "from before what is known"
    MUTE = "members are gone, which this agent does not tell from hidden"
    ANEW = "members are gone, and Consul counts anew: it was restored, or is another cluster"


# Those that only the leader can end.
_LEADERS = (Doubt.OLDER, Doubt.ANEW)


class Belief:
    """What is known of a fact. `known` says whether anything is; `value` is it then.

    `at` says who is asked, `look` that the next question is to wait for nothing; `next` and
    (`reply`, `failed` or `given_up`) take turns. `held` says that the token may see a part of it
    only, while all of it was known and stays so. Known to be so `as_of`, and so `since`.
    `to_confirm` says that the next question is to `confirm` it; `in_question` has those members of
    which it is to be found out before whether the token `may_read` them. What changes all the time
    is looked at `rate` times a second at most.
    """

    def __init__(self, fact: Fact, rng: random.Random, rate: float | None = None) -> None:
        self.fact = fact
        self.doubt = Doubt.NONE
        self.held = False
        self.as_of = self.since = float("-inf")
        self._rng = rng
        self._rules = BlockingRules(
            fact.reading,
            rng,
            wait=WAIT,
            spread=SPREAD,
            rate=rate or (HINT_RATE if fact.hints else RATE),
            burst=max(BURST, int(rate or 0)),
            hold=fact.hold,
        )
        self._agent: int | None = None
        self._asked: BlockingQuery | None = None
        # The index of what is known, in the count of the datacenter.
        self._index = 0
        self._part = False
        self._gone = _NOBODY
        # Since when the leader counts from lower than before.
        self._anew_since: float | None = None
        self._looks = 0
        self._was_something = self._confirmed = False
        self.to_confirm = False
        self.in_question = _NOBODY
        self._readable = _NOBODY

    @property
    def known(self) -> bool:
        """Whether anything is known: that there is nothing, too."""
        return self._rules.content is not None

    @property
    def value(self) -> Any:
        """What is known (see `Fact.read`)."""
        return None if (known := self._known) is None else known.value

    @property
    def left_out(self) -> tuple[str, ...]:
        """What is not in the value for what strangers wrote, and why."""
        return () if (known := self._known) is None else known.left_out

    @property
    def index(self) -> int:
        """How far Consul had counted when it said what is known."""
        return self._index

    @property
    def partial(self) -> bool:
        """Whether the token may see a part only, of what is known or of what there is by now."""
        return self._part or self.held

    @property
    def unconfirmed(self) -> bool:
        """Whether there never was anything, and that was not confirmed a while later."""
        known = self._known
        empty = known is not None and not known.size
        return empty and not self._was_something and not self._confirmed

    def remember(self, before: Belief) -> None:
        """Know what another one of the same fact knows, whoever was asked then."""
        self._rules.content = before._rules.content
        self.held, self._part, self._index = before.held, before._part, before._index
        self.as_of, self.since = before.as_of, before.since
        self._was_something, self._confirmed = before._was_something, before._confirmed

    def learn(self, found: Reading, reply: Reply, now: float) -> None:
        """Take what the leader said of it among other things: there are members, and these."""
        self._rules.content = found
        self._part, self._index = reply.filtered_by_acls, reply.index or 0
        self.as_of, self.since = now - (reply.last_contact or 0.0) - reply.took, now
        self._was_something = True

    def at(self, agent: int) -> None:
        """Ask this agent next (any number that stands for it)."""
        if agent != self._agent or not self.fact.blocks:
            self._agent = agent
            self._rules.moved()

    @property
    def waits(self) -> bool:
        """Whether the next question is to wait for a change, if there is a connection for that."""
        return self.fact.blocks and self._rules.waits and not self.to_confirm

    def forgive(self) -> None:
        """Ask without a pause for what failed so far."""
        self._rules.forgive()

    def look(self) -> None:
        """Ask what is so now next, whatever was under way. What is known stays."""
        self._rules.moved()

    def confirm(self) -> None:
        """Have it confirmed that there is nothing, with the next question."""
        self.to_confirm = True

    def may_read(self, members: frozenset[object]) -> None:
        """Note that the token may read these: where they are gone, they are."""
        self.in_question, self._readable = frozenset(), members

    def hidden(self) -> str:
        """Note that it may not read all of those in question; return what that means, in words.

        What was known stays.
        """
        self.held = True
        known = self._known
        return _hidden(known is None or bool(known.members - self.in_question))

    def next(self, now: float) -> BlockingQuery:
        """Return what to ask next."""
        if self.to_confirm:
            self.to_confirm, self.doubt = False, Doubt.NOTHING
            self._rules.moved()
            self._rules.not_before(self.since + SECOND_LOOK)
        ask = self._rules.next(now)
        shrunk = self.doubt is Doubt.SHRUNK and self._looks >= LOOKS
        if self.doubt is Doubt.NOTHING:
            ask = dataclasses.replace(ask, consistent=True)
        elif self.doubt in _LEADERS or shrunk or not self.known or not self.fact.blocks:
            ask = dataclasses.replace(ask, leader=True)
        self._asked = ask
        return ask

    def failed(self, error: ConsulError, now: float) -> Decision:
        """Take the end of a question without a reply: what is known stays."""
        self._readable = _NOBODY
        return self._rules.failed(error, now)

    def given_up(self, *, unsent: bool = False) -> None:
        """Take it that nobody waits for the reply to the last question, or that it was not put."""
        self._rules.given_up(unsent=unsent)

    def reply(self, reply: Reply, now: float) -> Decision:
        """Take a reply. After DOUBTED and FAILED what is known is as it was."""
        ask = self._asked
        if ask is None:
            raise RuntimeError("nothing was asked")
        if not self.fact.blocks:
            # Such replies have no index; the rules want one.
            reply = dataclasses.replace(reply, index=1)
        try:
            found = self._rules.read(reply)
        except (ConsulError, ValueError):
            return self._rules.reply(reply, now)  # which says why it is none
        assert isinstance(found, Reading)
        known = self._known
        lost = known.members - found.members if known is not None else frozenset()
        if reply.filtered_by_acls and (not found.size or (lost and not self._part)):
            # A token that lost its rights must not make a list shorter, nor one without any empty.
            self.held = known is not None
            why = _hidden(bool(found.size))
            return self._rules.failed(ConsulError(reply.agent, FORBIDDEN, why), now)
        doubted = self._doubted(reply, ask, found, lost, now)
        if doubted is not None:
            return doubted
        decision = self._rules.reply(dataclasses.replace(reply, filtered_by_acls=False), now)
        if decision.verdict is Verdict.UNCHANGED and known is not None and found is not known:
            # Other bytes that say the same: whoever has the value is to see that it is that one.
            same = dataclasses.replace(found, value=known.value, members=known.members)
            self._rules.keep(same)
        if decision.verdict in (Verdict.CHANGED, Verdict.UNCHANGED):
            self._believe(reply, ask, found, now, changed=decision.verdict is Verdict.CHANGED)
        return decision

    @property
    def _known(self) -> Reading | None:
        known = self._rules.content
        assert known is None or isinstance(known, Reading)
        return known

    def _doubted(
        self,
        reply: Reply,
        ask: BlockingQuery,
        found: Reading,
        lost: frozenset[object],
        now: float,
    ) -> Decision | None:
        """Return what follows where a reply is not believed yet, else None."""
        known, sure = self._known, ask.leader or ask.consistent
        if known is None:
            if found.size or ask.consistent:
                return None
            self.doubt = Doubt.NOTHING
            return self._rules.again(now, self.doubt.value)
        index = self._index if reply.index is None else reply.index
        # Where a part was hidden before, that it says so is no news.
        untold = reply.mute or (reply.filtered_by_acls and self._part)
        if untold and lost - self._readable and rights.can_tell(self.fact):
            self.doubt, self.in_question = Doubt.MUTE, lost
            return self._rules.again(now, self.doubt.value)
        if sure and lost and index < self._index:
            since = now if self._anew_since is None else self._anew_since
            self._anew_since = since
            if now < since + ANEW:
                self.doubt = Doubt.ANEW
                pause = ANEW_EVERY * (1 + self._rng.random())
                return self._rules.again(now + pause, self.doubt.value)
        older = index < self._index and not sure and found != known
        fewer = found.size and (lost or (self._part and found != known))
        if reply.streaming and (older or fewer):
            self.doubt, self._looks = Doubt.SHRUNK, 0
            self._gone = frozenset() if older else lost
        elif older:
            self.doubt = Doubt.OLDER
            return self._rules.again(now + self._rng.random() * APART, self.doubt.value)
        elif self.doubt is Doubt.SHRUNK and not sure and self._gone & found.members:
            # That server has not heard yet that they are gone, or hidden.
            self._looks += 1
        else:
            return None
        soon = SHRUNK_AFTER * (1 + self._rng.random())
        return self._rules.again(now + soon, self.doubt.value)

    def _believe(
        self, reply: Reply, ask: BlockingQuery, found: Reading, now: float, *, changed: bool
    ) -> None:
        """Note what is known by now besides the value."""
        self.doubt = Doubt.NONE
        self._anew_since = None
        self.held = False
        self._readable = _NOBODY
        if not reply.streaming:
            # Streaming replies do not say: what was so is so still.
            self._part = reply.filtered_by_acls
        assert reply.index is not None
        # The leader counts: after a restore it may be less than before.
        sure = ask.leader or ask.consistent
        self._index = reply.index if sure else max(reply.index, self._index)
        # Who waited was told as it was; else it may be as old as the question.
        self.as_of = now - (reply.last_contact or 0.0) - (0.0 if ask.index else reply.took)
        if changed:
            self.since, self._confirmed = now, False
        if found.size:
            self._was_something = True
        elif ask.consistent and now >= self.since + SECOND_LOOK:
            self._confirmed = True


def _hidden(a_part: bool) -> str:
    return f"the token may not read {'all' if a_part else 'any'} of it"
