"""One question put to an agent: when its rules say so, and what they make of how it ends.

What belongs here: the steps between rules (see `blocking`) and connections, the same for watches
(`watch`) and for facts (`following`). Must not know: what is asked about, which agent is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from consulfwd.consul.blocking import BlockingQuery, Decision
from consulfwd.consul.reply import LARGE, Reply
from consulfwd.errors import ConsulError


class Rules(Protocol):
    """Who says what to ask next, and what a reply means: `BlockingRules`, or `Belief` with them."""

    def next(self, now: float) -> BlockingQuery:
        """Return what to ask next."""

    def reply(self, reply: Reply, now: float) -> Decision:
        """Take a reply of status 200."""

    def failed(self, error: ConsulError, now: float) -> Decision:
        """Take the end of a question without a usable reply."""


class Answered(NamedTuple):
    """What a question came to: the reply, or the error there was instead of one."""

    decision: Decision
    reply: Reply | None
    error: ConsulError | None


async def put(
    rules: Rules,
    get: Callable[[BlockingQuery], Awaitable[Reply]],
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Answered:
    """Wait until it is time, ask by `get`, and have the rules judge what comes."""
    ask = rules.next(clock())
    await sleep(max(ask.at - clock(), 0.0))
    try:
        reply = await get(ask)
    except ConsulError as error:
        return Answered(rules.failed(error, clock()), None, error)
    if len(reply.body) > LARGE:
        # To read about a hundred instances takes longer than a query is to wait.
        decision = await asyncio.to_thread(rules.reply, reply, clock())
    else:
        decision = rules.reply(reply, clock())
    return Answered(decision, reply, None)
