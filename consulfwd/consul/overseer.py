"""Looks after agents over HTTP: how good their data is, and which servers there are.

What belongs here: a task for each agent that asks in its turn and reports. Must not know: how DNS
is asked (it is handed the upstreams), nor routes. What a reply means is in `quality` and
`servers`. One request tells both: the health of Consul's own service, without an index, as the
headers are true then on streaming agents too. Whether those are servers is asked in `learning`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from consulfwd.config import Agent, Settings
from consulfwd.consul import renewal, servers
from consulfwd.consul.client import Client
from consulfwd.consul.failures import unknown_token
from consulfwd.consul.learning import Learner
from consulfwd.consul.quality import News, Sight, fault
from consulfwd.consul.reply import Reply
from consulfwd.core.health import jitter
from consulfwd.core.upstreams import Upstream
from consulfwd.errors import ConsulError

log = logging.getLogger("consulfwd.consul")

PATH = "/v1/health/service/consul"
TIMEOUT = 3.0
LIMIT = 1 << 20
# Where quality is not looked at, the catalog is, every so many seconds.
CATALOG_EVERY = 60.0
# The first look is not before the server has had a moment (seconds) to itself, and where the
# list of agents depends on it, not long after.
FIRST, FIRST_OF_CATALOG = 0.5, 3.0
# One question at a time; a second connection is for one that is still being closed.
CONNECTIONS = 2

UpstreamKey = tuple[str, str, int]


def _connect(agent: Agent) -> Client:
    return Client(agent, connections=CONNECTIONS)


async def _sleep(seconds: float, failed: bool) -> bool:
    """Sleep; after a failure not past a renewal of what is shown. Return whether there was one."""
    if failed:
        return await renewal.here().sleep(seconds)
    await asyncio.sleep(seconds)
    return False


@dataclass(eq=False)
class _Watched:
    """One agent that is looked after, and the lists it may know ("" is the local one)."""

    agent: Agent
    lists: tuple[str, ...]
    sight: Sight
    client: Client
    task: asyncio.Task[None] | None = None
    last_reply: float = 0.0
    failed: bool = False
    rests: asyncio.Future[None] | None = None

    @property
    def key(self) -> UpstreamKey:
        """What identifies its upstream."""
        return "udp", self.agent.address, self.agent.dns_port


class Overseer:
    """Asks agents over HTTP while it runs.

    `rank` is told of each agent looked at why it is poor, or ""; `changed` that `in_force` says
    something else. In which order servers of the catalog are asked depends on the name of this
    `host`. `connect` makes a client.
    """

    def __init__(
        self,
        rank: Callable[[Upstream, str], None],
        changed: Callable[[], None],
        *,
        host: str,
        rng: random.Random,
        connect: Callable[[Agent], Client] = _connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = servers.Directory(host)
        self._rank = rank
        self._changed = changed
        self._rng = rng
        self._connect = connect
        self._clock = clock
        self._settings = Settings()
        self._upstreams: Mapping[UpstreamKey, Upstream] = {}
        self._watched: dict[str, _Watched] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._learner = Learner(clock)

    def use(self, settings: Settings) -> None:
        """Take other settings. What was learned is kept; tokens and certificates are read anew."""
        before, self._settings = self._settings.consul.quality, settings
        self.directory.use(settings)
        self._learner.forget()
        old = dict(self._watched)
        for one in old.values():
            self._end(one)
        kept = settings.consul.quality == before
        self._look_after_all({name: one.sight for name, one in old.items()} if kept else {})
        if not kept:
            for upstream in self._upstreams.values():
                if upstream.poor:
                    self._rank(upstream, "")

    def in_force(self, settings: Settings) -> Settings:
        """Return the settings with everyone who is asked in the place of the seeds."""
        return self.directory.in_force(settings)

    def know(self, upstreams: Mapping[UpstreamKey, Upstream]) -> None:
        """Take note of the upstreams there are now."""
        self._upstreams = upstreams

    def look(self) -> None:
        """Have agents looked at in their turn that rest, and are asked again over DNS.

        Called each second while anything is asked.
        """
        for one in self._watched.values():
            if one.rests is not None and not one.rests.done() and self._asked(one):
                one.rests.set_result(None)

    def faults(self) -> list[str]:
        """Return who cannot be asked, as the log was told, for people."""
        lost = [(one.agent.name, one.sight.lost) for one in self._watched.values()]
        return [f"agent {name} cannot be asked over HTTP: {why}" for name, why in lost if why]

    async def close(self) -> None:
        """End every task and connection; returns when they have ended."""
        for one in list(self._watched.values()):
            self._end(one)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _look_after_all(self, sights: Mapping[str, Sight]) -> None:
        """Begin with agents that are new, end with those that are gone."""
        quality = self._settings.consul.quality
        wanted: dict[str, tuple[Agent, list[str]]] = {}
        consul = self.in_force(self._settings).consul
        rosters = dict(self.directory)
        lists = {"": consul.agents} | {n: one.agents for n, one in consul.datacenters.items()}
        for name, agents in lists.items():
            for agent in agents:
                if quality.every or name in rosters:
                    wanted.setdefault(agent.name, (agent, []))[1].append(name)
        for name, one in list(self._watched.items()):
            # Who is gone from one list may be in another, with another token.
            if name not in wanted or wanted[name][0] != one.agent:
                self._end(one)
        for name, (agent, found) in wanted.items():
            if name not in self._watched:
                sight = sights.get(name)
                if sight is None:
                    sight = Sight(quality.every or CATALOG_EVERY, quality.max_last_contact)
                watched = _Watched(agent, tuple(found), sight, self._connect(agent))
                task = asyncio.get_running_loop().create_task(self._look_after(watched))
                task.add_done_callback(self._ended)
                watched.task = task
                self._watched[name] = watched
            self._watched[name].lists = tuple(found)

    def _end(self, watched: _Watched) -> None:
        del self._watched[watched.agent.name]
        task = watched.task
        assert task is not None
        task.cancel()
        self._ending.add(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            context = {"message": "looking after an agent failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def _look_after(self, watched: _Watched) -> None:
        every = watched.sight.every
        # Hosts that start together must not ask together.
        seeds = any(watched.agent in roster.seeds for _, roster in self._rosters(watched))
        longest = FIRST_OF_CATALOG if seeds else every
        pause = self._rng.uniform(min(FIRST, every), min(longest, every))
        try:
            while True:
                renewed = await _sleep(jitter(pause, self._rng), watched.failed)
                used = self._asked(watched)
                watched.last_reply = self._last_reply(watched)
                if renewed or not watched.sight.idle(used):
                    pause = await self._look(watched)
                elif watched.failed:
                    pause = every
                else:
                    pause = await self._rest(watched)
        finally:
            await watched.client.close()

    def _last_reply(self, watched: _Watched) -> float:
        upstream = self._upstreams.get(watched.key)
        return upstream.last_reply if upstream is not None else 0.0

    def _asked(self, watched: _Watched) -> bool:
        """Return whether an agent was asked over DNS since it was last its turn."""
        return self._last_reply(watched) != watched.last_reply

    async def _rest(self, watched: _Watched) -> float:
        """Leave out the turns of an agent that nobody asks; return how long until the next then.

        An idle host is not to be woken up by turns at which nothing is done.
        """
        watched.rests = asyncio.get_running_loop().create_future()
        try:
            pause = jitter(watched.sight.rest(), self._rng)
            await asyncio.wait({watched.rests}, timeout=pause)
            return self._rng.random() * watched.sight.every if watched.rests.done() else 0.0
        finally:
            watched.rests = None

    async def _look(self, watched: _Watched) -> float:
        """Ask one agent, and return how long to wait until the next time."""
        sight = watched.sight
        try:
            reply = await watched.client.get(PATH, {"stale": ""}, timeout=TIMEOUT, limit=LIMIT)
            await self._learn(watched, reply)
            look = sight.heard(reply, self._clock())
            watched.failed = False
            self._tell(watched, look.news, "")
        except ConsulError as error:
            upstream = self._upstreams.get(watched.key)
            # That a token is refused is told for all who show it.
            telling = upstream is not None and upstream.up and not unknown_token(error)
            look = sight.failed(self._clock(), telling)
            watched.failed = True
            why = f"HTTP {error.status}: {error.reason}" if error.status else error.reason
            self._tell(watched, look.news, why)
        upstream = self._upstreams.get(watched.key)
        if upstream is not None and self._settings.consul.quality.every:
            self._rank(upstream, sight.poor)
        return look.pause

    def _rosters(self, watched: _Watched) -> list[tuple[str, servers.Roster]]:
        return [(name, roster) for name, roster in self.directory if name in watched.lists]

    async def _learn(self, watched: _Watched, reply: Reply) -> None:
        """Take the servers in a reply into the lists its agent is of. Raises ConsulError."""
        rosters = self._rosters(watched)
        if not rosters or fault(reply, self._settings.consul.quality.max_last_contact):
            return
        if await self._learner.learn(watched.client, reply, rosters):
            self._changed()
            self._look_after_all({})

    def _tell(self, watched: _Watched, news: News, why: str) -> None:
        agent = watched.agent
        if news is not News.NONE:
            watched.sight.lost = why
        if news is News.LOST:
            log.warning(
                "agent %s cannot be asked over HTTP, %s: %s; whether its data is old goes"
                " unseen (mend http_port or token_file, or set consul.quality.every: 0)",
                *(agent.name, agent.http_place, why),
            )
        elif news is News.BACK:
            log.info("agent %s can be asked over HTTP again", agent.name)
