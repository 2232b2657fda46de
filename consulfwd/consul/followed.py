"""A fact that is followed, and what people are told of all of them.

What belongs here: what its task, and whoever interrupts that, have to know of each other; which
faults are told, once for all facts that share them. Must not know: how anything is asked, a clock,
a log.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from consulfwd.config import Agent
from consulfwd.consul.belief import ANEW, Belief, Doubt
from consulfwd.consul.blocking import Decision
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.mark import Mark
from consulfwd.consul.naps import Nap, end
from consulfwd.consul.turns import Refusals
from consulfwd.core.alarms import AGAIN, Alarms
from consulfwd.errors import ConsulError

T = TypeVar("T")

# Of so many facts it is told that a part of them is hidden.
HIDDEN_TOLD = 10
# So many things that were left out of a fact are told at once; of more, how many.
LEFT_OUT_TOLD = 10
# No two questions wait for the same time.
_WAITED = re.compile(r"no reply within \S+ s")


class GivenUp(Exception):
    """Nobody waits any more for what was under way: the fact is asked for anew."""


class Followed:
    """One fact. `told` is set once it is known, or cannot be; `sure` once nothing is left to doubt.

    `at` is the agent (by number) asked now, `said_by` who said what is known; `round` has who
    failed since then. `waited` says whether the last question waited for a change; `pausing`, that
    the next one is not due yet; `afresh`, that it is not to wait, whatever was known before;
    `in_turn`, that it has been looked at in turn with others; `nap` is there while it waits for
    its turn. `owed` is how many looks are to come soon, as something told that it changed.
    """

    def __init__(self, belief: Belief, agents: int) -> None:
        self.belief = belief
        self.refusals = Refusals(agents)
        self.told, self.sure = Mark(), Mark()
        self.at = self.said_by = 0
        self.round: dict[int, ConsulError] = {}
        self.waited = self.pausing = self.afresh = self.in_turn = False
        self.nap: Nap | None = None
        self.owed = 0
        self.waits_since = float("inf")
        self.changed_at = float("-inf")
        self.task: asyncio.Task[None] | None = None
        self.under_way: asyncio.Task[Any] | None = None
        self.given_up_for: ConsulError | None = None

    @property
    def fact(self) -> Fact:
        """What is followed."""
        return self.belief.fact

    async def unless_given_up(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what comes of this. Raises GivenUp, or what it was given up for, once it is."""

        async def run() -> T:
            return await work()

        self.given_up_for = None
        task = asyncio.get_running_loop().create_task(run())
        self.under_way = task
        try:
            await asyncio.wait({task})
        finally:
            self.under_way = None
            # Whatever it ends with when nobody waits for it any more is nobody's concern.
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if task.cancelled():
            raise self.given_up_for or GivenUp
        return task.result()

    def hint(self) -> None:
        """Have it looked at soon: something tells that it changed. Who waits is told of itself.

        A question under way may be answered from before that; the next one, too, if it is put to
        another server. So it is looked at twice where the first look shows no change.
        """
        if not self.waited:
            self.owed = 2
            end(self.nap)

    def give_up(self, error: ConsulError | None = None) -> None:
        """End what it waits for, as if by that error where one is given."""
        end(self.nap)
        if self.under_way is not None and self.under_way.cancel():
            self.given_up_for = error

    def all_of(self) -> ConsulError:
        """Return why no agent can be asked, each for its own reason: any may be the one to mend."""
        first, *others = (self.round[at] for at in sorted(self.round))
        reasons = [str(one).replace(f"{self.fact}: ", "", 1) for one in others]
        return ConsulError(first.agent, first.status, "; ".join([first.reason, *reasons]))


