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
from typing import Any, Protocol

from consulfwd.apply.change import Applied
from consulfwd.apply.jobs import Job
from consulfwd.apply.steps import apply_all
from consulfwd.core.alarms import Alarms
from consulfwd.errors import INTERRUPTED, ApplyError, ConsulfwdError
from consulfwd.keep.quiescence import Quiescence
from consulfwd.upkeep import Upkeep
from consulfwd.words import duration

log = logging.getLogger("consulfwd.keep")

Changes = asyncio.Event | AsyncIterable[object]
Jobs = Sequence[Job]
Results = list[tuple[Job, Applied | ApplyError]]
Pause = Callable[[asyncio.Event, float | None], Awaitable[None]]

# Pauses (seconds) before what failed is tried again: the first, then each twice the one before.
RETRY, RETRY_MAX = 5.0, 300.0
# What may fail beside a job.
RENDERING, APPLYING = "rendering", "applying"


async def pause(wake: asyncio.Event, timeout: float | None) -> None:
    """Wait until `wake` is set, for `timeout` seconds at most."""
    # Before Python 3.12 `wait_for` loses a cancellation that comes as the event is set.
    waiting = asyncio.ensure_future(wake.wait())
    try:
        await asyncio.wait({waiting}, timeout=timeout)
    finally:
        waiting.cancel()


async def follow(
    changes: Changes,
    make: Callable[[], Jobs | Awaitable[Jobs]],
    quiescence: Quiescence,
    *,
    apply: Callable[[Jobs], Results] = apply_all,
    clock: Callable[[], float] = time.monotonic,
    pause: Pause = pause,
    upkeep: Upkeep | None = None,
) -> None:
    """Apply what `make` returns now, and again after changes, until cancelled.

    `changes` is an event, set by whoever sees a change (it is cleared here), or an async iterable
    with an item for each. `make` may raise: like a failed apply that is told in the log, and tried
    again after growing pauses or the next change. `apply` runs in a thread; if this is cancelled
    meanwhile, it is let end first. `upkeep` is told of each round. Raises nothing but what
    `changes` raises.
    """
    following = _Following(make, apply, clock, upkeep)
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


class Beside(Protocol):
    """What goes on beside the work of a process, on its event loop."""

    def begin(self) -> None:
        """The process works."""
        ...

    def end(self) -> None:
        """It ends."""
        ...


def run(
    main: Coroutine[Any, Any, None],
    upkeep: Upkeep | None = None,
    beside: Beside | None = None,
) -> int:
    """Run `main` until it ends or SIGTERM or SIGINT cancels it, and what it is at has ended.

    `upkeep` is told of its begin and end, and so is what goes on `beside`; on SIGUSR1 it logs how
    it goes. Returns the exit code:
    INTERRUPTED if SIGINT was the first to do so, else 0.
    """
    heard: list[signal.Signals] = []

    async def until_stopped() -> None:
        task = asyncio.ensure_future(main)
        loop = asyncio.get_running_loop()

        def stop(number: signal.Signals) -> None:
            heard.append(number)
            if upkeep is not None:
                upkeep.stopping()
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        if upkeep is not None:
            # Who asks so that it goes on running has it go on.
            loop.add_signal_handler(signal.SIGUSR1, upkeep.report)
            upkeep.begin()
        if beside is not None:
            beside.begin()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        finally:
            if beside is not None:
                beside.end()
        if upkeep is not None:
            upkeep.close()
        log.info("stopped")

    asyncio.run(until_stopped())
    return INTERRUPTED if heard[:1] == [signal.SIGINT] else 0


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
        upkeep: Upkeep | None,
    ) -> None:
        self.retry_at: float | None = None
        self._make = make
        self._apply = apply
        self._clock = clock
        self._alarms = Alarms()
        self._pause = RETRY
        self._cancelled = False
        self._upkeep = upkeep
        # Of this round.
        self._faults: list[str] = []
        self._wrote = False

    async def once(self) -> None:
        """Make the jobs, apply them, tell what became of it. Raises nothing but CancelledError."""
        self._faults, self._wrote = [], False
        jobs = await self._made()
        if jobs is not None and await self._applied(jobs):
            self.retry_at = None
            self._pause = RETRY
        else:
            self.retry_at = self._clock() + self._pause
            self._pause = min(2 * self._pause, RETRY_MAX)
        if self._cancelled:
            raise asyncio.CancelledError
        if self._upkeep is not None:
            self._upkeep.round(self._faults, wrote=self._wrote)

    async def _made(self) -> Jobs | None:
        try:
            made = self._make()
            jobs = await made if inspect.isawaitable(made) else made
        except Exception as error:
            self._faults.append(f"not rendered: {_said(error)}")
            if self._alarms.wrong(RENDERING, self._clock(), _identity(error)):
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
        self._alarms.keep({RENDERING, APPLYING, *(job.where for job, _ in results)})
        errors: dict[int, ApplyError] = {}
        things: dict[int, set[str]] = {}  # jobs that were applied together share an error
        well = [APPLYING]
        waiting = False
        for job, result in results:
            if isinstance(result, ApplyError):
                errors[id(result)] = result
                things.setdefault(id(result), set()).add(job.where)
                continue
            self._wrote = self._wrote or bool(result.places)
            if result.idle:
                waiting = True
                self._waits(job, result)
                continue
            well.append(job.where)
            if result.places:
                reloaded = "reloaded" if result.reloaded else "nothing to reload"
                places = ", ".join(result.places)
                log.info("wrote %s in %s (%s)", places, duration(result.seconds), reloaded)
        for key, error in errors.items():
            self._failed(things[key], error)
        self._mended(well)
        return not errors and not waiting

    def _waits(self, job: Job, result: Applied) -> None:
        """Tell that a file stands in its place, though nobody runs who could be told."""
        found = ", ".join(result.idle)
        if self._alarms.wrong(job.where, self._clock(), f"idle: {found}"):
            log.warning(
                "wrote %s, in force once its server starts (%s found nobody running);"
                " next try in %s",
                ", ".join(result.places),
                found,
                duration(self._pause),
            )

    def _failed(self, things: set[str], error: Exception) -> None:
        # Of what a command printed, or why there is no text, the first line.
        self._faults.append("not brought into force: " + _said(error).replace("\n", ": ", 1))
        now = self._clock()
        told = [self._alarms.wrong(thing, now, _identity(error)) for thing in things]
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
            since = self._alarms.since(thing)
            if self._alarms.well(thing) and since is not None:
                log.info("mended after %s: %s", duration(now - since), thing)


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
