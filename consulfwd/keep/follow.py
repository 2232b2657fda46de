"""Files kept current: jobs made and applied anew whenever something changes.

What belongs here: when to try, when to try again, and what the log says of it. Must not know where
changes come from, nor how files are rendered or applied.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import signal
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

from consulfwd.apply.steps import Applied, Job, apply_all
from consulfwd.core.telling import duration
from consulfwd.errors import ApplyError, ConsulfwdError
from consulfwd.keep.quiescence import Quiescence

log = logging.getLogger("consulfwd.keep")

Changes = asyncio.Event | AsyncIterable[object]
Jobs = Sequence[Job]
Results = list[tuple[Job, Applied | ApplyError]]
Pause = Callable[[asyncio.Event, float | None], Awaitable[None]]

# Pauses (seconds) before what failed is tried again: the first, then each twice the one before.
RETRY, RETRY_MAX = 5.0, 300.0
# The same failure has a line again after so long (seconds).
TELL_AGAIN = 600.0
# Different failures remembered of one thing; then all are new again.
_REMEMBERED = 100
# What may fail beside a job.
RENDERING, APPLYING = "rendering", "applying"


async def pause(wake: asyncio.Event, timeout: float | None) -> None:
    """Wait until `wake` is set, for `timeout` seconds at most."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(wake.wait(), timeout)


class Alarms:
    """Which failures are told: a new one at once, the same again every TELL_AGAIN seconds.

    Failures are told apart by the thing that fails and what is wrong with it.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._told: dict[str, dict[str, float]] = {}

    def failed(self, thing: str, what: str, now: float) -> bool:
        """Note a failure; return whether it is told."""
        self._since.setdefault(thing, now)
        told = self._told.setdefault(thing, {})
        if what in told and now - told[what] < TELL_AGAIN:
            return False
        if len(told) >= _REMEMBERED:
            told.clear()
        told[what] = now
        return True

    def worked(self, thing: str, now: float) -> float | None:
        """Note a success; return how long (seconds) it failed before, None if it did not."""
        self._told.pop(thing, None)
        since = self._since.pop(thing, None)
        return None if since is None else now - since

    def keep(self, things: set[str]) -> None:
        """Forget all but these."""
        for thing in self._since.keys() - things:
            self.worked(thing, 0.0)


async def follow(
    changes: Changes,
    make: Callable[[], Jobs | Awaitable[Jobs]],
    quiescence: Quiescence,
    *,
    apply: Callable[[Jobs], Results] = apply_all,
    clock: Callable[[], float] = time.monotonic,
    pause: Pause = pause,
) -> None:
    """Apply what `make` returns now, and again after changes, until cancelled.

    `changes` is an event, set by whoever sees a change (it is cleared here), or an async iterable
    with an item for each. `make` may raise: like a failed apply that is told in the log, and tried
    again after growing pauses or the next change. `apply` runs in a thread; if this is cancelled
    meanwhile, it is let end first. Raises nothing but what `changes` raises.
    """
    following = _Following(make, apply, clock)
    wake = asyncio.Event()

    def note() -> None:
        quiescence.changed(clock())
        wake.set()

    listening = asyncio.create_task(_listen(changes, note))
    listening.add_done_callback(lambda _: wake.set())
    try:
        await following.once()
        while True:
            due = following.retry_at if quiescence.due_at is None else quiescence.due_at
            left = None if due is None else due - clock()
            if left is not None and left <= 0:
                if quiescence.due_at is not None:
                    quiescence.fired(clock())
                await following.once()
                continue
            wake.clear()
            if listening.done():
                listening.result()
            await pause(wake, left)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` until it ends or SIGTERM or SIGINT cancels it, and what it is at has ended."""

    async def until_stopped() -> None:
        task = asyncio.ensure_future(main)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        log.info("stopped")

    asyncio.run(until_stopped())


