"""Which services have other instances than before: asked where something was registered.

What belongs here: what is asked when, at what cost to the agent, and what where it may not be. Must
not know what becomes of the answer.

How many instances each service has is asked first. Where nothing of that is different, nor anything
in the list, an instance was changed: when each was written is asked then, which is the longest
reply that there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from consulfwd.consul import hints
from consulfwd.consul.client import LIMIT
from consulfwd.consul.reply import LARGE, Reply
from consulfwd.errors import ConsulError
from consulfwd.zones import whole

T = TypeVar("T")

# To count costs the agent, which goes through all instances: it is asked for no more than this part
# of the time, but for two seconds that it may take at once; and not again within the pause. It is,
# after the longest one (seconds).
PART, AT_ONCE, PAUSE, LONGEST, TIMEOUT = 0.25, 2.0, 0.25, 5.0, 30.0
# Who refuses to count, or does not know how to, whoever's fault that is.
REFUSALS = frozenset({400, 401, 403, 404, 405})


class Counting:
    """Counts the instances of one datacenter's services ("" for that of the agents).

    `ask` puts the questions; `counted` is told what comes, and returns whether that explains that
    something was registered; `written` is told when each was written. `refused` is why that cannot
    be had, for people, "" while it can; `tell` is told so once.
    """

    def __init__(
        self,
        datacenter: str,
        ask: whole.Ask,
        counted: Callable[[Mapping[str, int]], bool],
        written: Callable[[Mapping[str, int]], object],
        tell: Callable[[str], None],
        *,
        clock: Callable[[], float],
        sleep: whole.Sleep,
    ) -> None:
        self.refused = ""
        self._datacenter = datacenter
        self._ask = ask
        self._counted = counted
        self._written = written
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        # How much it took that is not made up for yet (seconds), and since when that is so.
        self._taken, self._since = 0.0, clock()
        self._due = self._unexplained = False
        self._may_read = True
        self._task: asyncio.Task[None] | None = None

    def due(self, *, explained: bool = False) -> None:
        """Count soon: something was registered, which may show in the list of services."""
        self._due = True
        self._unexplained |= not explained
        if not self.refused and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._count())

    async def close(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _count(self) -> None:
        params = {"stale": ""} | ({"dc": self._datacenter} if self._datacenter else {})
        while self._due:
            unexplained, self._due, self._unexplained = self._unexplained, False, False
            took = 0.0
            try:
                reply = await self._ask(hints.COUNTS, params, timeout=TIMEOUT, limit=LIMIT)
                took = reply.took
                explained = self._counted(await apart(reply, _counts))
                if unexplained and not explained and self._may_read:
                    took += await self._look_when()
            except (ConsulError, ValueError) as error:
                self._failed(error)
            if self.refused:
                return
            await self._sleep(self._pause(took))

    async def _look_when(self) -> float:
        """Ask when each was written; return how long that took (seconds)."""
        try:
            reply = await whole.everything(self._ask, self._datacenter, stale=True)
            self._written(await apart(reply, whole.written))
        except (ConsulError, ValueError) as error:
            # What changed is seen in its turn then.
            if isinstance(error, ConsulError) and error.status in REFUSALS:
                self._may_read = False
            return 0.0
        return reply.took

    def _pause(self, took: float) -> float:
        now = self._clock()
        self._taken = max(self._taken - PART * (now - self._since), 0.0) + took
        self._since = now
        return min(max(PAUSE, (self._taken - AT_ONCE) / PART), LONGEST)

    def _failed(self, error: ConsulError | ValueError) -> None:
        if isinstance(error, ConsulError) and error.status not in REFUSALS:
            # What is the matter with the agent is told of what is followed there.
            return
        where = f" in {self._datacenter}" if self._datacenter else ""
        later = "of many services, new instances are seen when it is their turn"
        self.refused = f"instances{where} cannot be counted ({error}): {later}"
        self._tell(self.refused)


def _counts(reply: Reply) -> dict[str, int]:
    return hints.counts(reply.json())


async def apart(reply: Reply, read: Callable[[Reply], T]) -> T:
    """Return what is read of a reply, in a thread where that takes long."""
    return await asyncio.to_thread(read, reply) if len(reply.body) > LARGE else read(reply)
