"""A change that goes no further once it may not: no step begins after the lock was lost.

What belongs here: what becomes of each step then. Must not know: locks, targets. Pure.

The way back is none either: whoever holds the lock now may have written already. What was done so
far stays, and the next one, who reads what there is, goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from types import TracebackType

from consulfwd.apply.change import Change, Command, Run
from consulfwd.errors import ApplyError


class Stepwise:
    """A change as it was, each step of which asks `why` it may not be done any more, "" if it may.

    That is asked often, and must be at hand: what asks others is for the target to do, right before
    it writes (`target.Push.may`).
    """

    def __init__(self, change: Change, why: Callable[[], str]) -> None:
        self._change = change
        self._why = why

    @property
    def where(self) -> str:
        """Its place."""
        return self._change.where

    @property
    def target(self) -> Hashable:
        """What is changed."""
        return self._change.target

    def due(self) -> bool:
        """Return whether there is something to do."""
        self._go_on("nothing was done")
        return self._change.due()

    def __enter__(self) -> Stepwise:
        self._go_on("nothing was done")
        self._change.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._change.__exit__(kind, error, trace)

    def plan(self) -> bool:
        """Make it ready."""
        self._go_on("nothing was done")
        return self._change.plan()

    def check(self, command: Command, run: Run) -> None:
        """Refuse what is wrong with it."""
        self._go_on("nothing was done")
        self._change.check(command, run)

    def put(self) -> None:
        """Put it in place."""
        self._go_on("nothing was done")
        self._change.put()

    def verify(self) -> str:
        """Return what is wrong with what is in place now: that only reads."""
        return self._change.verify()

    def put_back(self) -> None:
        """Take it back, or leave it to who is next."""
        if self._why():
            self._change.leave()
        else:
            self._change.put_back()

    def settle(self) -> str | None:
        """It is in force."""
        return self._change.settle()

    def leave(self) -> None:
        """What stands there now stays."""
        self._change.leave()

    def _go_on(self, so_far: str) -> None:
        if why := self._why():
            raise ApplyError(self.where, f"not published: {why}; {so_far}")
