"""Questions about names nobody knows (random subdomains): how many are in flight, and whose.

A name that had an answer lately is needed; one that never had may be made up, and anyone can make
up a million. Those of one zone have so many places, and once these are taken, each client a part of
as many again. So servers are asked no more at once, and who floods takes places from himself. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

Client = bytes | str
# How soon (seconds) after a look for what has been answered meanwhile the next one pays.
LOOK_EVERY = 0.01


class Shield:
    """At most `most` such questions of one zone in flight, in turns up to twice as many; 0: any.

    What was answered is found out when places run short, so that nothing is done for it before.
    """

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self._zones: dict[bytes, _Zone] = {}

    @property
    def begins(self) -> float:
        """Return how many questions in flight in all make it worth counting."""
        return self.most // 2 if self.most else float("inf")

    def admits(
        self,
        zone: bytes,
        key: bytes,
        client: Client,
        flying: Container[bytes],
        now: float,
        *,
        alone: bool,
    ) -> bool:
        """Return whether a client's question may be asked now; it is counted then.

        `flying` are the keys of what is in flight. `alone` is that a client nobody shares the zone
        with is not held up: others see to the room there.
        """
        places = self._zones.get(zone)
        if places is None:
            places = self._zones[zone] = _Zone()
        if len(places.asked) >= self.most:
            places.look(flying, now)
            if len(places.asked) >= self.most:
                clients = len(places.each) + (client not in places.each)
                if clients == 1 and alone:
                    return True
                if clients == 1 or len(places.asked) >= 2 * self.most:
                    return False
                if places.each[client] >= max(self.most // clients, 1):
                    return False
        places.put(key, client)
        return True

    def second(self, flying: Container[bytes], now: float) -> None:
        """Note that a second has passed: what was answered is forgotten."""
        for zone, places in list(self._zones.items()):
            places.look(flying, now)
            if not places.asked:
                del self._zones[zone]

    def __len__(self) -> int:
        return sum(len(places.asked) for places in self._zones.values())


class _Zone:
    """Who asked for what, and how much each."""

    def __init__(self) -> None:
        self.asked: dict[bytes, Client] = {}
        self.each: Counter[Client] = Counter()
        self._looked_at = float("-inf")

    def put(self, key: bytes, client: Client) -> None:
        before = self.asked.get(key)
        if before is not None:
            self._less(before)
        self.asked[key] = client
        self.each[client] += 1

    def look(self, flying: Container[bytes], now: float) -> None:
        """Forget what is in flight no longer."""
        if now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        for key in [key for key in self.asked if key not in flying]:
            self._less(self.asked.pop(key))

    def _less(self, client: Client) -> None:
        self.each[client] -= 1
        if not self.each[client]:
            del self.each[client]
