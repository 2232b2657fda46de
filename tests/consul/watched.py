"""Watches of development agents, or of a server that says anything, without DNS: what is told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from consulfwd.config import Agent
from consulfwd.consul.watch import Watcher
from consulfwd.core.carriers import WatchLimits
from consulfwd.core.freshness import Freshness
from consulfwd.core.subjects import Subject
from consulfwd.core.watches import Watch
from consulfwd.dev import DevAgent, DevCluster
from tests.coreless import go_by_our_time, our_time

EXAMPLES = Path(__file__).parents[2] / "examples" / "consul.d"
# What is waited for comes at once, but for a busy machine.
PATIENCE_S = 15.0
WEB = Subject("service", "web")
KEY = b"web"


class Shell:
    """Stands for `net.reuse`: carries out what freshness says, and writes down what is dropped.

    `dropped` has a question and whether its answer was dropped at once, for each.
    """

    def __init__(self, agents: Iterable[str], settle: float = 0.1) -> None:
        self.freshness = Freshness(WatchLimits(settle=settle))
        self.wake: Callable[[], None] = lambda: None
        self.dropped: list[tuple[bytes, bool]] = []
        self._agents = list(agents)

    def drop(self, keys: Iterable[bytes], *, changed: bool) -> None:
        self.dropped += [(key, changed) for key in keys]

    def use(self, agents: Mapping[str, bool]) -> None:
        self.drop(self.freshness.use(agents, now()), changed=False)
        self.wake()

    def proved(self, carrier: str, at: float) -> None:
        self.freshness.proved(carrier, at, now())

    def lost(self, carrier: str) -> None:
        self.drop(self.freshness.lost(carrier, now()), changed=False)
        self.wake()

    def ask(self, subject: Subject = WEB, *, positive: bool = True) -> float | None:
        """Ask for an answer of this subject twice; return for how long the second is reused."""
        for _ in range(2):
            keys = self.freshness.asked(subject, self._agents, now(), positive=positive)
            self.drop(keys, changed=False)
        self.wake()
        return self.freshness.stored(subject, KEY, positive=positive, sent_at=now(), now=now())

    def watch(self, subject: Subject = WEB) -> Watch:
        return self.freshness.watches[subject]

    def at(self, subject: Subject = WEB) -> str:
        """At which agent (1, 2, ...) a subject is watched, "" for nowhere."""
        watch = self.freshness.watches.get(subject)
        return "" if watch is None else str(self._agents.index(watch.carrier) + 1)

    async def armed(self, subject: Subject = WEB) -> Watch:
        """Have a subject watched, and wait until the watch knows its state and may be relied on."""
        self.ask(subject)
        await until(
            lambda: self.watch(subject).armed
            and self.watch(subject).carrier in self.freshness.proofs
        )
        return self.watch(subject)


@asynccontextmanager
async def watching(
    agents: Mapping[str, Agent],
    *,
    leader: bool = False,
    expected: bool = False,
    settle: float = 0.1,
) -> AsyncIterator[Shell]:
    """A watcher of these agents. At its end nothing is left of it."""
    before = asyncio.all_tasks()
    shell = Shell(agents, settle)
    watcher = Watcher(
        shell, agents, leader=leader, expected=expected, now=now, rng=random.Random(1)
    )
    try:
        yield shell
    finally:
        await watcher.close()
    await until(lambda: not left(before))


def left(before: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """The tasks of watchers that were not there before."""
    tasks = asyncio.all_tasks() - before
    return [one for one in tasks if "Watcher" in str(one) or "Prover" in str(one)]


@asynccontextmanager
async def cluster(count: int = 2) -> AsyncIterator[tuple[DevCluster, dict[str, Agent]]]:
    """Development agents with the example services, and the settings that lead to them."""
    # Who watches and who is watched share a thread: for want of a core nobody is late.
    go_by_our_time(asyncio.get_running_loop())
    async with DevCluster(EXAMPLES, count) as running:
        yield running, {one.name: place(one) for one in running.agents}


def place(agent: DevAgent) -> Agent:
    return Agent(address=agent.address, dns_port=agent.dns_port, http_port=agent.http_port)


def asked(agent: DevAgent, part: str = "/web") -> list[dict[str, str]]:
    """The parameters of the requests an agent got whose path ends so."""
    found = [urlsplit(one) for one in agent.requests]
    return [
        {name: values[0] for name, values in parse_qs(one.query, keep_blank_values=True).items()}
        for one in found
        if one.path.endswith(part)
    ]


def now() -> float:
    return our_time()


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fails after PATIENCE_S."""
    ends = our_time() + PATIENCE_S
    while not condition():
        assert our_time() < ends, "waited in vain"
        await asyncio.sleep(0.002)
