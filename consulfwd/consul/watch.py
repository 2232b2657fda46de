"""Watches: blocking queries that tell when an answer may have changed.

What belongs here: the tasks that ask, one for each subject; those for proofs that they would tell
are in `proving`. What is watched where, and what follows from a change, is decided in
`core.freshness`; the rules of blocking queries are in `blocking`. Must not know DNS.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from consulfwd.config import Agent
from consulfwd.consul import blocking, content
from consulfwd.consul.blocking import RATE, BlockingQuery, BlockingRules, Verdict
from consulfwd.consul.client import CROWDED, Client
from consulfwd.consul.health import Entry
from consulfwd.consul.proving import Prover
from consulfwd.consul.question import put
from consulfwd.consul.reply import LARGE, Reply
from consulfwd.consul.seats import off_host
from consulfwd.consul.watching import Watching
from consulfwd.core.settling import Instance
from consulfwd.core.subjects import CONNECT, NODE, SERVICE, Subject
from consulfwd.core.watches import Command
from consulfwd.errors import ConsulError

if TYPE_CHECKING:
    import random

log = logging.getLogger("consulfwd.watch")

# So many watches begin or end at once, then as many so long (seconds) after them: queries must not
# wait when the watches of a lost agent all begin anew at another.
AT_ONCE, APART = 4, 0.01
# Within so long (seconds), each at a moment of its own, watches move to agents off this host: when
# a server is lost they move on all hosts at once.
MOVE_WITHIN = 10.0
# A question waits for a change from so many seconds to twice that: hosts that began together do not
# go on in step. At an agent on this host it may be long, up to the longest that Consul waits: each
# that returns wakes up an idle host for nothing. Elsewhere firewalls forget what is silent.
WAIT, WAIT_HERE, SPREAD = blocking.WAIT, 300.0, 1.0
_PATHS = {
    SERVICE: "/v1/health/service/",
    CONNECT: "/v1/health/connect/",
    NODE: "/v1/catalog/node/",
}


class Watcher:
    """Carries out what `watching.freshness` commands, at the agents it may use, by name.

    `leader` asks for what the leader knows (near=_agent) instead of what the server behind the
    agent does. Where watches are `expected` to be possible, an agent without them is a warning.
    """

    def __init__(
        self,
        watching: Watching,
        agents: Mapping[str, Agent],
        *,
        leader: bool,
        expected: bool = False,
        now: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._watching = watching
        self._agents: dict[str, Agent] = {}
        self._leader = leader
        self._now = now
        self._rng = rng
        self._clients: dict[str, Client] = {}
        self._watches: dict[Subject, asyncio.Task[None]] = {}
        self._prover = Prover(
            watching, self._make_room, leader=leader, expected=expected, now=now
        )
        self._ending: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._later: asyncio.TimerHandle | None = None
        self._apart: dict[Subject, asyncio.TimerHandle] = {}
        self._hidden = False
        watching.wake = self.obey
        self.use(agents)

    def use(self, agents: Mapping[str, Agent]) -> None:
        """Go by these agents from now on. What leads to any other ends at once.

        Watches at those that stay go on.
        """
        gone = [name for name, agent in self._agents.items() if agents.get(name) != agent]
        self._agents = dict(agents)
        for name in gone:
            client = self._clients.pop(name, None)
            if client is not None:
                # Who waits there for a change hears that the connection is closed.
                closing = asyncio.get_running_loop().create_task(client.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._prover.use(self._agents, gone)
        there = {name: off_host(agent) for name, agent in agents.items()}
        if gone:
            self._watching.use({name: far for name, far in there.items() if name not in gone})
        self._watching.use(there)

    def obey(self) -> None:
        """Begin proofs, and begin and end watches as commanded: some now, others a moment later."""
        self._prover.obey()
        if self._later is None:
            self._some()

    def _some(self) -> None:
        self._later = None
        commands = self._watching.freshness.commands
        for command in commands[:AT_ONCE]:
            self._carry_out(command)
        del commands[:AT_ONCE]
        if commands:
            self._later = asyncio.get_running_loop().call_later(APART, self._some)

    def _carry_out(self, command: Command) -> None:
        subject, carrier, apart = command
        waits = self._apart.pop(subject, None)
        if waits is not None:
            waits.cancel()
        running = self._watches.pop(subject, None)
        if running is not None and running is not asyncio.current_task():
            running.cancel()
        # One at an agent that has left meanwhile has been moved by a later command.
        if carrier is None or carrier not in self._agents:
            return
        if apart:
            loop, pause = asyncio.get_running_loop(), self._rng.uniform(0, MOVE_WITHIN)
            self._apart[subject] = loop.call_later(pause, self._start, subject, carrier)
        else:
            self._start(subject, carrier)

    def _start(self, subject: Subject, carrier: str) -> None:
        if self._apart.pop(subject, None) is not None:
            if carrier not in self._agents:
                return
            self._watching.freshness.began(subject, carrier, self._now())
        task = self._watches[subject] = self._begin(self._watch(subject, carrier))
        task.add_done_callback(lambda task: self._broke(task, subject, carrier))

    async def close(self) -> None:
        """End every watch and close every connection."""
        if self._later is not None:
            self._later.cancel()
        for waits in self._apart.values():
            waits.cancel()
        tasks = {*self._watches.values(), *self._ending}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._closing, return_exceptions=True)
        await self._prover.close()
        for client in list(self._clients.values()):
            await client.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    def _broke(self, task: asyncio.Task[None], subject: Subject, carrier: str) -> None:
        """Nothing may hang on a watch that a fault of this program ended."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            context = {"message": "a watch failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
            keys = self._watching.freshness.failed(subject, carrier, self._now())
            self._watching.drop(keys, changed=False)
            self.obey()

    # -- one watch ----------------------------------------------------------------------------

    async def _watch(self, subject: Subject, carrier: str) -> None:
        freshness = self._watching.freshness
        client = self._clients.get(carrier)
        if client is None:
            client = Client(self._agents[carrier], connections=freshness.rules.carried)
            self._clients[carrier] = client
        reader = content.Reader()
        project = content.node if subject.kind == NODE else reader.content
        # While nobody waits for changes, one may come and go unseen: shorter than what settles.
        rate = max(RATE, 2 / max(freshness.rules.settle, 0.01))
        wait = WAIT if off_host(self._agents[carrier]) else WAIT_HERE
        rules = BlockingRules(project, self._rng, wait=wait, spread=SPREAD, rate=rate)
        # The leader's word never comes by streaming, and a token is what rights hang on.
        sure = self._leader or not self._agents[carrier].has_token
        path = _PATHS[subject.kind] + quote(subject.name, safe="")

        async def get(ask: BlockingQuery) -> Reply:
            params = ask.params()
            if self._leader and not ask.consistent:
                del params["stale"]
                params["near"] = "_agent"
            if subject.datacenter:
                params["dc"] = subject.datacenter
            return await client.get(path, params, timeout=ask.timeout)

        armed = known = False
        while True:
            decision, reply, error = await put(rules, get, self._now)
            now, read = self._now(), reader.take()
            if decision.verdict is Verdict.FAILED:
                log.debug("watch of %s at %s broke: %s", subject, carrier, decision.why)
                self._watching.drop(freshness.failed(subject, carrier, now), changed=False)
                if error is not None and error.status == CROWDED:
                    self._make_room(carrier)
                self.obey()
                return
            if decision.verdict is Verdict.PARTIAL:
                self._tell_hidden(subject, carrier)
            if decision.verdict in (Verdict.DOUBTED, Verdict.PARTIAL):
                self._watching.drop(freshness.doubted(subject, carrier, now), changed=True)
                armed = False
            elif decision.verdict is Verdict.CHANGED or not armed:
                assert rules.content is not None
                assert reply is not None
                note = freshness.changed if armed else freshness.armed
                shown = self._shown(subject, reply, read)
                keys = note(
                    subject,
                    carrier,
                    now,
                    size=rules.content.size,
                    healthy=rules.content.healthy,
                    instances=shown if self._leader else None,
                    shown=shown,
                    sure=sure,
                )
                # After a doubt too: agents said what was no longer so, for a whole TTL perhaps.
                self._watching.drop(keys, changed=known and decision.verdict is Verdict.CHANGED)
                armed = known = True
            # Read, it takes three times what it did as text, and the next one may be hours away.
            del reply, read

    def _shown(
        self, subject: Subject, reply: Reply, read: Sequence[Entry] | None
    ) -> frozenset[Instance] | None:
        """Return the healthy instances of a reply, which may have been `read`.

        Not where they are many: to correct answers by them would cost more with each answer than
        waiting for the agents.
        """
        if subject.kind != SERVICE or len(reply.body) > LARGE:
            return None
        try:
            return content.instances(reply.json()) if read is None else content.shown(read)
        except (ConsulError, ValueError):
            # What DNS shows of it is odd, but what is odd is compared all the same.
            return None

    def _make_room(self, carrier: str) -> None:
        """Give connections back to an agent that takes no more; the log is told of it once."""
        freshness = self._watching.freshness
        told = carrier in freshness.carriers.crowded
        self._watching.drop(freshness.crowded(carrier, self._now()), changed=False)
        if not told:
            log.warning(
                "agent %s takes no more connections from this host (HTTP 429): at most %d watches"
                " there for now (raise its limits.http_max_conns_per_client, or see who has them)",
                *(carrier, freshness.carriers.most(carrier)),
            )
        self.obey()

    def _tell_hidden(self, subject: Subject, carrier: str) -> None:
        if not self._hidden:
            self._hidden = True
            log.warning(
                "agent %s: the token may not read all of %s: such names are asked for each time",
                *(carrier, subject),
            )