class Teller:
    """What is told of all that is followed, by `tell`."""

    def __init__(self, agents: Sequence[Agent], tell: Callable[[str], None]) -> None:
        self._agents = agents
        self._tell = tell
        self._alarms = Alarms()
        # Why each cannot be asked for, and how many cannot for the same reason.
        self._away: dict[Followed, str] = {}
        self._reasons: Counter[str] = Counter()
        # What an agent (by number) answers with, and for which facts another one is asked instead.
        self._instead: dict[tuple[int, str], set[Followed]] = {}
        self._hidden: set[Followed] = set()
        self._left_out: dict[Followed, tuple[str, ...]] = {}
        # Since when so many of these were told, by the kind of fact.
        self._left_out_told: dict[FactKind, tuple[float, int]] = {}

    def error(
        self, one: Followed, decision: Decision, error: ConsulError | None
    ) -> ConsulError:
        """Return why a question came to nothing, fit to be told."""
        agent = self._agents[one.at]
        # Agents are called by their DNS ports.
        silent = error is not None and not error.status
        where = f" over HTTP, {agent.http_place}" if silent else ""
        return ConsulError(agent.name, decision.status, f"{one.fact}: {decision.why}{where}")

    def unanswered(self, one: Followed, error: ConsulError, now: float, *, known: bool) -> None:
        """Note that no agent can be asked for a fact; many for one reason are told at once."""
        why = _reason(one, error)
        if self._away.get(one) != why:
            self._back(one)
            self._away[one] = why
            self._reasons[why] += 1
        if self._alarms.wrong(why, now):
            what = "what is known of it stays" if known else "it is not known yet"
            more = self._reasons[why] - 1
            others = f" ({more} more cannot be asked for)" if more else ""
            self._tell(f"Consul cannot be asked: {error}; {what}{others}")

    def doubted(self, one: Followed, now: float) -> None:
        """Note that a reply is not believed yet, which may be for long."""
        if one.belief.doubt is Doubt.ANEW and self._alarms.wrong(Doubt.ANEW, now):
            stays = f"what is known of it stays for {ANEW:g} s"
            self._tell(f"{one.fact}: {one.belief.doubt.value}; {stays}, and so does all like it")

    def answered(self, one: Followed, now: float) -> None:
        """Note that a fact is known, and by which agent."""
        why = self._back(one)
        if why is not None and not self._reasons[why] and self._alarms.well(why):
            self._tell(f"Consul can be asked for {one.fact} again")
        for at, error in one.round.items():
            if at != one.at:
                key = at, _reason(one, error)
                self._instead.setdefault(key, set()).add(one)
                if self._alarms.wrong(key, now):
                    self._tell(f"{error}; another agent is asked")
        one.round.clear()
        for key, facts in list(self._instead.items()):
            if key[0] == one.at and one in facts:
                facts.discard(one)
                if not facts:
                    del self._instead[key]
                    if self._alarms.well(key):
                        name = self._agents[one.at].name
                        self._tell(f"{name}: it can be asked for {one.fact} again")
        self._tell_hidden(one, now)
        self._tell_left_out(one, now)

    def wrong(self, followed: Iterable[Followed]) -> list[str]:
        """Return why what of these cannot be asked for, one line for each reason.

        It names the first of them it holds for, not what happened to be asked for first: the same
        state is to read the same.
        """
        found: dict[str, str] = {}
        for one in followed if self._away else ():
            why = self._away.get(one)
            if why is not None and why not in found:
                more = self._reasons[why] - 1
                others = f" and {more} more" if more else ""
                found[why] = f"Consul cannot be asked for {one.fact}{others}: {why}"
        return list(found.values())

    def forget(self, one: Followed) -> None:
        """Note that a fact is followed no more."""
        self._back(one)
        for key, facts in list(self._instead.items()):
            facts.discard(one)
            if not facts:
                del self._instead[key]
        self._hidden.discard(one)
        self._left_out.pop(one, None)

    def _back(self, one: Followed) -> str | None:
        """Return why it could not be asked for, which is over."""
        why = self._away.pop(one, None)
        if why is not None:
            self._reasons[why] -= 1
            # What never comes again need not be counted.
            self._reasons += Counter()
        return why

    def _tell_hidden(self, one: Followed, now: float) -> None:
        if not one.belief.partial:
            self._hidden.discard(one)
        elif one not in self._hidden and self._alarms.wrong(("hidden", one.fact), now):
            self._hidden.add(one)
            if len(self._hidden) <= HIDDEN_TOLD:
                more = "; no more of these are told" if len(self._hidden) == HIDDEN_TOLD else ""
                what = f"the token may not read all of {one.fact}: it is used without the rest"
                self._tell(what + more)

    def _tell_left_out(self, one: Followed, now: float) -> None:
        before = self._left_out.pop(one, ())
        if not one.belief.left_out:
            return
        known = {text for texts in self._left_out.values() for text in texts}
        self._left_out[one] = one.belief.left_out
        # What a node has in its metadata shows in each of its services.
        known |= set(before)
        new = [text for text in dict.fromkeys(one.belief.left_out) if text not in known]
        # Whoever writes it may write something else every second.
        kind = one.fact.kind
        since, told = self._left_out_told.get(kind, (now, 0))
        if now >= since + AGAIN:
            since, told = now, 0
        room = LEFT_OUT_TOLD - told
        for text in new[: max(room, 0)]:
            self._tell(f"{one.fact}: {text}")
        if room >= 0 and len(new) > room:
            self._tell(f"{one.fact}: {len(new) - room} more are left out for such reasons")
        self._left_out_told[kind] = since, told + len(new)


def _reason(one: Followed, error: ConsulError) -> str:
    """Return what makes two faults the same."""
    status = f"HTTP {error.status}: " if error.status else ""
    text = f"{status}{error.reason}".replace(f"{one.fact}: ", "")
    return _WAITED.sub("no reply", text)
