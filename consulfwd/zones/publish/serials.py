"""The serials of a zone that were published last, at each target that counts its own. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from consulfwd.zones.memory import Served
from consulfwd.zones.serials import newer


class Serials:
    """They only go up, as secondaries see it (RFC 1982)."""

    def __init__(self) -> None:
        self.served: dict[str, Served] = {}

    def begin(self, served: Mapping[str, Served]) -> None:
        """Note what others published, or this one before."""
        for where, one in served.items():
            self.note(where, one)

    def note(self, where: str, served: Served) -> None:
        """Note what is published at a target."""
        known = self.served.get(where)
        if known is None or known.serial == served.serial or newer(served.serial, known.serial):
            self.served[where] = served

    def last(self, where: str) -> int | None:
        """Return the last serial of a target."""
        known = self.served.get(where)
        return None if known is None else known.serial

    def newest(self) -> int | None:
        """Return the newest of all."""
        found = None
        for one in self.served.values():
            if found is None or newer(one.serial, found):
                found = one.serial
        return found
