"""One question about a fact after the other: which agent it is put to, and whether it waits there.

What belongs here: the order of agents, seats, pauses, and what ends them. Which replies are
believed is in `belief`; who is asked next, in `turns`; how, in `question` and `post`. Must not know
what becomes of a reply, nor what is told of it.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from consulfwd.config import Agent
from consulfwd.consul import rights
from consulfwd.consul.blocking import BlockingQuery, Decision, Verdict
from consulfwd.consul.client import Client
from consulfwd.consul.followed import Followed, GivenUp
from consulfwd.consul.naps import Naps
from consulfwd.consul.post import BUSY, MAX_LAST_CONTACT, Post
from consulfwd.consul.quality import fault
from consulfwd.consul.question import Answered, put
from consulfwd.consul.reply import Reply
from consulfwd.consul.turns import Turns
from consulfwd.errors import ConsulError

# A fact without a seat is looked at so often (seconds) at most, and in turn with all others.
LOOK_EVERY = 10.0
# And once more so long (seconds) after a look that showed nothing of what had been told.
LOOK_AGAIN = 1.0
# So many of all in a second at most, however soon each is to have its turn.
MOST_LOOKS = 100.0


class Asking:
    """Asks `agents` about all that is followed, which `everything` returns."""

    def __init__(
        self,
        agents: Sequence[Agent],
        connect: Callable[[Agent], Client],
        everything: Callable[[], Collection[Followed]],
        *,
        turn: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        rng: random.Random,
    ) -> None:
        self._everything = everything
        self._turn = turn
        self._clock = clock
        self._sleep = sleep
        self._rng = rng
        self._turns = Turns(len(agents))
        self._naps = Naps(clock, sleep)
        self.posts: list[Post[Followed]] = [
            Post(
                agent,
                connect(agent),
                functools.partial(self._lost, at),
                functools.partial(self._renewed, at),
                clock=clock,
                sleep=sleep,
                rng=rng,
            )
            for at, agent in enumerate(agents)
        ]

    async def put(self, one: Followed) -> Answered:
        """Put the next question about a fact, and return what it came to.

        Raises GivenUp where that is another one by now.
        """
        one.at = self._first(one)
        one.belief.at(one.at)
        seats = self.posts[one.at].seats
        if one.afresh:
            one.afresh = False
            one.belief.look()
        one.waited = one.belief.waits and seats.take(one)
        if not one.waited:
            one.belief.look()
        one.waits_since = float("inf")
        get = functools.partial(self._get, one, one.at)
        pause = functools.partial(self._pause, one)
        try:
            return await put(one.belief, get, self._clock, pause)
        except GivenUp:
            one.belief.given_up()
            raise
        finally:
            seats.leave(one)

    async def rest(self, one: Followed, decision: Decision) -> None:
        """Wait until a fact that has no seat is to be looked at again, or find it one."""
        seats, blocks = self.posts[one.at].seats, one.fact.blocks
        changed = decision.verdict is Verdict.CHANGED
        if one.waited or one.belief.to_confirm or one.owed > 1:
            return
        if blocks and (seats.kept(one) or seats.free):
            return
        if changed:
            one.owed = 0
        if blocks and changed:
            # What changed now will sooner change again than what has not for long.
            others = (other for other in seats if not seats.kept(other))
            idle = min(others, key=lambda other: other.changed_at, default=None)
            if idle is not None and idle.changed_at < one.changed_at:
                seats.hand_over(idle, one)
                idle.give_up()
                return
        await self._nap(one, LOOK_AGAIN if one.owed else self._pause_between(one))

    async def turn(self, one: Followed) -> None:
        """Wait until it is the turn of one of which all is known."""
        await self._nap(one, self._pause_between(one))

    async def _nap(self, one: Followed, seconds: float) -> None:
        one.nap = self._naps.begin(seconds)
        try:
            await one.nap
        finally:
            one.nap = None

    def _pause_between(self, one: Followed) -> float:
        """Return after which pause (seconds) it is the turn of one that has no seat."""
        waiting = sum(len(post.seats) for post in self.posts)
        looked_at = max(len(self._everything()) - waiting, 1)
        turn = min(looked_at / self.posts[one.at].room.looks, self._turn)
        turn = max(LOOK_EVERY, turn, looked_at / MOST_LOOKS)
        pause = turn if one.fact.blocks else one.fact.every
        # All became known at about the same time: they are to be spread evenly from now on.
        pause *= self._rng.uniform(0.75, 1.25) if one.in_turn else self._rng.random()
        one.in_turn = True
        return pause

    async def beside(
        self, path: str, params: Mapping[str, str], *, timeout: float, limit: int
    ) -> Reply:
        """Ask something once, of the agent whose turn it is. Raises ConsulError."""
        post = self.posts[self._turns.first(self._clock())]
        return await post.look(path, params, timeout=timeout, absent=False, limit=limit)

    def failed(self, one: Followed, decision: Decision, error: ConsulError | None) -> None:
        """Note that an agent did not answer a question, or not so that it can be believed."""
        now, status = self._clock(), decision.status
        # Of another datacenter an agent only passes on what it hears.
        if error is not None and (not status or (status in BUSY and not one.fact.datacenter)):
            self._turns.failed(one.at, now)
        else:
            one.refusals.refused(one.at, now)

    async def knock(self, timeout: float) -> None:
        """See who of those that failed answers again; whoever does is asked at once.

        Pauses have grown meanwhile: for a file it may take its time, a program may wait for it.
        """
        now = self._clock()
        away = [at for at in range(len(self.posts)) if self._turns.passed_over(at, now)]
        await asyncio.gather(*(self._knock_at(at, timeout) for at in away))

    async def _knock_at(self, at: int, timeout: float) -> None:
        try:
            reply = await self.posts[at].client.get("/v1/status/leader", timeout=timeout)
            back = bool(reply.json())
        except ConsulError:
            return
        if back:
            self._renewed(at, look=False)

    def keep_seat(self, one: Followed) -> None:
        """Keep a seat for a fact at each agent."""
        for post in self.posts:
            post.seats.keep(one)

    def forget_seat(self, one: Followed) -> None:
        """Keep none for it any more."""
        for post in self.posts:
            post.seats.forget(one)

    async def close(self) -> None:
        """Close every connection."""
        await self._naps.close()
        for post in self.posts:
            await post.close()

    def _first(self, one: Followed) -> int:
        """Return which agent is asked for a fact; each has its turn before one has another."""
        tried = one.round if len(one.round) < len(self.posts) else ()
        return self._turns.first(self._clock(), one.refusals.until, tried)

    async def _get(self, one: Followed, at: int, ask: BlockingQuery) -> Reply:
        fact, post, wait = one.fact, self.posts[at], one.waited
        # What it is about to wait for may be over by now, or whom it is about to ask be lost.
        unfit = one.belief.to_confirm or one not in post.seats if wait else self._first(one) != at
        if unfit:
            raise GivenUp
        if one.belief.in_question:
            await self._look_for_rights(one, post)
        one.owed = max(one.owed - 1, 0)
        ask_by = functools.partial(
            post.wait if wait else post.look,
            fact.path,
            fact.params | ask.params(),
            timeout=ask.timeout,
            absent=fact.absent,
        )
        if wait:
            one.waits_since = self._clock()
            reply = await one.unless_given_up(ask_by)
        else:
            reply = await ask_by()
        if why := fault(reply, MAX_LAST_CONTACT):
            # Of status 503, as if it had said itself that it can do nothing without a leader.
            raise ConsulError(reply.agent, 503, why)
        self._turns.answered(at)
        return reply

    async def _look_for_rights(self, one: Followed, post: Post[Followed]) -> None:
        """See whether the token may read what is gone. Raises ConsulError where it may not."""
        fact, gone = one.fact, one.belief.in_question
        params = {"stale": ""} | ({"dc": fact.datacenter} if fact.datacenter else {})
        for path in rights.paths(fact, gone):
            try:
                await post.look(path, params, timeout=rights.TIMEOUT, absent=True)
            except ConsulError as error:
                if rights.refused(error):
                    raise ConsulError(error.agent, error.status, one.belief.hidden()) from None
        one.belief.may_read(gone)

    async def _pause(self, one: Followed, seconds: float) -> None:
        """Wait until a question is due. Raises GivenUp where that is another one by now."""
        if seconds <= 0:
            await self._sleep(0)
            return
        one.pausing = True
        try:
            await one.unless_given_up(functools.partial(self._sleep, seconds))
        except (GivenUp, ConsulError):
            # Somebody is in a hurry, or whom it was to be put to is lost.
            one.belief.given_up(unsent=True)
            raise GivenUp from None
        finally:
            one.pausing = False

    def _lost(self, at: int, error: ConsulError) -> None:
        """Take it that an agent answers nobody any more: who waits there asks elsewhere."""
        self._turns.failed(at, self._clock())
        for one in self.posts[at].seats:
            one.give_up(error)

    def _renewed(self, at: int, look: bool) -> None:
        """Take it that an agent is shown something else, or is another one by what it counts.

        What it refused, it may take now. Who waits there, or is going to, is to `look` before where
        that is told.
        """
        self._turns.answered(at)
        for one in self._everything():
            one.refusals.answered(at)
            one.belief.forgive()
            one.afresh |= one.pausing or (look and one.at == at)
            if one.pausing or (look and one in self.posts[at].seats):
                one.give_up()
