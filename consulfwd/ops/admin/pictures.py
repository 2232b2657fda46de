"""Pictures of the process, fetched from its event loop, and orders brought to it.

However many ask, one picture a second is taken. Whoever asks a loop that does not turn is told so
in time, and leaves nothing behind that grows. Used on the event loop of the admin server only.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from consulfwd.ops.admin.http import HttpError
from consulfwd.ops.admin.turns import Turns
from consulfwd.ops.snapshot import Snapshot, to_json
from consulfwd.ops.watched import OrderError, Watched

log = logging.getLogger("consulfwd.admin")

Value = TypeVar("Value")

# How long (seconds) a picture is the newest, how long the process's loop may take, and an order.
FRESH, PATIENCE, ORDER_S = 1.0, 1.5, 5.0
# Of orders so many may wait at once.
ORDERS = 8


class Picture:
    """A snapshot, and what it looks like: made once for all who ask."""

    def __init__(self, snapshot: Snapshot, taken: float) -> None:
        self.snapshot = snapshot
        self.taken = taken
        self._json = b""
        self._metrics: tuple[str, bytes] | None = None

    @property
    def json(self) -> bytes:
        """Return it as JSON."""
        if not self._json:
            self._json = json.dumps(to_json(self.snapshot), separators=(",", ":")).encode()
        return self._json

    @property
    def metrics(self) -> tuple[str, bytes]:
        """Return what Prometheus reads of it: the type and the octets."""
        if self._metrics is None:
            # Imported late: few are scraped.
            from consulfwd.ops import metrics

            self._metrics = metrics.CONTENT_TYPE, metrics.exposition(self.snapshot)
        return self._metrics

    def same(self, other: Picture | None) -> bool:
        """Return whether nothing differs but the time, and what looking itself has changed."""
        if other is None:
            return False
        ours, others = (
            replace(one.snapshot, taken=0.0, admin={}) for one in (self, other)
        )
        return ours == others


class _Errand(Generic[Value]):
    """One call at a time on the process's loop; those who come meanwhile wait for the same.

    `then` gets what it returned before anybody who waits does, and before another may begin.
    """

    def __init__(
        self,
        process: asyncio.AbstractEventLoop,
        call: Callable[[], Value],
        then: Callable[[Value], None] = lambda value: None,
    ) -> None:
        self._process = process
        self._call = call
        self._then = then
        self._pending: asyncio.Future[Value] | None = None
        # When the last one was sent, by the clock of this loop.
        self.began = 0.0

    async def done(self, patience: float) -> Value:
        """Return what the call returns. Raises HttpError where it does not in time."""
        if self._pending is None:
            self.began = asyncio.get_running_loop().time()
            self._pending = _sent(self._process, self._call)
            self._pending.add_done_callback(self._through)
        pending = self._pending
        done, _ = await asyncio.wait({pending}, timeout=patience)
        if not done:
            raise HttpError(503, "the process hangs: its event loop does not turn")
        return pending.result()

    def _through(self, pending: asyncio.Future[Value]) -> None:
        self._pending = None
        if not pending.cancelled() and pending.exception() is None:
            self._then(pending.result())


def _sent(
    process: asyncio.AbstractEventLoop,
    call: Callable[[], Value],
    late: Callable[[Value], None] = lambda value: None,
) -> asyncio.Future[Value]:
    """Have something called on the process's loop; return a future of this one.

    `late` gets what it returned where nobody waits for it any more.
    """
    here = asyncio.get_running_loop()
    waiting: asyncio.Future[Value] = here.create_future()

    def told(set_it: Callable[[Any], None], value: Any) -> None:
        if not waiting.done():
            set_it(value)
        elif set_it == waiting.set_result:
            late(value)

    def called() -> None:
        if waiting.cancelled():
            return
        try:
            value = call()
        except Exception as error:
            outcome: tuple[Callable[[Any], None], Any] = (waiting.set_exception, error)
        else:
            outcome = (waiting.set_result, value)
        try:
            here.call_soon_threadsafe(told, *outcome)
        except RuntimeError:
            # Nobody is there any more.
            return

    try:
        process.call_soon_threadsafe(called)
    except RuntimeError:
        waiting.set_exception(HttpError(503, "the process is ending"))
    return waiting


def _refused(error: OrderError) -> HttpError:
    return HttpError(error.status if error.status in (400, 404, 409) else 500, str(error))


class Pictures:
    """What is asked of the process. `counts` are the admin server's own, shown beside."""

    def __init__(
        self,
        watched: Watched,
        process: asyncio.AbstractEventLoop,
        counts: Callable[[], Mapping[str, float]],
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._watched = watched
        self._process = process
        self._counts = counts
        self._patience = patience
        self._look = _Errand(process, watched.snapshot, self._see)
        self._alive = _Errand(process, lambda: None)
        self._newest: Picture | None = None
        self._orders = 0
        self._ordered = 0.0
        self._turns = Turns()

    async def alive(self) -> None:
        """Return once the process's loop has turned. Raises HttpError if it does not."""
        await self._alive.done(self._patience)

    async def now(self) -> Picture:
        """Return a picture that is at most a second old. Raises HttpError if there is none."""
        now = asyncio.get_running_loop().time()
        while not self._is_fresh(now):
            try:
                await self._look.done(self._patience)
            except HttpError:
                raise
            except Exception:
                log.exception("no picture could be taken:")
                raise HttpError(500, "no picture could be taken: see the log") from None
        assert self._newest is not None
        return self._newest

    def _see(self, snapshot: Snapshot) -> None:
        seen = replace(snapshot, admin={**snapshot.admin, **self._counts()})
        self._newest = Picture(seen, self._look.began)

    def _is_fresh(self, now: float) -> bool:
        newest = self._newest
        return newest is not None and now - newest.taken < FRESH and newest.taken >= self._ordered

    async def follow(self, begin: Callable[[], Callable[[], None]]) -> Callable[[], None]:
        """Have something begun by the process; return what has it end. Raises HttpError."""

        def finish(end: Callable[[], None]) -> None:
            # It may be gone by now, which is an end too.
            with contextlib.suppress(RuntimeError):
                self._process.call_soon_threadsafe(end)

        async with self._turns.mine(self._patience):
            # What begins when nobody waits for it any more would never end.
            sent = _sent(self._process, self._turns.timed(begin), finish)
            done, _ = await asyncio.wait({sent}, timeout=self._patience)
        if not done:
            sent.cancel()
            raise HttpError(503, "the process hangs: its event loop does not turn")
        try:
            end = sent.result()
        except OrderError as error:
            raise _refused(error) from None
        return functools.partial(finish, end)

    async def order(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Have an order carried out. Raises HttpError with what is against it."""
        if self._orders >= ORDERS:
            raise HttpError(503, "too many orders at once: try again", Retry_After="1")
        self._orders += 1
        try:
            async with self._turns.mine(ORDER_S):
                return await self._carried_out(name, values)
        finally:
            self._orders -= 1

    async def _carried_out(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        begun: list[bool] = []

        def carry_out() -> dict[str, Any]:
            begun.append(True)
            return self._watched.order(name, values)

        sent = _sent(self._process, self._turns.timed(carry_out))
        try:
            done, _ = await asyncio.wait({sent}, timeout=ORDER_S)
            if not done:
                outcome = "whether it is carried out is not known" if begun else "not carried out"
                raise HttpError(503, f"the process hangs: {outcome}")
            # What is shown from now on is what came of it.
            self._ordered = asyncio.get_running_loop().time()
            found = sent.result()
            return {key: one() if callable(one) else one for key, one in found.items()}
        except OrderError as error:
            raise _refused(error) from None
        except HttpError:
            raise
        except Exception:
            log.exception("the order %s failed:", name)
            raise HttpError(500, "the order failed: see the log") from None
        finally:
            # Not begun yet, it never will be.
            sent.cancel()
