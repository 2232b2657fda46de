"""Whose turn it is: an answer's records in other orders, each instance first as often as others.

An order is one record, then the others as they stand, from somewhere on: a few slices of what is
there, however many records there are. What can be put in order is found out once for each message.
Pure bytes; chance is passed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat
from math import gcd
from typing import TYPE_CHECKING

from consulfwd.dns import replies
from consulfwd.dns.message import Message, assemble_message, between_ttls
from consulfwd.dns.movable import Movable, movable
from consulfwd.dns.records import MAX_POINTER, is_rrset, size_of_addresses
from consulfwd.dns.wire import HEADER_SIZE, Query
from consulfwd.errors import WireError

if TYPE_CHECKING:
    import random

# Answers of more records keep their order, unless they are addresses.
MAX_RECORDS = 2048


def turns(count: int, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Yield without end which of `count` records comes first, and behind how many the others begin.

    In each run of as many as there are records each is first once. Both go on by a stride that has
    no divisor in common with how many there are, and another one after each run: what a dead
    instance had goes to all others alike.
    """
    others = max(count - 1, 1)
    while True:
        first, turn = int(rng.random() * count), int(rng.random() * others)
        yield first, turn
        step, jump = _stride(count, rng), _stride(others, rng)
        for _ in range(count - 1):
            first, turn = (first + step) % count, (turn + jump) % others
            yield first, turn


def _stride(count: int, rng: random.Random) -> int:
    while True:
        step = int(rng.random() * count)
        if gcd(step, count) == 1:
            return step


def rotations(body: bytes, size: int, rng: random.Random, shown: int = 0) -> Iterator[bytes]:
    """Yield bodies made of records of one `size` (see `records.size_of_addresses`) in turn.

    They have `shown` of the records, all for 0.
    """
    count = len(body) // size
    octets = shown * size or len(body)
    if count < 2:
        yield from repeat(body[:octets])
    for first, turn in turns(count, rng):
        at, then = first * size, turn * size
        behind = at + size
        if then < at:
            order = body[at:behind] + body[then:at] + body[behind:] + body[:then]
        else:
            then += size
            order = body[at:behind] + body[then:] + body[:at] + body[behind:then]
        yield order if len(order) == octets else order[:octets]


def in_turn(
    query: Query, message: Message, limit: int, body: bytes, rng: random.Random
) -> Iterator[bytes]:
    """Yield answers to `query` without their ID, without end, an RRset's records in varied order.

    Each instance comes first equally often, also where the message must be cut to `limit` (not
    every client asks again over TCP). One that holds more than a plain RRset has the one answer.
    `body` is the message's, with TTLs as they are now.
    """
    plan = plan_of(message, query.question)
    begin = HEADER_SIZE - 2 + len(query.question)
    if isinstance(plan, int):
        plain = replies.respond(query, b"", message, limit, body=body)
        shown = int.from_bytes(plain[4:6], "big")
        if not plan or not shown:
            yield from repeat(plain)
        head, tail = plain[:begin], plain[begin + shown * plan :]
        for other in rotations(body, plan, rng, shown):
            yield head + other + tail
        return
    told = plan.message
    if told is not message:
        if replies.fits(query, message, limit) and not replies.fits(query, told, limit):
            # Names are spelled out there that the message as it came has compressed.
            yield from repeat(replies.respond(query, b"", message, limit, body=body))
        body = plan.with_ttls_of(body, message)
    orders = (plan.order(*turn) for turn in turns(told.answers, rng))
    if not replies.fits(query, told, limit):
        for order in orders:
            yield replies.respond(query, b"", plan.cut(body, order), limit)
    plain = replies.respond(query, b"", told, limit, body=body)
    head, tail = plain[:begin], plain[begin + len(body) :]
    for order in orders:
        yield head + plan.ordered(body, order) + tail


def plan_of(message: Message, question: bytes) -> int | Movable:
    """Return how the answers of a message can be put in other orders; found out once.

    0 is not at all, another number the size of each of its records, which are addresses and all
    there is.
    """
    plan: int | Movable | None = message.plan
    if plan is None:
        plan = message.plan = _plan(message, question)
    return plan


def _plan(message: Message, question: bytes) -> int | Movable:
    answers, count = message.answers, len(message.ends)
    if answers < 2:
        return 0
    size = size_of_addresses(message.body, count) if answers == count else 0
    if size or count > MAX_RECORDS:
        return size
    found = movable(message, question)
    # A name that borrows its labels from a TTL field is another one by now.
    with suppress(WireError):
        if found is None:
            sections = message.sections(question)
            if is_rrset(sections[0]):
                reach = MAX_POINTER - 2 * max(map(len, sections[0]))
                spelled = assemble_message(
                    question, sections, flags=message.flags, rcode=message.rcode, reach=reach
                )
                found = movable(spelled, question)
                if found is not None:
                    found.even &= between_ttls(message.body, message.ttls) is not None
    return found or 0
