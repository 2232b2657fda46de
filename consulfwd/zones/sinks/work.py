"""A push as work for the steps of `apply`: one target, one plan.

What belongs here: what the steps need beside the change. Must not know any kind of target but by
what it offers: one that has a server to be told of a new file says by which commands.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from consulfwd.apply.change import Change, Command
from consulfwd.zones.target import Push, Target


@runtime_checkable
class Told(Protocol):
    """A target whose server is told by commands, once what it reads is in place."""

    @property
    def reload(self) -> tuple[Command, ...]: ...


class Pushing:
    """What brings one plan into force at one target (see `apply.change.Work`)."""

    check: Command = ()
    whole: Command = ()

    def __init__(self, target: Target, push: Push) -> None:
        self.reload: tuple[Command, ...] = target.reload if isinstance(target, Told) else ()
        self._target = target
        self._push = push

    def verify(self) -> str:
        """The change knows what to ask."""
        return ""

    def changes(self) -> tuple[Change, ...]:
        """Return the change, made anew."""
        return (self._target.change(self._push),)
