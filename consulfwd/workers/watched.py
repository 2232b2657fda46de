"""Head and workers as one process that can be looked at, and given orders (`ops.watched`).

What belongs here: whom an order concerns, and what comes of it together. An order that any worker
refuses is carried out by none. Called on the head's event loop only.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from consulfwd.ops import forcing, resolver, wrong
from consulfwd.ops.orders import Orders
from consulfwd.ops.snapshot import ResolverSeen, Snapshot, WorkerSeen
from consulfwd.ops.taking import WatchedServer
from consulfwd.ops.text import logged
from consulfwd.ops.values import number
from consulfwd.ops.watched import OrderError
from consulfwd.workers.child import Child
from consulfwd.workers.desk import Silent
from consulfwd.workers.head import Head
from consulfwd.workers.merging import added, merged

log = logging.getLogger("consulfwd")

# How long (seconds) all workers together may take to say how they are, and to carry out an order.
LOOK_S, ORDER_S = 0.7, 4.0
# One that was not heard for so long (seconds) is not waited for.
UNHEARD = 2.0


class WatchedHead(WatchedServer):
    """A head, before it has started too."""

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        self._head = head
        self._numbers = itertools.count(1)

    # -- what is seen ---------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return what is to be seen now."""
        phase = self._head.phase
        if phase == "starting":
            return self._picture(phase, phase, (), ready=False)
        clock = self._head.engine.clock
        self._keep_time(clock)
        seen, admin, faults = self._look(whole=True)
        records, in_all = self._records()
        self._moved = self._head.moves, wrong.with_records(records)
        beside = self._wrong_beside()
        picture = self._picture(
            phase,
            phase if phase == "stopping" else logged.status(seen, beside),
            (*self.beside(), *faults, *beside),
            ready=phase == "running" and wrong.is_ready(seen) and bool(self._answering()),
            seen=seen,
            records=records,
            in_all=in_all,
        )
        return self._with_workers(picture, admin)

    def line(self) -> str:
        """Return the picture's line."""
        head = self._head
        if head.phase != "running":
            return head.phase
        seen, _, _ = self._look(whole=False)
        return logged.status(seen, self._wrong_beside())

    def _answering(self) -> list[Child]:
        return [one for one in self._head.children.values() if one.answers]

    def _look(self, *, whole: bool) -> tuple[ResolverSeen, dict[str, float], list[str]]:
        """Return what all see, what their query logs count, and what is wrong."""
        head = self._head
        replies = self._all("see", self._ahead, whole, within=LOOK_S)
        faults: dict[str, None] = {}
        for child, (seen, admin, wrongs, _) in replies.items():
            child.admin = admin
            if whole:
                child.seen, child.counters = seen, seen.counters
            faults.update(dict.fromkeys(wrongs))
        own = resolver.see(head, self._ahead) if whole else resolver.see_usual(head, self._ahead)
        seen = merged(own, [one[0] for one in replies.values()], head.past)
        admin = added([head.past.admin, *(one.admin for one in replies)])
        mute = [
            f"worker {one.number + 1} does not say how it is"
            for one in self._answering()
            if one not in replies
        ]
        return seen, admin, [*faults, *mute]

    def _wrong_beside(self) -> list[str]:
        head = self._head
        there = {one.number for one in self._answering()}
        gone = [one + 1 for one in range(head.count) if one not in there]
        replaced = (f"worker {one} is being replaced" for one in gone)
        return [*replaced, *self._wrong_with_records(), *head.faults()]

    def _with_workers(self, picture: Snapshot, admin: Mapping[str, float]) -> Snapshot:
        head = self._head
        workers = tuple(
            WorkerSeen(
                number=one.number + 1,
                pid=one.pid,
                since=one.since,
                answers=one.answers,
                queries=one.counters.get("queries", 0),
            )
            for one in sorted(head.children.values(), key=lambda one: one.number)
        )
        return replace(
            picture, workers=workers, workers_replaced=head.replaced, workers_wanted=head.count,
            admin=admin,
        )  # fmt: skip

    def _all(self, name: str, *values: Any, within: float) -> dict[Child, Any]:
        """Return what all workers reply that do so in time; they work on it beside each other.

        Raises OrderError, where one does, once all have replied.
        """
        waiting: dict[Child, Callable[[float], Any]] = {}
        now = time.monotonic()
        for child in self._answering():
            if now - child.beat_at <= UNHEARD:
                with suppress(Silent):
                    waiting[child] = child.put(name, *values)
        ends = now + within
        replies: dict[Child, Any] = {}
        refused: OrderError | None = None
        for child, reply in waiting.items():
            try:
                replies[child] = reply(ends)
            except Silent as error:
                log.debug("worker %d: %s", child.number + 1, error)
            except OrderError as error:
                refused = error
        if refused is not None:
            raise refused
        return replies

    # -- what is ordered ------------------------------------------------------------------------

    def order(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out an order, return what came of it (`ops.watched`). Raises OrderError."""
        if self._head.phase != "running":
            raise OrderError(409, f"this process is {self._head.phase}")
        if name in forcing.KEYS:
            # Workers hear of it as of all else that moves a name.
            return Orders(self._head).carry_out(name, values)
        workers = self._answering()
        if not workers:
            raise OrderError(409, "no worker answers now: try again")
        first = max(workers, key=lambda one: one.beat_at)
        try:
            if name == "explain":
                return self._dict(first.ask("order", name, dict(values), within=ORDER_S))
            if name in ("drain", "undrain"):
                return self._work_on(name, dict(values), first)
            replies = self._all("order", name, dict(values), within=ORDER_S)
        except Silent as error:
            raise OrderError(409, f"worker {first.number + 1}: {error}") from None
        if len(replies) < len(workers):
            raise OrderError(409, "not every worker replied: see the status, and try again")
        return self._together(name, values, list(replies.values()))

    def _together(
        self, name: str, values: Mapping[str, Any], found: list[dict[str, Any]]
    ) -> dict[str, Any]:
        if name == "flush":
            return {"dropped": sum(one["dropped"] for one in found)}
        if name == "cache":
            return _caches(found, number(values, "limit", 100, 1000))
        if name == "querylog":
            self._head.ordered = dict(values)
        return found[0]

    def _work_on(self, name: str, values: dict[str, Any], first: Child) -> dict[str, Any]:
        """Have a server taken out for work, or back, by all or by none."""
        found = self._dict(first.ask("order", name, values, within=ORDER_S))
        forced = {"server": values["server"]}
        if name == "drain":
            forced["force"] = True
        # Whether it may be was decided by the first.
        with suppress(OrderError):
            Orders(self._head).carry_out(name, forced)
        self._all("order", name, forced, within=ORDER_S)
        return found

    @staticmethod
    def _dict(found: Any) -> dict[str, Any]:
        assert isinstance(found, dict)
        return found

    def tail(self, put: Callable[[bytes], None], sample: float) -> Callable[[], None]:
        """Have queries told from now on (`ops.watched.Tailed`). Raises OrderError."""
        head = self._head
        if head.phase != "running":
            raise OrderError(409, f"this process is {head.phase}")
        mine = next(self._numbers)

        def end() -> None:
            if head.tails.pop(mine, None) is not None:
                self._all("untail", mine, within=LOOK_S)

        head.tails[mine] = put, sample
        try:
            self._all("tail", mine, sample, within=LOOK_S)
        except OrderError:
            end()
            raise
        return end


def _caches(found: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """Return what several caches hold: of an answer that is in more than one, the youngest."""
    entries: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in itertools.chain.from_iterable(each["entries"] for each in found):
        key = one["name"], one["type"], tuple(one["flags"])
        known = entries.get(key)
        if known is None or one["age"] < known["age"]:
            entries[key] = one
    shown = sorted(entries.values(), key=lambda one: one["age"])[:limit]
    in_all = max(len(entries), *(each["in_all"] for each in found))
    return {"entries": shown, "in_all": in_all}
