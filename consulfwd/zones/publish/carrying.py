"""One plan brought into force at one target, in a thread.

What belongs here: the steps of `apply` around a target's change, and what the target holds then.
Must not know: the event loop, when anything is done, Consul.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consulfwd.apply.change import Applied, Change, Command
from consulfwd.apply.steps import apply
from consulfwd.errors import ApplyError
from consulfwd.zones.memory import Served
from consulfwd.zones.model import applied
from consulfwd.zones.stepwise import Stepwise
from consulfwd.zones.target import Base, Left, Push, Target, left


class Done(NamedTuple):
    """What became of a push: what was done, and the mark that is there now ("": not known).

    `served` is the serial where the target counts its own; `left` was refused, each by itself.
    """

    applied: Applied
    mark: str
    serial: int | None
    served: Served | None = None
    left: Sequence[Left] = ()

    @property
    def wrote(self) -> bool:
        """Whether anything was written."""
        return bool(self.applied.places)


@dataclass(frozen=True)
class _Work:
    """One target's change as `apply.steps` wants it."""

    change: Change
    reload: tuple[Command, ...]
    check: Command = ()
    whole: Command = ()

    @property
    def verify(self) -> Callable[[], str]:
        return _nothing_wrong

    def changes(self) -> Sequence[Change]:
        return (self.change,)


def _nothing_wrong() -> str:
    return ""


def carry_out(
    target: Target, push: Push, why: Callable[[], str], *, counts: bool = False
) -> Done:
    """Do what a push says, or nothing; `why` says why no further step may be taken, "" if it may.

    `counts` says whether the target's serials are of our own making.

    A target may have something to do without any acts, too. Raises ApplyError; it says whether what
    was there before is there again.
    """
    reload: tuple[Command, ...] = getattr(target, "reload", ())
    change = target.change(push)
    done = apply(_Work(Stepwise(change, why), reload))
    if not done.places:
        return Done(done, push.base.mark, push.base.serial)
    undone = left(change)
    try:
        now = target.read()
    except ApplyError:
        # It was verified: only what mark it has now is not known, so that all is compared next.
        return Done(done, "", push.base.serial, None, undone)
    # What others did since is not to be taken for what was done here.
    same = not undone and now.ours == applied(push.base.ours, push.acts)
    served = None
    if counts and now.serial is not None:
        served = Served(now.serial, getattr(target, "digest", ""), push.number)
    return Done(done, now.mark if same else "", now.serial, served, undone)


def holds_nothing(base: Base) -> bool:
    """Return whether there is nothing at a target yet that could be answered from."""
    return not base.mark and not base.ours
