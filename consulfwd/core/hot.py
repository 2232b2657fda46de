"""The hot table: whole datagrams (but their ID) to ready answers, nothing parsed on a hit.

One table per listener. It is emptied every second, so TTLs count down and no expiry is checked
on a hit; an answer that would run out before the next emptying is never put in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle, islice
from typing import TYPE_CHECKING

from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.records import is_rrset, orders, read_records, rotations, size_of_addresses
from consulfwd.dns.replies import STREAM_LIMIT, fits, respond
from consulfwd.dns.wire import HEADER_SIZE, Query
from consulfwd.errors import WireError

if TYPE_CHECKING:
    import random

MAX_ENTRIES = 4096
MAX_VARIANTS = 16
# What making variants may cost: so many records in all of them. Larger answers keep their order.
MAX_RECORDS = 2048
# The same where they are made one by one, as long as somebody asks; then they are given again. Of
# few records no more than so many for each, or they would be kept by the thousand.
MAX_IN_TURN, EACH_IN_TURN = 8192, 8
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


def in_turn(
    query: Query, message: Message, limit: int, body: bytes, rng: random.Random
) -> Iterator[bytes]:
    """Yield answers to `query` without their ID, without end, an RRset's records in varied order.

    Each instance comes first equally often, also where the message must be cut to `limit` (not
    every client asks again over TCP). One that holds more than a plain RRset has the one answer.
    """
    size = size_of_addresses(body, len(message.ends))
    if size and message.answers == len(message.ends) > 1:
        for other in rotations(body, size, rng):
            yield respond(query, b"", message, limit, body=other)
    yield from cycle(_read_in_turn(query, message, limit, body, rng))


def _read_in_turn(
    query: Query, message: Message, limit: int, body: bytes, rng: random.Random
) -> Iterator[bytes]:
    """Yield the answers to be given in turn for want of a cheaper way: records must be read."""
    plain = respond(query, b"", message, limit, body=body)
    records = len(message.ends)
    sections: tuple[list[bytes], ...] = ([],)
    if message.answers > 1 and records <= MAX_RECORDS:
        whole = respond(query, b"\0\0", message, STREAM_LIMIT, body=body)
        # A name that borrows its labels from a TTL field is another one a second later.
        with suppress(WireError):
            sections = read_records(whole, HEADER_SIZE + len(query.question))
    if not is_rrset(sections[0]):
        yield plain
        return
    most = max(min(MAX_IN_TURN // records, EACH_IN_TURN * records), 1)
    whole_fits = fits(query, message, limit)
    for order in islice(orders(sections[0], rng), most):
        other = assemble_message(
            query.question, (order, *sections[1:]), flags=message.flags, rcode=message.rcode
        )
        if whole_fits and not fits(query, other, limit):
            # Names are spelled out here that the message as it came has compressed.
            yield plain
            return
        yield respond(query, b"", other, limit)
