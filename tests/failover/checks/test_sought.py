"""What is sought in a text that comes in pieces, without holding up the loop."""

from __future__ import annotations

import asyncio
import random

from consulfwd.failover.checks.sought import LIMIT, Sought


async def test_the_worst_of_patterns_lets_others_have_their_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    looking = Sought(None, "[ab]*a[ab]{200}c").begin()
    task = asyncio.ensure_future(others())
    chance = random.Random(1)
    await looking.feed(bytes(chance.choice(b"ab") for _ in range(4_096)))
    task.cancel()
    assert looking.missing == "the pattern"
    # It takes 0.2 s, of which nobody waits for more than a few ms.
    assert turns > 20


async def test_a_text_and_a_pattern_are_both_needed() -> None:
    looking = Sought("one", "t[w]o").begin()
    assert looking.missing == "the text and the pattern"
    await looking.feed(b"..o")
    await looking.feed(b"ne")
    assert looking.missing == "the pattern"
    await looking.feed(b"two")
    assert (looking.missing, looking.full) == ("", False)


async def test_what_is_beyond_the_limit_is_not_looked_at() -> None:
    looking = Sought("end", "end").begin()
    await looking.feed(b"x" * (LIMIT - 2) + b"end")
    assert looking.full
    await looking.feed(b"end")
    looking.end()
    assert looking.missing == "the text and the pattern"
    assert not Sought(None, None)
