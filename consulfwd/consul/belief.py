"""What is believed of one fact: what is asked about it next, and which replies count.

What belongs here: when the leader's word is wanted, when nothing is really nothing, what a token
hides. The rules of blocking queries are in `blocking`. Must not know: connections, tasks, who is
asked. Pure: `now` and `rng` are arguments.

The first question, and each after an error, is for the leader's word: an agent that was restarted
answers from the past for a while. Those that wait for changes are the agent's own to answer.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from consulfwd.consul.blocking import BlockingQuery, BlockingRules, Verdict
from consulfwd.consul.content import Content
from consulfwd.consul.facts import Fact, content
from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError

if TYPE_CHECKING:
    import random

# Seconds a question waits for a change; with what is added for the way, a frozen agent holds up
# what is known for 16 s at most.
WAIT = 10.0


class Belief:
    """What is known of a fact. `known` says whether anything is; `value` is it then.

    `next` and (`take` or `failed`) take turns. `doubtful` says that a reply is not believed until
    another confirms it; `hidden` that the token may see a part of it only.
    """

    def __init__(self, fact: Fact, rng: random.Random) -> None:
        self.fact = fact
        self.known = False
        self.value: Any = None
        self.doubtful = False
        self.hidden = False
        self._rules = BlockingRules(self._project, rng, wait=WAIT)
        self._read: Any = None
        self._agent: int | None = None

    def next(self, agent: int, now: float) -> BlockingQuery:
        """Return the next question, which goes to `agent` (any number that stands for it)."""
        if agent != self._agent or not self.fact.blocks:
            self._agent = agent
            self._rules.moved()
        return self._rules.next(now)

    def params(self, ask: BlockingQuery) -> dict[str, str]:
        """Return all parameters of a question."""
        params = self.fact.params
        if ask.consistent or self.doubtful:
            return params | {"consistent": ""}
        return params | (ask.params() if ask.index else {})

    def failed(self, error: ConsulError, now: float) -> None:
        """Take the end of a question without a reply: what is known stays."""
        self._rules.failed(error, now)

    def take(self, reply: Reply, ask: BlockingQuery, now: float) -> bool:
        """Take a reply; return whether what is known became another, or known at all.

        Raises ConsulError where the reply cannot be believed: what is known stays.
        """
        if not self.fact.blocks:
            # Such replies have no index; the rules want one.
            reply = dataclasses.replace(reply, index=1)
        if ask.index and reply.index is not None and reply.index < ask.index:
            # From before what is known: an agent behind the others, or a cluster that was restored.
            self._rules.moved()
            return False
        if reply.filtered_by_acls:
            self._refuse_hidden(reply, now)
        decision = self._rules.reply(reply, now)
        if decision.verdict is Verdict.FAILED:
            raise ConsulError(reply.agent, 0, f"{self.fact}: {decision.why}")
        sure = ask.consistent or self.doubtful
        nothing = not content(self._read).size
        if decision.verdict is Verdict.DOUBTED or (nothing and not self.known and not sure):
            self.doubtful = True
            if not self.known:
                self._rules.moved()
            return False
        self.doubtful = False
        self.hidden = decision.verdict is Verdict.PARTIAL
        another = not self.known or self._read != self.value
        self.known, self.value = True, self._read
        return another

    def _refuse_hidden(self, reply: Reply, now: float) -> None:
        """A token that lost its rights must not make a list shorter, nor one without any empty."""
        try:
            nothing = not self._project(reply.json()).size
        except (ConsulError, ValueError):
            return  # told as what it is
        if nothing or (self.known and not self.hidden):
            what = "any" if nothing else "all"
            error = ConsulError(
                reply.agent, 403, f"{self.fact}: the token may not read {what} of it"
            )
            self._rules.failed(error, now)
            raise error

    def _project(self, parsed: object) -> Content:
        self._read = self.fact.read(parsed)
        return content(self._read)
