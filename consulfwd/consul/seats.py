"""The connections to one agent that all facts share: who waits there for changes.

What belongs here: how many there are, who has one. Must not know: what is asked, nor how. Pure.

Other programs of a host need connections too, and Consul allows a host 200 (HTTP 429 beyond):
`serve` takes `core.carriers.CONNECTIONS`, what follows facts CONNECTIONS; together they stay below
100. Facts beyond those that wait are looked at in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from consulfwd.config import Agent

T = TypeVar("T")

# Looks at a time at one agent; and one for proofs, one that is still being closed.
LOOKING, RESERVED = 4, 2


class Room(NamedTuple):
    """How many questions wait at an agent, and how many facts are looked at in a second beside."""

    waiting: int
    looks: float


# An agent off this host may be there for thousands of hosts.
NEAR, FAR = Room(20, 40.0), Room(8, 10.0)
CONNECTIONS = NEAR.waiting + LOOKING + RESERVED


def off_host(agent: Agent) -> bool:
    """Return whether an agent is asked over HTTP on another host than this one, by its address."""
    return not agent.http_stays_here


def room(agent: Agent) -> Room:
    """Return how much of an agent's room may be taken."""
    return FAR if off_host(agent) else NEAR


class Seats(Generic[T]):
    """`most` seats. Whoever has one keeps it until it leaves, or hands it over.

    Some may be `kept` for those on whom others depend: nobody else takes these.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # In the order they came in.
        self._taken: dict[T, None] = {}
        self._kept: set[T] = set()

    def __len__(self) -> int:
        return len(self._taken)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._taken))

    def __contains__(self, who: T) -> bool:
        return who in self._taken

    @property
    def free(self) -> bool:
        """Whether there is a seat for one more for whom none is kept."""
        return len(self._taken.keys() - self._kept) < self._most - len(self._kept)

    def keep(self, who: T) -> None:
        """Keep a seat for one, whether it sits there now or not; one at least is for the others."""
        if len(self._kept) < self._most - 1:
            self._kept.add(who)

    def kept(self, who: T) -> bool:
        """Return whether a seat is kept for one."""
        return who in self._kept

    def forget(self, who: T) -> None:
        """Keep no seat for one any more."""
        self._kept.discard(who)

    def take(self, who: T) -> bool:
        """Take a seat, if there is one; return whether there was, or it has one already."""
        if who not in self._taken and who not in self._kept and not self.free:
            return False
        self._taken[who] = None
        return True

    def leave(self, who: T) -> None:
        """Leave the seat, for one who has any."""
        self._taken.pop(who, None)

    def hand_over(self, giver: T, taker: T) -> None:
        """Leave the seat to another one."""
        del self._taken[giver]
        self._taken[taker] = None
