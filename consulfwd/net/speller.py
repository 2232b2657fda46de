"""Questions to one server spelled by chance, and its replies read accordingly (0x20)."""

from __future__ import annotations

import os

from consulfwd.core.attempts import Attempt
from consulfwd.core.spelling import Spelling
from consulfwd.dns import spelling
from consulfwd.net.ports import Port
from consulfwd.net.waiter import Waiter

# Octets of chance drawn at once: for some hundred names.
BLOCK = 8192


class Speller:
    """What goes to one server, and comes from it; `on` says whether spelling is to be by chance."""

    __slots__ = ("_at", "_block", "_spelling", "on")

    def __init__(self) -> None:
        self.on = True
        self._spelling = Spelling()
        self._block, self._at = b"", 0

    @property
    def known(self) -> bool:
        """Return whether the server is sure to repeat what it is asked."""
        return self._spelling.known

    def spell(self, port: Port, item: Attempt | Waiter, tail: bytes, now: float) -> bytes:
        """Return the query without its ID as it is to leave by a port, and note there how it is."""
        port.spelled, port.again = None, False
        if not self.on:
            return tail
        if isinstance(item, Attempt) and _asked_before(item):
            # Some that are on the way drop what they do not know.
            port.again = True
            return tail
        if not self._spelling.mixes(now):
            return tail
        name = spelling.name_of(tail)
        sent = spelling.mixed(name, self._chance(len(name)))
        if sent == name:
            return tail
        port.spelled = sent, name, self._spelling.known
        return spelling.with_name(tail, sent)

    def _chance(self, size: int) -> bytes:
        at = self._at
        if at + size > len(self._block):
            self._block, at = os.urandom(BLOCK), 0
        self._at = at + size
        return self._block[at : at + size]

    def read(self, port: Port, data: bytes, now: float) -> bytes | None:
        """Return a reply as it would be to a question in small letters; None if it is a false one.

        What else is wrong with it is not looked at.
        """
        if port.spelled is None:
            if port.again and self.on:
                self._spelling.unheard(now)
            return data
        sent, name, sure = port.spelled
        if spelling.asks_as(data, sent):
            self._spelling.repeated()
            return spelling.folded(data, sent, name)
        if spelling.asks_for(data, name):
            taken = self._spelling.changed(now)
            return data if taken and not sure else None
        return data


def _asked_before(attempt: Attempt) -> bool:
    """Return whether its server was asked the same by the same lookup, and nothing came at all."""
    attempts = attempt.lookup.attempts
    return len(attempts) > 1 and any(
        one.upstream is attempt.upstream
        and one is not attempt
        and not (one.stream or one.result or one.strays)
        for one in attempts
    )
