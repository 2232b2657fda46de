"""Knows what templates ask for, and goes on knowing it: one task for each fact.

What belongs here: the tasks, and what is known. What a fact is, is in `facts`; which replies are
believed, in `belief`; whom a question is put to and how, in `asking`; what is told of it, in
`followed`. Must not know templates, nor log: what there is to tell goes to whoever made it. What is
known stays until Consul says something else: no error makes a list empty.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from consulfwd.config import Agent
from consulfwd.consul import renewal
from consulfwd.consul.asking import Asking
from consulfwd.consul.belief import Belief, Doubt
from consulfwd.consul.blocking import Decision, Verdict
from consulfwd.consul.client import LIMIT, Client
from consulfwd.consul.facts import Fact, Known, Reading
from consulfwd.consul.followed import Followed, GivenUp, Teller
from consulfwd.consul.reply import Reply
from consulfwd.consul.seats import CONNECTIONS
from consulfwd.errors import ConsulError

# A task that an error of ours ended is begun again after so long (seconds), at first, at most.
BEGIN_AGAIN, BEGIN_AGAIN_MAX = 5.0, 300.0


def connect_to(agent: Agent) -> Client:
    """Return what facts are asked for with."""
    return Client(agent, connections=CONNECTIONS)


class Following:
    """Follows facts at the first of `agents` that answers.

    `changed` is called when what is known of a fact became another than `ready` waited for; `tell`
    with a sentence for people when Consul cannot be asked for something any more, now and then
    while that lasts, and when it can again. `known` has values by fact, `about` all there is to
    know of one; `faults` what the last question ended with, for those that cannot be asked for
    now. `close` ends it. What was believed by then is the `before` of one that asks other agents,
    or with other tokens: rights that are lost by that make no list shorter either.

    `heard` is called with a fact after each question about it: what is known of it may be another
    thing now, or be known to be so still. Of very many facts, each that has no seat is looked at
    within `turn` seconds, or a quarter more. What changes all the time is looked at `rate` times a
    second at most, by default once.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        changed: Callable[[], None] = lambda: None,
        tell: Callable[[str], None] = lambda text: None,
        *,
        heard: Callable[[Fact], None] = lambda fact: None,
        turn: float = float("inf"),
        rate: float | None = None,
        before: Sequence[Belief] = (),
        connect: Callable[[Agent], Client] = connect_to,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self._before = {belief.fact: belief for belief in before if belief.known}
        self.known: dict[Fact, Any] = {fact: one.value for fact, one in self._before.items()}
        self.faults: dict[Fact, ConsulError] = {}
        self._changed = changed
        self._heard = heard
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._teller = Teller(agents, tell)
        self._followed: dict[Fact, Followed] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._asking = Asking(
            agents,
            connect,
            self._followed.values,
            turn=turn,
            clock=clock,
            sleep=sleep,
            rng=self._rng,
        )

    def want(self, facts: Iterable[Fact], *, first: Iterable[Fact] = ()) -> None:
        """Follow these facts from now on, and forget all others.

        Those that are named `first` have seats kept for them.
        """
        begins = [*first]
        wanted = dict.fromkeys([*begins, *facts])
        self.without([one for one in self._followed if one not in wanted])
        self.also(begins, first=True)
        self.also(wanted)
        for fact in self._before:
            del self.known[fact]
        self._before.clear()

    def also(self, facts: Iterable[Fact], *, first: bool = False) -> None:
        """Follow these facts, too."""
        for fact in facts:
            if fact in self._followed:
                continue
            one = Followed(Belief(fact, self._rng, self._rate), len(self._asking.posts))
            if first:
                self._asking.keep_seat(one)
            if fact in self._before:
                one.belief.remember(self._before.pop(fact))
                one.told.set()
            self._begin(one)

    def learn(self, found: Mapping[Fact, Reading], reply: Reply) -> None:
        """Follow these facts, too, of which something was read in a reply about many.

        It is the leader's, and there is something of each. They are looked at in their turn.
        """
        names = [post.agent.name for post in self._asking.posts]
        at, now = names.index(reply.agent), self._clock()
        for fact, reading in found.items():
            if fact in self._followed:
                continue
            one = Followed(Belief(fact, self._rng, self._rate), len(names))
            one.belief.learn(reading, reply, now)
            one.at = one.said_by = at
            one.told.set()
            one.sure.set()
            self.known[fact] = reading.value
            self._begin(one, rests=True)

    def _begin(self, one: Followed, *, rests: bool = False) -> None:
        self._followed[one.fact] = one
        one.task = asyncio.get_running_loop().create_task(self._follow(one, rests=rests))
        self._ending.add(one.task)
        one.task.add_done_callback(self._ending.discard)

    def without(self, facts: Iterable[Fact]) -> None:
        """Forget these facts."""
        for fact in facts:
            self._teller.forget(gone := self._followed.pop(fact))
            self._asking.forget_seat(gone)
            assert gone.task is not None
            gone.task.cancel()
            # It may not have begun yet.
            gone.told.set()
            gone.sure.set()
            for about in (self.known, self.faults):
                about.pop(fact, None)

    def look(self, facts: Iterable[Fact]) -> None:
        """Look at these facts now, if nobody waits for their changes: something tells of one."""
        for fact in facts:
            if fact in self._followed:
                self._followed[fact].hint()

    def waits(self, fact: Fact) -> bool:
        """Return whether there is a question about a fact that waits for a change."""
        return fact in self._followed and self._followed[fact].waited

    async def beside(
        self, path: str, params: Mapping[str, str], *, timeout: float, limit: int = LIMIT
    ) -> Reply:
        """Return the reply to a question about no fact, by any agent. Raises ConsulError."""
        return await self._asking.beside(path, params, timeout=timeout, limit=limit)

    @property
    def beliefs(self) -> list[Belief]:
        """What is believed of all facts."""
        return [one.belief for one in self._followed.values()]

    async def ready(self) -> None:
        """Return when every wanted fact is known, or no agent could be asked for it."""
        for one in list(self._followed.values()):
            await one.told.wait()

    def about(self, fact: Fact) -> Known | None:
        """Return what is known of a fact, and how well; None where nothing is."""
        one = self._followed.get(fact)
        if one is None or fact not in self.known:
            return None
        belief, post = one.belief, self._asking.posts[one.at]
        # Who has waited since before the agent proved that it hears of all would have been told. Of
        # another datacenter it proves nothing.
        proved = belief.as_of
        if not fact.datacenter and one in post.seats and one.waits_since <= post.proved_at:
            proved = max(proved, post.proved_at)
        name = self._asking.posts[one.said_by].agent.name
        held = belief.doubt.value if belief.doubt is Doubt.ANEW else ""
        return Known(
            belief.value,
            belief.as_of,
            belief.since,
            proved,
            belief.partial,
            name,
            belief.index,
            held,
        )

    def wrong(self) -> list[str]:
        """Return what is wrong now, for people: tokens that are refused, what cannot be asked."""
        return [*renewal.here().faults(), *self._teller.wrong(self._followed.values())]

    def unconfirmed(self, facts: Iterable[Fact]) -> set[Fact]:
        """Return those of which there was nothing at first, which was not confirmed later."""
        followed = self._followed
        return {one for one in facts if one in followed and followed[one].belief.unconfirmed}

    async def confirm(self, facts: Iterable[Fact]) -> None:
        """Have the leader confirm that there is nothing, some seconds after it first said so.

        Returns when it has, when there is something, or when it cannot be asked: those are
        `unconfirmed` still.
        """
        asked = [self._followed[fact] for fact in self.unconfirmed(facts)]
        for one in asked:
            one.sure.clear()
            one.belief.confirm()
            one.give_up()
        for one in asked:
            await one.sure.wait()

    async def again(self, facts: Iterable[Fact]) -> None:
        """Ask now for what is asked for now and then; return once it is known, or cannot be."""
        asked = [self._followed[fact] for fact in facts]
        for one in asked:
            one.told.clear()
            one.give_up()
        for one in asked:
            await one.told.wait()

    async def knock(self, timeout: float) -> None:
        """See within `timeout` s which agents answer again that failed: they are asked at once."""
        await self._asking.knock(timeout)

    async def close(self) -> None:
        """End every task and close every connection."""
        self.want(())
        await asyncio.gather(*self._ending, return_exceptions=True)
        await self._asking.close()

    async def _follow(self, one: Followed, *, rests: bool) -> None:
        """Follow a fact until it is cancelled: an error of ours ends one try, and is told."""
        pause = BEGIN_AGAIN
        while True:
            begun = self._clock()
            try:
                if rests:
                    rests = False
                    await self._asking.turn(one)
                await self._rounds(one)
            except Exception as error:
                context = {"message": f"following {one.fact} failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
                why = f"{one.fact}: an error of consulfwd's own ({error!r}), begun again soon"
                self._unanswered(one, ConsulError("consulfwd", 0, why))
                one.belief.look()
            finally:
                one.told.set()
                one.sure.set()
            if self._clock() - begun > BEGIN_AGAIN_MAX:
                pause = BEGIN_AGAIN
            await self._sleep(pause)
            pause = min(2 * pause, BEGIN_AGAIN_MAX)

    async def _rounds(self, one: Followed) -> None:
        while True:
            try:
                decision, _, error = await self._asking.put(one)
            except GivenUp:
                continue
            if decision.verdict is Verdict.FAILED:
                self._failed(one, decision, error)
                self._heard(one.fact)
            elif decision.verdict is Verdict.DOUBTED:
                self._teller.doubted(one, self._clock())
                self._heard(one.fact)
            else:
                self._answered(one, decision)
                self._heard(one.fact)
                await self._asking.rest(one, decision)

    def _failed(self, one: Followed, decision: Decision, error: ConsulError | None) -> None:
        """Note that an agent did not answer a question, or not so that it can be believed."""
        self._asking.failed(one, decision, error)
        one.round[one.at] = self._teller.error(one, decision, error)
        one.sure.set()
        if len(one.round) == len(self._asking.posts):
            self._unanswered(one, one.all_of())

    def _unanswered(self, one: Followed, error: ConsulError) -> None:
        """Note that no agent can be asked for a fact."""
        self.faults[one.fact] = error
        self._teller.unanswered(one, error, self._clock(), known=one.fact in self.known)
        one.told.set()

    def _answered(self, one: Followed, decision: Decision) -> None:
        """Note that a fact is known."""
        fact, now, news = one.fact, self._clock(), decision.verdict is Verdict.CHANGED
        one.said_by = one.at
        one.refusals.answered(one.at)
        self.known[fact] = one.belief.value
        self.faults.pop(fact, None)
        self._teller.answered(one, now)
        if not one.belief.unconfirmed:
            one.sure.set()
        if not one.told.is_set():
            one.told.set()
        elif news:
            one.changed_at = now
            self._changed()
