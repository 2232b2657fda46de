"""Gives those who wait their answer: each of them one, and where they are many in turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from consulfwd.dns import const
from consulfwd.net import mishaps
from consulfwd.net.answers import Answers
from consulfwd.net.waiter import Result, Waiter

# How many who wait for one answer are given it before others have their turn.
AT_ONCE = 256
Give = Callable[[Waiter], None]


class Delivery:
    """Delivers results. `rounds` are under way: not all who waited have theirs.

    `on_done` is called when one more of them is over.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, answers: Answers) -> None:
        self.rounds = 0
        self.on_done: Callable[[], None] = lambda: None
        self._loop = loop
        self._answers = answers

    def tell(self, waiters: list[Waiter], result: Result) -> None:
        """Give all who wait the result, and let them wait no more (the list is empty then)."""
        told = tuple(waiters)
        waiters.clear()
        self.give(told, lambda waiter: waiter.deliver(result))

    def give(self, waiters: Sequence[Waiter], give: Give) -> None:
        """Give each who waits an answer; where they are many, others have their turn between."""
        self._each(waiters[:AT_ONCE], give)
        if len(waiters) > AT_ONCE:
            self.rounds += 1
            self._loop.call_soon(self._go_on, waiters, AT_ONCE, give)

    def fail(self, waiter: Waiter) -> None:
        """Give SERVFAIL to one at whom something went wrong here."""
        try:
            waiter.deliver(self._answers.failure(waiter.ask, const.EDE_OTHER, mishaps.WHY))
        except Exception as error:
            mishaps.note(self._loop, "SERVFAIL could not be given", error)

    def _go_on(self, waiters: Sequence[Waiter], begin: int, give: Give) -> None:
        end = begin + AT_ONCE
        if end < len(waiters):
            self._loop.call_soon(self._go_on, waiters, end, give)
        else:
            self.rounds -= 1
        self._each(waiters[begin:end], give)
        self.on_done()

    def _each(self, waiters: Sequence[Waiter], give: Give) -> None:
        left = iter(waiters)
        while True:
            try:
                for waiter in left:
                    give(waiter)
                return
            except Exception as error:
                mishaps.note(self._loop, "an answer could not be given", error)
                self.fail(waiter)
