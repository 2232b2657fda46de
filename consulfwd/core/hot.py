"""The hot table: whole datagrams (but their ID) to ready answers, nothing parsed on a hit.

One table per listener. It is emptied every second, so TTLs count down and no expiry is checked
on a hit; an answer that would run out before the next emptying is never put in.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, islice
from typing import TYPE_CHECKING

from consulfwd.dns.message import Message
from consulfwd.dns.turns import in_turn
from consulfwd.dns.wire import Query

if TYPE_CHECKING:
    import random

MAX_ENTRIES = 4096
MAX_VARIANTS = 16
# What making variants may cost: so many records in all of them. Larger answers keep their order.
MAX_RECORDS = 2048
Variant = Callable[[], bytes]


class HotTable:
    """`answers` is what the listener's loop looks in; the rest keeps it bounded and true."""

    def __init__(self) -> None:
        self.answers: dict[bytes, Variant] = {}

    def put(self, key: bytes, variants: list[bytes]) -> None:
        """Add the ready answers (without ID) to a datagram (without ID); they take turns."""
        if len(self.answers) < MAX_ENTRIES:
            self.answers[key] = cycle(variants).__next__

    def clear(self) -> None:
        """Forget every answer: a second has passed, or something changed."""
        self.answers.clear()


def variants(
    query: Query,
    message: Message,
    limit: int,
    body: bytes,
    rng: random.Random,
    most: int = MAX_VARIANTS,
) -> list[bytes]:
    """Return up to `most` answers to `query` without their ID: the first of those `in_turn`."""
    most = max(min(most, message.answers, MAX_RECORDS // max(len(message.ends), 1)), 1)
    found = [*islice(in_turn(query, message, limit, body, rng), most)]
    # The same again is what has no order to vary.
    return found[:1] if found[0] is found[-1] else found
