"""Questions to one server spelled by chance, and its replies read accordingly (0x20)."""

from __future__ import annotations

import os

from consulfwd.core.attempts import SPELLED, Attempt
from consulfwd.core.spelling import Spelling
from consulfwd.dns import spelling
from consulfwd.dns.wire import HEADER_SIZE
from consulfwd.net.ports import Port
from consulfwd.net.waiter import Waiter

# Octets of chance drawn at once: for some hundred names.
BLOCK = 8192
# Of so many questions it is known where their letters are.
MAX_LETTERS = 512


class Speller:
    """What goes to one server, and comes from it; `on` says whether spelling is to be by chance.

    While it is `settled` that the server repeats what it is asked, a reply that does tells nothing
    new: the compiled lane reads it as `read` would.
    """

    __slots__ = ("_at", "_block", "_letters", "_spelling", "_sure", "on", "settled")

    def __init__(self) -> None:
        self.on = True
        self._spelling = Spelling()
        # As `_spelling.known`, told faster; and with nothing missed since.
        self._sure = self.settled = False
        self._block, self._at = b"", 0
        self._letters: dict[bytes, spelling.Letters] = {}

    @property
    def known(self) -> bool:
        """Return whether the server is sure to repeat what it is asked."""
        return self._spelling.known

    def spell(self, port: Port, item: Attempt | Waiter, tail: bytes, now: float) -> bytes:
        """Return the query without its ID as it is to leave by a port, and note there how it is."""
        port.spelled, port.again = None, False
        if not self.on:
            return tail
        if item.__class__ is Attempt and _asked_before(item):
            # Some that are on the way drop what they do not know.
            port.again = True
            return tail
        letters = self._letters.get(tail)
        if letters is None:
            letters = self._learn(tail)
        # Where there are none, as in the root's name, nothing would be learned.
        if not letters.any or not (self._sure or self._spelling.mixes(now)):
            return tail
        name, size, at = letters.name, letters.size, self._at
        if at + size > len(self._block):
            self._block, at = os.urandom(BLOCK), 0
        self._at = at + size
        sent = letters.by(self._block[at : at + size])
        if sent == name:
            if self._sure:
                return tail
            sent = letters.by(b"\xff" * size)  # a trial has to differ
        port.spelled = sent, name, self._sure
        return letters.head + sent + letters.behind

    def _learn(self, tail: bytes) -> spelling.Letters:
        if len(self._letters) >= MAX_LETTERS:
            self._letters.clear()
        found = self._letters[tail] = spelling.Letters(tail)
        return found

    def read(self, port: Port, data: bytes, now: float) -> bytes | None:
        """Return a reply as it would be to a question in small letters; None if it is a false one.

        What else is wrong with it is not looked at.
        """
        if port.spelled is None:
            if port.again and self.on:
                self._spelling.unheard(now)
                self._learned()
            return data
        sent, name, sure = port.spelled
        if data.startswith(sent, HEADER_SIZE):
            if not self.settled:
                self._spelling.repeated()
                self._learned()
            return spelling.folded(data, sent, name)
        if spelling.asks_for(data, name):
            taken = self._spelling.changed(now)
            self._learned()
            return data if taken and not sure else None
        return data

    def _learned(self) -> None:
        told = self._spelling
        self._sure = told.known
        self.settled = self._sure and not (told.missed or told.doubts)


def _asked_before(attempt: Attempt) -> bool:
    """Return whether its server was asked the same by the same lookup, and nothing came at all.

    Or what came was spelled in another way, and it was asked over TCP then, in vain.
    """
    attempts = attempt.lookup.attempts
    return len(attempts) > 1 and any(
        one.upstream is attempt.upstream
        and one is not attempt
        and (one.result == SPELLED or not (one.stream or one.result or one.strays))
        for one in attempts
    )
