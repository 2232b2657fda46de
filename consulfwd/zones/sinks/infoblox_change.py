"""A push to a grid as a change: the steps of `apply.change`, by one name after the other.

What belongs here: what each step is for a grid. Must not know: requests, connections.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Sequence
from types import TracebackType
from typing import Any, Protocol

from consulfwd.apply.change import Command, Run
from consulfwd.dns import const, names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Act, Key, Records
from consulfwd.zones.sinks.infoblox_errand import Errand
from consulfwd.zones.sinks.infoblox_objects import KINDS
from consulfwd.zones.sinks.infoblox_reading import Reader, all_of
from consulfwd.zones.sinks.infoblox_sets import rrset
from consulfwd.zones.target import Left, Push

# So many names are looked at one by one; for more, the whole zone is read.
_FEW = 50


class Runs(Protocol):
    """Runs what waits for a grid to its end."""

    def __call__(self, coroutine: Coroutine[Any, Any, Any], /) -> Any: ...


class InfobloxChange:
    """A push that is to be carried out (see `change.Change`). `left` is what could not be done.

    Where it fails half-way no name is without records: what comes goes before what goes. So the
    next round may go on from there, if taking back fails as well.
    """

    def __init__(
        self,
        where: str,
        origin: bytes,
        push: Push,
        run: Runs,
        reader: Callable[[], Reader],
        errand: Callable[[], Errand],
        settled: Callable[[], None],
    ) -> None:
        self._where = where
        self._origin = origin
        self._push = push
        self._reader = reader
        self._errand = errand
        self._run = run
        self._settled = settled
        self._touched: dict[Key, Act] = {}
        self.left: Sequence[Left] = ()

    @property
    def where(self) -> str:
        return self._where

    @property
    def target(self) -> Hashable:
        return ("infoblox", self._where, self._origin)

    def due(self) -> bool:
        return bool(self._push.acts)

    def __enter__(self) -> InfobloxChange:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def plan(self) -> bool:
        """Refuse what a grid cannot hold; what is written is decided when it is."""
        for act in self._push.acts:
            if act.key.type not in KINDS:
                what = f"records of type {const.type_text(act.key.type)} are not written there"
                raise ApplyError(self._where, what, "publish them at another target")
            if not names.is_under(act.key.name, self._origin):
                what = f"{names.to_text(act.key.name)} is not of this zone"
                raise ApplyError(self._where, what, "plan anew")
        return self.due()

    def check(self, command: Command, run: Run) -> None:
        """There is nothing that could be checked before it is there."""

    def put(self) -> None:
        self._run(self._carry_out())

    def verify(self) -> str:
        """Return what is not as planned, but for what is told as left."""
        left = {one.act.key for one in self.left}
        acts = [act for act in self._push.acts if act.key not in left]
        now = self._run(self._now(acts))
        wrong = [act for act in acts if now.get(act.key) != act.after]
        if not wrong:
            return ""
        which = ", ".join(sorted({names.to_text(act.key.name) for act in wrong})[:5])
        return f"what is read back is not what was written, at {which}"

    def put_back(self) -> None:
        if not self._touched:
            return
        back = [Act(act.key, act.after, act.before) for act in self._touched.values()]
        left = self._run(self._take_back(back))
        if left:
            first = left[0]
            what = f"{names.to_text(first.act.key.name)} is not as it was: {first.why}"
            raise ApplyError(self._where, what, "the next round plans anew from what is there")
        self._touched = {}

    def settle(self) -> str | None:
        if not self.left:
            self._settled()
        return None

    def leave(self) -> None:
        """What is there stays; the next round reads it."""

    async def _carry_out(self) -> None:
        errand = self._errand()
        try:
            await errand.run(self._push.acts)
        finally:
            self._touched = errand.touched
            self.left = errand.left

    async def _take_back(self, acts: Sequence[Act]) -> Sequence[Left]:
        errand = self._errand()
        await errand.run(acts)
        return errand.left

    async def _now(self, acts: Sequence[Act]) -> Records:
        if len(acts) > _FEW:
            return (await self._reader().whole()).ours
        lists = await all_of(*(self._reader().at(act.key) for act in acts))
        ours = [[one for one in here if one.ours] for here in lists]
        return {act.key: rrset(here) for act, here in zip(acts, ours, strict=True) if here}
