"""Follows services at some agents, for all the sets of a process that ask these.

What belongs here: which cells want which fact, what they are told, seeing soon who is back. How
Consul is asked is in `consul.following`. Must not know: threads, forks.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

from consulfwd.backends.cell import Cell
from consulfwd.backends.model import State, healthy
from consulfwd.config import Agent
from consulfwd.consul.belief import Belief
from consulfwd.consul.facts import Fact
from consulfwd.consul.following import Following
from consulfwd.core.health import jitter

log = logging.getLogger("consulfwd.backends")

# While no agent answers each is asked every so many seconds whether it does again; for how long.
KNOCK_EVERY, KNOCK_S = 2.0, 2.0
# The agents, and how often a second what changes all the time is looked at.
Key = tuple[tuple[Agent, ...], float]


class Source:
    """Follows facts at the first of some agents that answers, for all cells that want them."""

    def __init__(self, key: Key, before: Sequence[Belief] = ()) -> None:
        agents, rate = key
        self._following = Following(
            agents,
            tell=lambda text: log.warning("%s", text),
            heard=self._heard,
            rate=rate,
            before=before,
        )
        self._cells: dict[Fact, list[Cell]] = {}
        self._rng = random.Random()
        self._knocking: asyncio.Task[None] | None = None

    def add(self, cell: Cell) -> None:
        """Follow for a cell."""
        self._cells.setdefault(cell.fact, []).append(cell)
        self._following.also([cell.fact])
        self._heard(cell.fact)

    def remove(self, cell: Cell) -> bool:
        """Follow for it no more; return whether anybody is left."""
        cells = self._cells[cell.fact]
        cells.remove(cell)
        if not cells:
            del self._cells[cell.fact]
            self._following.without([cell.fact])
        return bool(self._cells)

    def belief(self, fact: Fact) -> list[Belief]:
        """Return what is believed of a fact, for whoever asks other agents about it."""
        return [one for one in self._following.beliefs if one.fact == fact]

    async def close(self) -> None:
        """End every task and close every connection."""
        if self._knocking is not None:
            self._knocking.cancel()
            await asyncio.gather(self._knocking, return_exceptions=True)
        await self._following.close()

    async def _knock(self) -> None:
        """See who is back, until somebody tells again what is asked for."""
        while self._following.faults:
            await asyncio.sleep(jitter(KNOCK_EVERY, self._rng))
            await self._following.knock(KNOCK_S)

    def _heard(self, fact: Fact) -> None:
        fault = self._following.faults.get(fact)
        if fault is not None and (self._knocking is None or self._knocking.done()):
            self._knocking = asyncio.get_running_loop().create_task(self._knock())
        why = "" if fault is None else str(fault)
        known = self._following.about(fact)
        for cell in self._cells.get(fact, ()):
            if known is None:
                # What it knew by other agents, or before a fork, stays.
                old = cell.state
                state = State(old.backends, old.known, (why or old.stale) if old.known else "")
            else:
                state = State(healthy(known.value, cell.wanted), True, why or known.held)
            cell.publish(state, why)