async def _listen(changes: Changes, note: Callable[[], None]) -> None:
    if isinstance(changes, asyncio.Event):
        while True:
            await changes.wait()
            changes.clear()
            note()
    async for _ in changes:
        note()


class _Following:
    """One attempt after the other, and what is told of them."""

    def __init__(
        self,
        make: Callable[[], Jobs | Awaitable[Jobs]],
        apply: Callable[[Jobs], Results],
        clock: Callable[[], float],
    ) -> None:
        self.retry_at: float | None = None
        self._make = make
        self._apply = apply
        self._clock = clock
        self._alarms = Alarms()
        self._pause = RETRY
        self._cancelled = False

    async def once(self) -> None:
        """Make the jobs, apply them, tell what became of it. Raises nothing but CancelledError."""
        jobs = await self._made()
        if jobs is not None and await self._applied(jobs):
            self.retry_at = None
            self._pause = RETRY
        else:
            self.retry_at = self._clock() + self._pause
            self._pause = min(2 * self._pause, RETRY_MAX)
        if self._cancelled:
            raise asyncio.CancelledError

    async def _made(self) -> Jobs | None:
        try:
            made = self._make()
            jobs = await made if inspect.isawaitable(made) else made
        except Exception as error:
            if self._alarms.failed(RENDERING, _identity(error), self._clock()):
                log.error(
                    "not rendered, the files stay as they are; next try in %s: %s",
                    duration(self._pause),
                    _said(error),
                    exc_info=_trace(error),
                )
            return None
        self._mended([RENDERING])
        return jobs

    async def _applied(self, jobs: Jobs) -> bool:
        """Apply the jobs in a thread; a cancellation waits until that has ended."""
        # Not a task: those are all cancelled when a loop is shut down.
        work = asyncio.get_running_loop().run_in_executor(None, self._apply, jobs)
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError:
                self._cancelled = True
        try:
            results = work.result()
        except Exception as error:
            self._failed({APPLYING}, error)
            return False
        return self._tell(results)

    def _tell(self, results: Results) -> bool:
        """Write to the log what became of each job; return whether all is well."""
        self._alarms.keep({RENDERING, APPLYING, *(_places(job) for job, _ in results)})
        errors: dict[int, ApplyError] = {}
        things: dict[int, set[str]] = {}  # jobs that were applied together share an error
        well = [APPLYING]
        for job, result in results:
            if isinstance(result, ApplyError):
                errors[id(result)] = result
                things.setdefault(id(result), set()).add(_places(job))
                continue
            well.append(_places(job))
            if result.files:
                reloaded = "reloaded" if result.reloaded else "nothing to reload"
                log.info("wrote %s in %s (%s)", _text(result), duration(result.seconds), reloaded)
        for key, error in errors.items():
            self._failed(things[key], error)
        self._mended(well)
        return not errors

    def _failed(self, things: set[str], error: Exception) -> None:
        now = self._clock()
        told = [self._alarms.failed(thing, _identity(error), now) for thing in things]
        if any(told):
            log.error(
                "not brought into force; next try in %s: %s",
                duration(self._pause),
                _said(error),
                exc_info=_trace(error),
            )

    def _mended(self, things: Iterable[str]) -> None:
        now = self._clock()
        for thing in things:
            if (failed_for := self._alarms.worked(thing, now)) is not None:
                log.info("mended after %s: %s", duration(failed_for), thing)


def _identity(error: Exception) -> str:
    """Return what makes two failures the same: not what a command printed, times and all."""
    if isinstance(error, ApplyError):
        return f"{error.where}: {error.what}"
    return _said(error)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, ConsulfwdError) else repr(error)


def _trace(error: Exception) -> Exception | None:
    # A fault of ours, or of a user's extension: it must not end what else works.
    return None if isinstance(error, ConsulfwdError) else error


def _places(job: Job) -> str:
    return ", ".join(str(file.path) for file in job.files)


def _text(report: Applied) -> str:
    return ", ".join(map(str, report.files))
