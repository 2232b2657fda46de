"""What the log says of those who are refused: each once in a while, and of all of them so many.

What belongs here: when. Must not know sockets, messages. Pure: `now` is an argument.
"""

from __future__ import annotations

from collections.abc import Hashable

# The same one for the same reason is told of again after so long (seconds); in that time so many
# are told of in all: strangers may come from any number of addresses.
AGAIN = 3600.0
MOST = 20


class Refusals:
    """Those that were told of in this hour."""

    def __init__(self) -> None:
        self._told: set[tuple[str, Hashable, str]] = set()
        self._until = 0.0

    def tell(self, zone: str, client: Hashable, why: str, now: float) -> str:
        """Return what to say of a client that was refused, "" for nothing."""
        if now >= self._until:
            self._told.clear()
            self._until = now + AGAIN
        if (zone, client, why) in self._told or len(self._told) >= MOST:
            return ""
        self._told.add((zone, client, why))
        more = "; others are not told of for an hour" if len(self._told) == MOST else ""
        return f"{zone}: {client} is refused: {why}{more}"
