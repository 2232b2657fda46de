"""The agents that carry watches: how many each may, and where the next one goes.

What belongs here: room, and who is out of the question. Must not know: what is watched, or what
follows from it (see `freshness`). Pure: `now` is passed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consulfwd.core.proofs import Proofs

# Consul allows 200 connections from one host to an agent, and other programs need them: a third is
# enough. Each watch holds one; a few are for proofs, and for looking after the agent.
CONNECTIONS, RESERVED = 66, 6
MOST_CARRIED = CONNECTIONS - RESERVED
# At an agent off this host, which may be there for thousands of hosts.
MOST_FAR = 8
# An agent that has no room for more connections is held to half of the watches it carries. What
# it says so soon (seconds) after that is still about those it had; so long after, it may have room.
CROWDED_AGAIN, ROOM_AGAIN = 2.0, 300.0


@dataclass(frozen=True)
class WatchLimits:
    """What the settings say: at most so many watches, and `settle` in seconds.

    One agent carries at most `carried`, one off this host `far`.
    """

    max: int = 128
    settle: float = 0.5
    carried: int = MOST_CARRIED
    far: int = MOST_FAR


class Carriers:
    """Agents by name: `load` has how many watches each carries, where it carries any.

    `crowded` are those without room for more connections: how many each is held to, since when.
    """

    def __init__(self, rules: WatchLimits) -> None:
        self.load: dict[str, int] = {}
        self.proofs = Proofs()
        self.crowded: dict[str, tuple[int, float]] = {}
        self._rules = rules
        self._far: set[str] = set()

    def use(self, agents: Mapping[str, bool]) -> list[str]:
        """Take note of the agents there are, and which of them are off this host.

        Returns those with watches that are there no more.
        """
        self._far = {name for name, far in agents.items() if far}
        self.proofs.use(agents)
        for name in [one for one in self.crowded if one not in agents]:
            del self.crowded[name]
        return [one for one in self.load if one not in agents]

    def is_far(self, name: str) -> bool:
        """Return whether an agent is off this host."""
        return name in self._far

    def most(self, name: str) -> int:
        """Return how many watches an agent may carry now."""
        rules = self._rules
        most = min(rules.carried, rules.far) if name in self._far else rules.carried
        held_to = self.crowded.get(name)
        return most if held_to is None else min(held_to[0], most)

    def able(self, candidates: Sequence[str]) -> list[str]:
        """Return those that could carry watches, if they had room."""
        proofs = self.proofs
        return [
            one
            for one in candidates
            if one not in proofs.barred and proofs.is_there(one) and self.most(one)
        ]

    def place(self, candidates: Sequence[str]) -> str | None:
        """Return the best one that carries less than its share, so that no agent carries them all.

        Where each has its share (watches made room, or agents are lost), who carries least. While
        there are agents on this host the shares are theirs. None has no room.
        """
        load = self.load
        free = [one for one in self.able(candidates) if load.get(one, 0) < self.most(one)]
        if not free:
            return None
        near = [one for one in free if one not in self._far] or free
        share = -(-self._rules.max // len(near))
        least = min(free, key=lambda one: load.get(one, 0))
        return next((one for one in free if load.get(one, 0) < share), least)

    def add(self, name: str) -> None:
        """Note one more watch at an agent."""
        self.load[name] = self.load.get(name, 0) + 1

    def remove(self, name: str) -> None:
        """Note one less."""
        self.load[name] -= 1
        if not self.load[name]:
            del self.load[name]

    def crowd(self, name: str, held: int, now: float) -> int:
        """Note that an agent takes no more connections than it does, `held` of them for watches.

        Half of those are given back. Returns how many of all watches there are too many.
        """
        _, since = self.crowded.get(name, (0, float("-inf")))
        if now - since >= CROWDED_AGAIN:
            # Where none was to be had, none is tried again and again either.
            self.crowded[name] = (max(held // 2, 1) if held else 0), now
        return max(self.load.get(name, 0) - self.most(name), 0)

    def relax(self, now: float) -> None:
        """Let agents that were crowded long ago carry more again: twice as many each time."""
        for name, (most, since) in list(self.crowded.items()):
            if now - since >= ROOM_AGAIN:
                self.crowded[name] = max(most * 2, 1), now
                if most * 2 >= self._rules.carried:
                    del self.crowded[name]
