"""Places for connections: how many are taken and by whom, and who has been idle longest.

Whoever gives way is named here and closed elsewhere. Pure; a connection is any hashable thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
STRANGER = ""


class Places(Generic[K]):
    """Connections with their clients: at most `most` in all, `most_each` of one client.

    What has no client is a program of this host (None): of those there may be many, but an eighth
    of the places is not theirs. Whoever may not ask is one client, STRANGER, with a quarter.
    """

    def __init__(self, most: int, most_each: int) -> None:
        self.most = most
        self.most_each = most_each
        self._clients: dict[K, str | None] = {}
        self._of: dict[str | None, dict[K, None]] = {}
        # The longest idle first, numbered in the order in which they came to rest.
        self._idle: dict[K, int] = {}
        self._rested = 0

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[K]:
        return iter(self._clients)

    @property
    def left(self) -> float:
        """Return which part of the places is free: 1.0 when all are, 0.0 when none is."""
        return max(self.most - len(self), 0) / self.most

    def full(self, client: str | None) -> bool:
        """Return whether somebody has to give way before this client has one more place."""
        return len(self) >= self.most or self._has_its_part(client)

    def of(self, client: str | None) -> int:
        """Return how many places a client has."""
        return len(self._of.get(client, ()))

    def _has_its_part(self, client: str | None) -> bool:
        part = self.most_each
        if client is None:
            part = self.most - self.most // 8
        elif client == STRANGER:
            part = max(self.most // 4, 1)
        return self.of(client) >= part

    def take(self, one: K, client: str | None) -> None:
        """Give a place to a connection, which is idle at first."""
        self._clients[one] = client
        self._of.setdefault(client, {})[one] = None
        self.rest(one)

    def give_back(self, one: K) -> None:
        """Take its place back, if it has one."""
        if one not in self._clients:
            return
        client = self._clients.pop(one)
        self._idle.pop(one, None)
        of = self._of[client]
        del of[one]
        if not of:
            del self._of[client]

    def work(self, one: K) -> None:
        """Note that a connection has something to do."""
        self._idle.pop(one, None)

    def rest(self, one: K) -> None:
        """Note that a connection waits for nothing from now on."""
        self._idle.pop(one, None)
        if one in self._clients:
            self._rested += 1
            self._idle[one] = self._rested

    def idle(self, client: str | None) -> Iterable[K]:
        """Return who may give way to this client, the longest idle first, whoever's they are.

        Where it has its part already, only those of its own; so for a STRANGER always.
        """
        if client != STRANGER and not self._has_its_part(client):
            return self._idle
        own = [one for one in self._of.get(client, ()) if one in self._idle]
        return sorted(own, key=self._idle.__getitem__)
