"""A push carried out at a grid: a few requests at a time, each looked at before and after.

What belongs here: carrying out groups of acts, phase by phase, and what becomes of one that fails.
Must not know: the steps of a change, how requests are sent.

A grid compares nothing before it sets: so each name is looked at just before it is touched, and
left alone if it is not as planned. One that is refused fails alone; the rest goes on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Act, Key
from consulfwd.zones.sinks.infoblox_grid import Grid, Unsure, pause_after
from consulfwd.zones.sinks.infoblox_http import CONNECTIONS
from consulfwd.zones.sinks.infoblox_objects import Marking
from consulfwd.zones.sinks.infoblox_reading import Reader
from consulfwd.zones.sinks.infoblox_requests import (
    Group,
    InTheWay,
    Phase,
    Request,
    leads_to,
    phases,
    requests,
)
from consulfwd.zones.sinks.infoblox_words import Refusal
from consulfwd.zones.target import Left

# So many of a phase may fail alone before anything was taken; then it is not about them.
_ALONE = 20
_UNTRIED = "it was not tried, as none of many others was taken"


class Errand:
    """One go through acts. `may` returns why nothing may be written any more, "" if it may.

    `late` are those that were not taken the last time: their turn is after all others', which they
    would keep from being tried. It is brought up to date.
    """

    def __init__(
        self,
        grid: Grid,
        reader: Reader,
        marking: Marking,
        may: Callable[[], str],
        late: set[Key] | None = None,
    ) -> None:
        self._late: set[Key] = set() if late is None else late
        self._grid = grid
        self._reader = reader
        self._marking = marking
        self._may = may
        self._failed: ApplyError | None = None
        self._taken = 0
        self._refused = 0
        self._left: dict[Key, Left] = {}
        # Names that had to be left: what would lead to them, and what others lead to, waits.
        self._missing: set[bytes] = set()
        self._there: set[bytes] = set()
        self._led_to: set[bytes] = set()
        # The acts of which something was written, or may have been.
        self.touched: dict[Key, Act] = {}

    @property
    def left(self) -> list[Left]:
        """What was not done, each for itself, in the order of names."""
        return sorted(self._left.values(), key=lambda one: one.act.key.order())

    async def run(self, acts: Iterable[Act]) -> None:
        """Carry acts out. Raises ApplyError where it cannot go on; what was done stays done."""
        refused = False
        for phase, groups in phases(acts):
            waiting, self._refused = deque(sorted(groups, key=self._is_late)), 0
            await asyncio.gather(*(self._work(phase, waiting) for _ in range(CONNECTIONS)))
            if self._failed is not None:
                raise self._failed
            refused = refused or bool(self._refused)
        self._late.intersection_update(self._left)
        self._late.update(key for key, one in self._left.items() if one.why != _UNTRIED)
        if refused and not self._taken:
            raise self._none_taken()

    def _is_late(self, group: Group) -> bool:
        return any(act.key in self._late for act in group)

    async def _work(self, phase: Phase, waiting: deque[Group]) -> None:
        while waiting and self._failed is None:
            group = waiting.popleft()
            if any(act.key in self._left for act in group):
                continue
            if why := self._waits(phase, group):
                self._leave(group, why)
                continue
            try:
                await self._do(phase, group)
            except ApplyError as error:
                # The others end what they are at: what is cut off may have been written.
                self._failed = self._failed or error
            if self._refused >= _ALONE and not self._taken:
                # What goes is not for those to keep that may not come.
                while waiting:
                    self._leave(waiting.popleft(), _UNTRIED)

    async def _do(self, phase: Phase, group: Group) -> None:
        """Carry out one group. Raises ApplyError for what is not about it alone."""
        refused: Refusal | None = None
        before: list[Request] = []
        for turn in range(self._grid.tries):
            if self._failed is not None and phase is not Phase.SWITCH:
                raise self._failed
            there = {act.key: await self._reader.at(act.key) for act in group}
            try:
                todo = requests(phase, group, there, self._marking)
            except InTheWay as why:
                self._leave(group, str(why))
                return
            if not todo:
                self._take(group)
                return
            if refused is not None and todo == before:
                # Nothing is there that explains it: what is in the way is of no type of ours.
                break
            before = todo
            try:
                await self._write(group, todo)
            except Unsure as unsure:
                await self._grid.sleep(max(unsure.pause, pause_after(turn)))
            except Refusal as error:
                if not error.alone:
                    raise
                refused = error
                if not error.late:
                    self._refused += 1
                    break
                # Somebody was faster: what is there now decides.
            else:
                self._take(group)
                return
        if refused is None:
            raise self._grid.unreachable()
        self._leave(group, refused.what)
        if phase is Phase.SWITCH:
            # What made room for it comes back: the name would have nothing.
            for act in group:
                if act.after is None and act.key in self.touched:
                    await self._do(Phase.ADD, (Act(act.key, act.after, act.before),))

    async def _write(self, group: Group, todo: list[Request]) -> None:
        for one in todo:
            if why := self._may():
                where = self._grid.where
                raise ApplyError(where, f"nothing more is written: {why}", "the next round goes on")
            try:
                await self._grid.write(*one)
            except Refusal:
                raise
            except BaseException:
                self._touch(group)
                raise
            self._touch(group)

    def _touch(self, group: Group) -> None:
        for act in group:
            self.touched.setdefault(act.key, act)

    def _take(self, group: Group) -> None:
        self._taken += 1
        # One address is enough for what leads to a name.
        self._missing -= {act.key.name for act in group if act.after is not None}
        self._there |= {act.key.name for act in group if act.after is not None}

    def _leave(self, group: Group, why: str) -> None:
        for act in group:
            self._left[act.key] = Left(act, why)
            self._led_to |= leads_to(act, after=False)
            if act.before is None and act.key.name not in self._there:
                self._missing.add(act.key.name)

    def _waits(self, phase: Phase, group: Group) -> str:
        """Return why a group waits for what was left, "" if it does not."""
        if phase is not Phase.REMOVE:
            for act in group:
                if found := leads_to(act, after=True) & self._missing:
                    return f"it would lead to {names.to_text(min(found))}, which could not be added"
        elif any(act.key.name in self._led_to for act in group):
            return "what leads to it could not be changed"
        return ""

    def _none_taken(self) -> ApplyError:
        first = next(one for one in self.left if one.why != _UNTRIED)
        many = len(self._left)
        which = f"{many} names, {names.to_text(first.act.key.name)} among them"
        what = f"none of what was tried could be done ({which}): {first.why}"
        return ApplyError(self._grid.where, what, "see what is there, and what the account may do")
