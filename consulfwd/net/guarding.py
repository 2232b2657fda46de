"""Answers with private addresses held back (`core.rebinding`): counted, and told now and then."""

from __future__ import annotations

import logging

from consulfwd.core.ask import Ask
from consulfwd.core.rebinding import Guard
from consulfwd.dns import const
from consulfwd.dns.message import Message
from consulfwd.dns.names import to_text
from consulfwd.net.flight import Counters
from consulfwd.net.waiter import Result

log = logging.getLogger("consulfwd.rebinding")

# How often (seconds) it is told in the log: a page may ask for thousands of such names.
TELL_EVERY = 60.0


class Guarding:
    """Goes by a `guard`; without one (None) nothing is looked at."""

    def __init__(self, counters: Counters) -> None:
        self.guard: Guard | None = None
        self._counters = counters
        self._told_at: float | None = None
        self._untold = 0

    def finds(self, ask: Ask, message: Message) -> bool:
        """Return whether an answer is not to be given as it is."""
        return self.guard is not None and self.guard.found(ask, message) is not None

    def held(self, ask: Ask, message: Message, source: str, now: float) -> Result | None:
        """Return what is given instead of an answer, None where that is well.

        It is not to be kept: the extended error (RFC 8914) is to be told each time.
        """
        held = None if self.guard is None else self.guard.hold_back(ask, message)
        if held is None:
            return None
        self._counters.rebinding += 1
        self._tell(ask, str(held.address), source, now)
        # Short: there is room for so much only.
        why = f"has the private address {held.address} (rebinding.protect)"
        return Result(held.message, source, ede=(const.EDE_BLOCKED, why))

    def _tell(self, ask: Ask, address: str, source: str, now: float) -> None:
        if self._told_at is not None and now - self._told_at < TELL_EVERY:
            self._untold += 1
            return
        more = f", and {self._untold} more since the last such line" if self._untold else ""
        self._told_at, self._untold = now, 0
        log.warning(
            "%s has the private address %s, says %s: it was taken out (rebinding.allow lets a"
            " domain have such)%s",
            to_text(ask.name), address, source, more,
        )  # fmt: skip
