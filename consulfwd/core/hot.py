"""The hot table: whole datagrams (but their ID) to ready answers, nothing parsed on a hit.

One table per listener. It is emptied every second, so TTLs count down and no expiry is checked
on a hit; an answer that would run out before the next emptying is never put in.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import TYPE_CHECKING

from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.records import addresses_of, orders, permutations, read_records
from consulfwd.dns.replies import STREAM_LIMIT, fits, respond
from consulfwd.dns.wire import HEADER_SIZE, Query
from consulfwd.errors import WireError

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
    """Return up to `most` answers to `query` without their ID, an RRset's records in varied order.

    Each instance comes first equally often, also where the message must be cut to `limit` (not
    every client asks again over TCP). One that holds more than a plain RRset has the one answer.
    """
    most = min(most, MAX_RECORDS // max(len(message.ends), 1))
    if message.answers < 2 or not most:
        return [respond(query, b"", message, limit, body=body)]
    alike = addresses_of(body, message.ends)
    if len(alike) == message.answers:
        return [
            respond(query, b"", message, limit, body=b"".join(order))
            for order in orders(alike, rng, most)
        ]
    plain = respond(query, b"", message, limit, body=body)
    whole_fits = fits(query, message, limit)
    whole = respond(query, b"\0\0", message, STREAM_LIMIT, body=body)
    try:
        sections = read_records(whole, HEADER_SIZE + len(query.question))
    except WireError:
        # A name that borrows its labels from a TTL field is another one a second later.
        return [plain]
    found = permutations(sections[0], rng, most)
    if found[0] is sections[0]:
        return [plain]
    built = []
    for order in found:
        other = assemble_message(
            query.question, (order, *sections[1:]), flags=message.flags, rcode=message.rcode
        )
        if whole_fits and not fits(query, other, limit):
            # Names are spelled out here that the message as it came has compressed.
            return [plain]
        built.append(respond(query, b"", other, limit))
    return built
