"""One agent as facts ask it: its connections, and whether it hears of changes.

What belongs here: a few looks at a time, seats for those who wait, a task that has the agent prove
itself while anybody does. Must not know: facts, which agent is asked next, nor what becomes of a
reply. Proofs are those of watches (`proving`); here they are asked for less often, as nothing is
answered within a second because of them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from consulfwd.config import Agent
from consulfwd.consul import renewal
from consulfwd.consul.client import LIMIT, Client
from consulfwd.consul.failures import unknown_token
from consulfwd.consul.proving import Proof, ask_for_proof, nobody
from consulfwd.consul.quality import CONFIRM
from consulfwd.consul.reply import Reply
from consulfwd.consul.seats import LOOKING, Seats, room
from consulfwd.core.health import jitter
from consulfwd.errors import ConsulError

T = TypeVar("T")

# Between two proofs (seconds), and how long one may take. That an agent hangs is seen by two that
# fail: within 16 s.
PROVE_EVERY, PROOF_S = 5.0, 4.0
# So old (seconds) an agent's data may be.
MAX_LAST_CONTACT = 5.0
# An agent without a leader still tells what it knows, and others have none either while one is
# elected: it is left after so many such proofs.
LEADERLESS = 4
# Whoever wants to look so soon (seconds) after another had no reply gets none either, nor one that
# shows the same token after it was not known.
BROKEN_FOR = 1.0
# Statuses that say something of the agent, not of what was asked.
BUSY = frozenset({429, 503})


class Post(Generic[T]):
    """An agent. `lost` is called with the error that it fails by, once it does; `renewed` when it
    is shown something else than before, or counts anew: with whether who waits is to look again,
    as nobody would be woken for what there is to see by another token, or until the old count.

    `seats` are those of the questions that wait; `proved_at` until when it heard of every change.
    """

    def __init__(
        self,
        agent: Agent,
        client: Client,
        lost: Callable[[ConsulError], None],
        renewed: Callable[[bool], None],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        rng: random.Random,
    ) -> None:
        self.agent = agent
        self.client = client
        self.room = room(agent)
        self.seats: Seats[T] = Seats(self.room.waiting)
        self.proved_at = float("-inf")
        self._lost = lost
        self._clock = clock
        self._sleep = sleep
        self._rng = rng
        self._looking = asyncio.Semaphore(LOOKING)
        self._broken: tuple[float, ConsulError] | None = None
        # How far it had counted by the last proof.
        self._counted = 0
        self._care: asyncio.Task[None] | None = None
        self._nobody = nobody()
        self._told_renewed = renewed
        self._joined = True
        renewal.here().join(agent, self._renewed)

    async def look(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        timeout: float,
        absent: bool,
        limit: int = LIMIT,
    ) -> Reply:
        """Ask what is answered at once. Raises ConsulError."""
        async with self._looking:
            if self._broken is not None:
                until, last = self._broken
                if self._clock() < until:
                    raise ConsulError(last.agent, last.status, last.reason)
                self._broken = None
            try:
                return await self.client.get(
                    path, params, timeout=timeout, limit=limit, absent=absent
                )
            except ConsulError as error:
                if not error.status or unknown_token(error):
                    # Many may want to look, and each would wait for as long, or be refused as well.
                    self._broken = self._clock() + BROKEN_FOR, error
                raise

    async def wait(
        self, path: str, params: Mapping[str, str], *, timeout: float, absent: bool
    ) -> Reply:
        """Ask, for one who has a seat, what is answered once it changes. Raises ConsulError."""
        if self._care is None or self._care.done():
            self._care = asyncio.get_running_loop().create_task(self._prove())
            self._care.add_done_callback(self._ended)
        return await self.client.get(path, params, timeout=timeout, absent=absent)

    async def close(self) -> None:
        """End the task and close every connection. May be called twice."""
        if self._joined:
            self._joined = False
            renewal.here().leave(self.agent, self._renewed)
        if self._care is not None:
            self._care.cancel()
            await asyncio.gather(self._care, return_exceptions=True)
        await self.client.close()

    def _renewed(self, token: bool) -> None:
        self._broken = None
        self._told_renewed(token)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Begun again with the next question that waits.
            context = {"message": "asking for proofs failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def _prove(self) -> None:
        silent = leaderless = 0
        while len(self.seats):
            pause = CONFIRM if silent or leaderless else PROVE_EVERY
            await self._sleep(jitter(pause, self._rng))
            if not len(self.seats):
                return
            proof = await ask_for_proof(self.client, self._nobody, PROOF_S, self._clock)
            silent = silent + 1 if _silent(proof) else 0
            old = proof.behind > MAX_LAST_CONTACT
            leaderless = leaderless + 1 if not proof.status and (old or proof.leaderless) else 0
            if not proof.why:
                before, self._counted = self._counted, proof.counted
                if proof.counted < before:
                    # It was restored, or is of another cluster.
                    self._told_renewed(True)
            if not proof.why and not old:
                self.proved_at = max(proof.at, self.proved_at)
            elif silent > 1 or leaderless >= LEADERLESS:
                why = proof.why or f"its data is {proof.behind:.0f} s behind the leader's"
                # Of status 503, as if it had said itself that it can do nothing without a leader.
                status = 0 if silent else 503
                silent = leaderless = 0
                self._lost(ConsulError(self.agent.name, status, why))


def _silent(proof: Proof) -> bool:
    """Return whether there was no reply.

    One that has no room for another connection (429) still tells those who wait.
    """
    return bool(proof.why) and not proof.leaderless and not proof.status
