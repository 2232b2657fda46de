"""Proofs: agents asked again and again whether they hear of changes, while that is of use.

What belongs here: the question itself (`ask_for_proof`), which is the same for watches and for
facts; a task for each agent whose proofs watches want, and what the log is told of it. Which are
wanted, and what follows from one, is decided in `core.proofs` and `core.freshness`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from consulfwd.config import Agent
from consulfwd.consul import renewal
from consulfwd.consul.client import CROWDED, Client
from consulfwd.consul.watching import Watching
from consulfwd.core.proofs import LIFE
from consulfwd.errors import ConsulError

log = logging.getLogger("consulfwd.watch")

# Between two proofs (seconds) of an agent; of one that failed, ever longer.
PROVE_EVERY, PROVE_RARELY = LIFE / 2, 30.0
# After a change one may be needed sooner, but not within so long (seconds) after another.
HURRIED = 0.2
# An agent that comes and goes is told of once in so long (seconds).
TELL_AGAIN = 60.0
# One question at a time; a second connection is for one that is still being closed.
CONNECTIONS = 2
# A service that need not exist: the headers are what is wanted. Should somebody register it with
# more instances than are read, nodes are asked for that nobody can know how to pretend to be.
_PATH = "/v1/health/service/consulfwd-proof"
_LIMIT = 1 << 16


class Proof(NamedTuple):
    """That the server behind an agent knew a leader, and had heard every change up to `at`.

    `why` says why it is none, "" that it is one; `status` is that of an error, else 0. `behind` is
    for how long (seconds) that server had not heard from the leader; `counted` how far it had
    counted what is registered, which is not less later.
    """

    at: float
    why: str = ""
    status: int = 0
    behind: float = 0.0
    leaderless: bool = False
    counted: int = 0


def nobody() -> str:
    """Return metadata no node has: a proof is to name no service, whoever registers what."""
    return f"consulfwd-proof:{secrets.token_hex(8)}"


async def ask_for_proof(
    client: Client,
    whose: str,
    timeout: float,
    now: Callable[[], float],
    *,
    leader: bool = False,
) -> Proof:
    """Ask an agent for something small, from the server behind it, or the `leader`'s through it.

    Watches go the one way or the other.
    """
    begin = now()
    try:
        await client.ready()
        begin = now()
        params = {"near": "_agent"} if leader else {"stale": ""}
        params["node-meta"] = whose
        reply = await client.get(_PATH, params, timeout=timeout, limit=_LIMIT)
    except ConsulError as error:
        why = f"HTTP {error.status}: {error.reason}" if error.status else error.reason
        return Proof(begin, why, error.status)
    behind = reply.last_contact or 0.0
    leaderless = reply.known_leader is False
    why = "it knows no leader" if leaderless else ""
    return Proof(begin - behind, why, 0, behind, leaderless, reply.index or 0)


class Prover:
    """Asks for the proofs that `watching.freshness` wants.

    Where it is the `leader` that tells of changes, that is asked, too: it may be late with what it
    tells while all servers hear of what it does. `make_room` is called with an agent that takes no
    more connections. Where watches are `expected` to be possible, an agent that proves nothing is a
    warning.
    """

    def __init__(
        self,
        watching: Watching,
        make_room: Callable[[str], None],
        *,
        leader: bool,
        expected: bool,
        now: Callable[[], float],
    ) -> None:
        self._leader = leader
        self._watching = watching
        self._make_room = make_room
        self._lost_level = logging.WARNING if expected else logging.INFO
        self._now = now
        self._agents: Mapping[str, Agent] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._soon: dict[str, asyncio.Event] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._blind: set[str] = set()
        self._told: dict[str, float] = {}
        self._nobody = nobody()

    def use(self, agents: Mapping[str, Agent], gone: Iterable[str]) -> None:
        """Go by these agents from now on, and ask those that are gone no more."""
        self._agents = agents
        for name in gone:
            task = self._tasks.pop(name, None)
            if task is not None:
                task.cancel()
            self._told.pop(name, None)
            self._blind.discard(name)

    def obey(self) -> None:
        """Begin to ask those whose proofs are wanted now; who is asked already is asked soon."""
        begin = self._watching.freshness.carriers.proofs.begin
        for name in begin:
            if name in self._tasks:
                self._soon[name].set()
            elif name in self._agents:
                self._soon[name] = asyncio.Event()
                task = asyncio.get_running_loop().create_task(self._prove(name))
                self._tasks[name] = task
                self._ending.add(task)
                task.add_done_callback(functools.partial(self._ended, name))
        begin.clear()

    async def close(self) -> None:
        """End every task and close every connection."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _ended(self, carrier: str, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            context = {"message": "asking for proofs failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
            self._watching.freshness.carriers.proofs.broke(carrier)
            self._watching.lost(carrier)

    async def _prove(self, carrier: str) -> None:
        """Ask an agent again and again how far behind the leader it is, while that is of use.

        It is of use while answers are reused on its word: an idle host asks nobody.
        """
        # They must not wait for a connection that watches hold.
        client = Client(self._agents[carrier], connections=CONNECTIONS)
        proofs = self._watching.freshness.carriers.proofs
        soon = self._soon[carrier]
        pause = PROVE_EVERY
        crowded = False
        try:
            while proofs.wanted(carrier, self._now()):
                begin = self._now()
                why, status = await self._proof(client, carrier)
                if status == CROWDED and not crowded:
                    # With fewer watches there, there may be room for the next one.
                    crowded = True
                    self._make_room(carrier)
                elif why:
                    self._tell_lost(carrier, why)
                    self._watching.lost(carrier)
                    pause = min(pause * 2, PROVE_RARELY)
                else:
                    self._tell_found(carrier)
                    pause, crowded = PROVE_EVERY, False
                await self._pause(soon, begin, pause)
        finally:
            if self._tasks.get(carrier) is asyncio.current_task():
                del self._tasks[carrier]
            await client.close()

    async def _pause(self, soon: asyncio.Event, begin: float, pause: float) -> None:
        """Wait until the next proof is due, or needed."""
        if pause == PROVE_EVERY:
            # Before Python 3.12 `wait_for` loses a cancellation that comes as the event is set.
            waiting = asyncio.ensure_future(soon.wait())
            try:
                await asyncio.wait({waiting}, timeout=max(0.0, begin + pause - self._now()))
            finally:
                waiting.cancel()
            if soon.is_set():
                pause = min(HURRIED, pause)
        left = begin + pause - self._now()
        await (asyncio.sleep(left) if pause <= PROVE_EVERY else renewal.sleep(left))
        soon.clear()

    async def _proof(self, client: Client, carrier: str) -> tuple[str, int]:
        """Ask once; return why it proves nothing, or "", and the status of an error."""
        proof = await ask_for_proof(client, self._nobody, LIFE, self._now)
        if proof.why:
            return proof.why, proof.status
        if self._leader:
            told = await ask_for_proof(client, self._nobody, LIFE, self._now, leader=True)
            if told.why:
                return f"the leader through it: {told.why}", told.status
        # As old as when the first of both was asked.
        age = self._now() - proof.at
        if age >= LIFE:
            return f"what it knows is {age:.1f} s old", 0
        self._watching.proved(carrier, proof.at)
        return "", 0

    def _tell_lost(self, carrier: str, why: str) -> None:
        now = self._now()
        if carrier not in self._blind and now - self._told.get(carrier, -TELL_AGAIN) >= TELL_AGAIN:
            self._told[carrier] = now
            self._blind.add(carrier)
            # Whether an agent can be asked over HTTP at all is the overseer's to warn of.
            log.log(self._lost_level, "agent %s: no watches there: %s", carrier, why)

    def _tell_found(self, carrier: str) -> None:
        if carrier in self._blind:
            self._blind.discard(carrier)
            log.info("agent %s: watches are possible there again", carrier)
