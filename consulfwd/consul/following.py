"""Knows what templates ask for, and goes on knowing it: one task for each fact.

What belongs here: the tasks that ask. What a fact is, is in `facts`; which replies are believed, in
`belief`; which agent is asked, in `turns`. Must not know templates, nor log: what there is to tell
goes to whoever made it. What is known stays until Consul says something else: no error makes a
list empty.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from consulfwd.config import Agent
from consulfwd.consul.belief import Belief
from consulfwd.consul.blocking import BlockingQuery
from consulfwd.consul.client import Client
from consulfwd.consul.facts import Fact
from consulfwd.consul.quality import fault
from consulfwd.consul.reply import Reply
from consulfwd.consul.turns import Turns
from consulfwd.core.carriers import MOST_CARRIED
from consulfwd.errors import ConsulError

# What Consul cannot be asked to wait for is asked for again after so many seconds.
POLL = 10.0
# So old (seconds) an agent's data may be.
MAX_LAST_CONTACT = 5.0
# Statuses that say something of the agent, not of what was asked.
_BUSY = frozenset({429, 503})


class Following:
    """Follows facts at the first of `agents` that answers.

    `changed` is called when what is known of a fact became another than `ready` waited for; `tell`
    with a sentence for people when Consul cannot be asked for something any more, and when it can
    again. `known` has what is known by fact; `faults` what the last question ended with, for those
    that cannot be asked for now. `close` ends it.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        changed: Callable[[], None] = lambda: None,
        tell: Callable[[str], None] = lambda text: None,
        *,
        connect: Callable[[Agent], Client] = Client,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.known: dict[Fact, Any] = {}
        self.faults: dict[Fact, ConsulError] = {}
        self._ports = [agent.http_port for agent in agents]
        self._clients = [connect(agent) for agent in agents]
        self._turns = Turns(len(agents))
        # How many questions wait at each agent: other programs of the host need connections too.
        self._waiting = [0] * len(agents)
        self._changed = changed
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._followed: dict[Fact, tuple[asyncio.Task[None], asyncio.Event]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._hidden: set[Fact] = set()
        # Why each fact cannot be asked for, as it was first told.
        self._away: dict[Fact, str] = {}

    def want(self, facts: Iterable[Fact]) -> None:
        """Follow these facts from now on, and forget all others."""
        wanted = dict.fromkeys(facts)
        for fact in [one for one in self._followed if one not in wanted]:
            task, _ = self._followed.pop(fact)
            task.cancel()
            for about in (self.known, self.faults, self._away):
                about.pop(fact, None)
        for fact in wanted:
            if fact not in self._followed:
                told = asyncio.Event()
                task = asyncio.get_running_loop().create_task(self._follow(fact, told))
                self._ending.add(task)
                task.add_done_callback(self._ended)
                self._followed[fact] = task, told

    async def ready(self) -> None:
        """Return when every wanted fact is known, or no agent could be asked for it."""
        for _, told in list(self._followed.values()):
            await told.wait()

    async def close(self) -> None:
        """End every task and close every connection."""
        self.want(())
        await asyncio.gather(*self._ending, return_exceptions=True)
        for client in self._clients:
            await client.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        context = {"message": "following a fact failed", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)
        for fact, (one, told) in self._followed.items():
            if one is task:
                self.faults[fact] = ConsulError("consulfwd", 0, f"{fact}: {error!r}")
                told.set()

    async def _follow(self, fact: Fact, told: asyncio.Event) -> None:
        belief = Belief(fact, self._rng)
        refused: dict[int, ConsulError] = {}
        while True:
            now = self._clock()
            at = self._turns.first(now, refused)
            ask = belief.next(at, now)
            await self._sleep(max(ask.at - now, 0.0))
            waits = fact.blocks and self._waiting[at] < MOST_CARRIED
            try:
                reply = await self._get(at, belief, ask, waits)
                news = belief.take(reply, ask, self._clock())
            except ConsulError as error:
                refused[at] = error
                if len(refused) == len(self._clients):
                    self._note_fault(fact, _all_of(fact, refused), told)
                    refused.clear()
                continue
            refused.clear()
            if belief.known:
                self._note(belief, news, told)
            await self._sleep(0.0 if waits or belief.doubtful else POLL)

    async def _get(self, at: int, belief: Belief, ask: BlockingQuery, waits: bool) -> Reply:
        fact, client = belief.fact, self._clients[at]
        params = belief.params(ask)
        if "index" in params and not waits:
            params["wait"] = "1ms"
        self._waiting[at] += waits
        try:
            reply = await client.get(fact.path, params, timeout=ask.timeout, absent=fact.absent)
            if why := fault(reply, MAX_LAST_CONTACT):
                # Of status 503, as if it had said itself that it can do nothing without a leader.
                raise ConsulError(reply.agent, 503, why)
        except ConsulError as error:
            now = self._clock()
            # Of another datacenter an agent only passes on what it hears.
            if error.status == 0 or (error.status in _BUSY and not fact.datacenter):
                self._turns.failed(at, now)
            belief.failed(error, now)
            # Agents are called by their DNS ports.
            where = "" if error.status else f" over HTTP, port {self._ports[at]}"
            reason = f"{fact}: {error.reason}{where}"
            raise ConsulError(error.agent, error.status, reason) from error
        finally:
            self._waiting[at] -= waits
        self._turns.answered(at)
        return reply

    def _note(self, belief: Belief, news: bool, told: asyncio.Event) -> None:
        """Note that a fact is known."""
        fact = belief.fact
        self.known[fact] = belief.value
        self.faults.pop(fact, None)
        away = self._away.pop(fact, None)
        if away is not None and away not in self._away.values():
            self._tell(f"Consul can be asked for {fact} again")
        if belief.hidden and fact not in self._hidden:
            self._hidden.add(fact)
            self._tell(f"the token may not read all of {fact}: it is used without the rest")
        if told.is_set():
            if news:
                self._changed()
        else:
            told.set()

    def _note_fault(self, fact: Fact, error: ConsulError, told: asyncio.Event) -> None:
        """Note that no agent can be asked for a fact; many for one reason are told once."""
        self.faults[fact] = error
        told.set()
        if fact in self._away:
            return
        why = error.reason.removeprefix(f"{fact}: ")
        news = why not in self._away.values()
        self._away[fact] = why
        if news:
            what = "what is known of it stays" if fact in self.known else "it is not known yet"
            self._tell(f"Consul cannot be asked: {error}; {what}")


def _all_of(fact: Fact, refused: Mapping[int, ConsulError]) -> ConsulError:
    """Return why no agent can be asked, each for its own reason: any may be the one to mend."""
    first, *others = (refused[at] for at in sorted(refused))
    reasons = [str(one).replace(f"{fact}: ", "", 1) for one in others]
    return ConsulError(first.agent, first.status, "; ".join([first.reason, *reasons]))
