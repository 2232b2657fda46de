"""What publishers need of the world: clocks, threads, where they write down what they did."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol, TypeVar

from consulfwd.consul.session import boot_time
from consulfwd.core.alarms import Alarms
from consulfwd.zones.doubts import UNASKED
from consulfwd.zones.seen import Catalog
from consulfwd.zones.zone import Zone

log = logging.getLogger("consulfwd.publish")

Answer = TypeVar("Answer")


class Source(Protocol):
    """What Consul says of one zone's services. `changed` is set when there may be news."""

    changed: asyncio.Event

    async def ready(self, timeout: float) -> bool:
        """Return whether all is known within this time (seconds)."""

    def catalog(self) -> Catalog:
        """Return all there is."""

    def feed(self, zone: Zone, now: float) -> str:
        """Tell a zone what changed since; return why there may be something to push, or ""."""


async def in_thread(work: Callable[[], Answer]) -> Answer:
    """Return what comes of work that blocks. Whoever is cancelled waits for its end first.

    Each has a thread of its own: targets that hang keep nobody from asking Consul, whose names and
    long replies are worked on in the loop's threads, of which there are few.
    """
    # Not a task: those are all cancelled when a loop is shut down.
    future: Future[Answer] = Future()
    thread = threading.Thread(target=_work, args=(future, work), name="publishing", daemon=True)
    thread.start()
    waited = asyncio.wrap_future(future)
    cancelled = False
    while not waited.done():
        try:
            await asyncio.wait({waited})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        waited.exception()
        raise asyncio.CancelledError
    return waited.result()


def _work(future: Future[Answer], work: Callable[[], Answer]) -> None:
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait until it is set, so long at most."""
    # Before Python 3.12 `wait_for` loses a cancellation that comes as the event is set.
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiting}, timeout=None if seconds == inf else max(0.0, seconds))
    finally:
        waiting.cancel()


async def certain(
    zone: Zone,
    source: Source,
    clock: Callable[[], float],
    patience: float,
    *,
    removals: bool = True,
) -> None:
    """Wait, so long (seconds) at most, until nothing is in doubt and who is unhealthy may go.

    Without `removals` the latter is of no interest: nothing is withdrawn anywhere.
    """
    end = clock() + patience
    while (now := clock()) < end:
        soon = zone.due() if removals else None
        waits = soon is not None and soon <= min(end, now + zone.settings.removal_delay)
        # Whom nobody can ask nobody waits for.
        if not waits and (not zone.doubt or zone.doubt.endswith(UNASKED)):
            return
        source.changed.clear()
        await wait(source.changed, (soon if waits and soon is not None else end) - now)
        source.feed(zone, clock())
        zone.wake(clock())


def log_line(text: str) -> None:
    """Tell how far a push is in the log."""
    log.info("%s", text)


@dataclass
class Tools:
    """`audit` adds a line, and may block; `round` is called after each, at any target.

    `progress` is told, of pushes that take long, how far they are.
    """

    audit: Callable[[str], None] = lambda text: None
    round: Callable[[], None] = lambda: None
    progress: Callable[[str], None] = log_line
    clock: Callable[[], float] = boot_time
    wall: Callable[[], float] = time.time
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = in_thread
    alarms: Alarms = field(default_factory=Alarms)
