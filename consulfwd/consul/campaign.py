"""Backup until the lock is held, active while it is, and backup again: one program among several.

What belongs here: the order of a session, its lock and what is led meanwhile, and what the log says
of it. Must not know what is led. A session that is lost is no reason to end: there is another one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from consulfwd.consul.holder import Holder, here, holder_of
from consulfwd.consul.kv import Connection, Entry
from consulfwd.consul.lock import Held, Lock
from consulfwd.consul.session import Session, boot_time
from consulfwd.consul.stages import TABLE, Event, Outcome, State
from consulfwd.consul.term import Term
from consulfwd.core.alarms import Alarms
from consulfwd.errors import ConsulError, ConsulfwdError
from consulfwd.words import duration

log = logging.getLogger("consulfwd.lock")

# Before another session is made (seconds), where the last one was lost.
ANEW = 0.5
# So long (seconds) it may take to tell Consul that a lock, or a session, is not needed any more.
GIVING_UP_S = 3.0


@dataclass(frozen=True)
class Form:
    """What a campaign is for: the lock's prefix, who one is, and all that a session is made of.

    `retry` is how long (seconds) after a failure it is tried again, and how often one looks who
    holds the lock where nothing tells of a change.
    """

    prefix: str
    who: str = field(default_factory=here)
    ttl: float = 15.0
    lock_delay: float = 15.0
    retry: float = 20.0
    checks: Sequence[str] = ()


Lead = Callable[[Term], Awaitable[None]]


class Campaign:
    """Leads while the lock is held, by one session after the other.

    `changed` is called whenever the state, or what is said of it, is another one.
    """

    def __init__(
        self,
        connection: Connection,
        form: Form,
        *,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = boot_time,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.form = form
        self.state = State.BACKUP
        self.holder: Holder | None = None
        self.fault = ""
        self._connection = connection
        self._changed = changed
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._alarms = Alarms()
        self._stop = asyncio.Event()
        self._term: Term | None = None
        self._told: tuple[str, float] | None = None
        self._since = 0.0

    @property
    def heard(self) -> bool:
        """Whether Consul has said who holds the lock."""
        return self._told is not None or self.state is not State.BACKUP

    def status(self) -> str:
        """Return one line for people: which state, and who holds the lock."""
        found = f"{self.state.value}: {self._of_lock()}"
        return f"{found}; {self.fault}" if self.fault else found

    def stop(self) -> None:
        """Have it end: what is led is cancelled, then the lock given back."""
        self._stop.set()

    async def run(
        self, lead: Lead, *, wait: float = float("inf"), once: bool = False
    ) -> Outcome:
        """Lead whenever the lock is held, until `stop`, or until what is led ends by itself.

        What is led is cancelled when it may not go on, and waited for: it may take what it takes,
        as long as it does nothing any more (see `Term.why`). A ConsulfwdError in it is told, and
        others get the lock; any other error ends the campaign. With `once` a lock that is lost ends
        it, too. For the lock it is waited `wait` seconds at most.

        Raises ConsulError where that time is over and Consul could not be asked. It may be run
        again once it has ended by an error.
        """
        ends = self._clock() + wait
        # Whom an error of ours ended may be begun anew.
        self.state = State.BACKUP
        try:
            while not self._stop.is_set():
                outcome = await self._session(lead, ends, once)
                if outcome is not None:
                    return outcome
            return Outcome.STOPPED
        finally:
            if self.state is not State.BACKUP:
                self._now(Event.CALM)
            self._now(Event.STOP)

    async def _session(self, lead: Lead, ends: float, once: bool) -> Outcome | None:
        """Campaign by one session; None is to go on by another one."""
        session = Session(
            self._connection,
            ttl=self.form.ttl,
            lock_delay=self.form.lock_delay,
            checks=self.form.checks,
            name=self.form.who,
            renewed=self._renewed,
            clock=self._clock,
            sleep=self._sleep,
            rng=self._rng,
        )
        lock = Lock(
            self._connection,
            session,
            self.form.prefix,
            value=self._value,
            wait=self.form.retry,
            seen=self._seen,
            clock=self._clock,
            sleep=self._sleep,
            rng=self._rng,
        )
        pause = ANEW
        try:
            held = await self._until_stop(self._get(session, lock, ends))
            if held is None:
                return None if self._stop.is_set() else Outcome.LATE
            self._well()
            return await self._hold(lead, lock, held, session, once)
        except ConsulfwdError as error:
            if self._clock() >= ends and self._term is None and self.state is State.BACKUP:
                raise
            # Of a session that is lost another one is made at once.
            if not session.id or session.there:
                pause = self.form.retry
            self._failed(error)
        finally:
            await _within(GIVING_UP_S, session.end())
        await self._wait(min(pause * self._rng.uniform(0.75, 1.0), max(ends - self._clock(), 0.0)))
        return None

    async def _get(self, session: Session, lock: Lock, ends: float) -> Held | None:
        await session.begin()
        return await lock.acquire(ends - self._clock())

    async def _until_stop(self, work: Awaitable[Held | None]) -> Held | None:
        """Wait for the lock, the end of the time, or for being stopped."""
        getting = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({getting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if not getting.done():
                getting.cancel()
                await asyncio.gather(getting, return_exceptions=True)
        return None if getting.cancelled() else getting.result()

    async def _hold(
        self, lead: Lead, lock: Lock, held: Held, session: Session, once: bool
    ) -> Outcome | None:
        term = self._term = Term(lock, held, session, self._since)
        self._now(Event.HELD)
        led = asyncio.ensure_future(lead(term))
        events = lock.lost, self._stop, term.over
        lost, stopped, over = waiting = [asyncio.ensure_future(one.wait()) for one in events]
        try:
            await asyncio.wait({led, *waiting}, return_when=asyncio.FIRST_COMPLETED)
            event, why = Event.CALM, "what was led has ended"
            if lost.done():
                event, why = Event.LOST, f"the lock is lost: {lock.why}"
            elif stopped.done():
                event, why = Event.STOP, "this program is to stop"
            elif over.done():
                # Whoever is led found out what the lock does not say: others are to have it.
                event, why = Event.LOST, term.why()
            self._end(term, event, why)
            led.cancel()
            await asyncio.wait({led})
        except asyncio.CancelledError:
            # Whoever does not wait for the end of what is led gives it up with all that it holds.
            self._end(term, Event.STOP, "this program is to stop")
            led.cancel()
            await asyncio.gather(led, return_exceptions=True)
            raise
        finally:
            for one in waiting:
                one.cancel()
            await _within(GIVING_UP_S, self._give_back(lock))
            self._term = None
            self._now(Event.CALM)
        failed = None if led.cancelled() else led.exception()
        if failed is not None:
            raise failed
        if event is Event.CALM:
            return Outcome.LED
        return Outcome.LOST if once and event is Event.LOST else None

    def _end(self, term: Term, event: Event, why: str) -> None:
        term.end(why)
        if event is Event.LOST:
            log.warning("%s: no longer active: %s", term.key, why)
        self._now(event)

    async def _give_back(self, lock: Lock) -> None:
        try:
            await lock.release()
        except ConsulError as error:
            # Its session is ended next; else it ends by itself.
            log.warning("%s: not given back: %s", lock.key, error)
        else:
            if lock.why != "it was released":
                await lock.give_back()

    def _now(self, event: Event) -> None:
        self.state = TABLE[self.state, event]
        if self.state is State.ACTIVE and self._term is not None:
            self.holder = Holder(self.form.who, self._term.since)
            log.info("%s: active, number %d", self._term.key, self._term.number)
        elif event is Event.CALM:
            self.holder = None
        self._changed()

    def _value(self) -> bytes:
        """Return what the key says of us, from now on."""
        self._since = self._wall()
        return Holder(self.form.who, self._since).value()

    def _seen(self, entry: Entry | None) -> None:
        """Note who holds the lock while we wait for it."""
        self._well()
        self.holder = holder_of(entry)
        told = ("", 0.0)
        if entry is not None and self.holder is not None:
            told = entry.session, self.holder.since
        if told != self._told:
            self._told = told
            log.info("%s: backup: %s", self.form.prefix, self._of_lock())
            self._changed()

    def _of_lock(self) -> str:
        prefix = self.form.prefix.strip("/")
        return f"{self.holder} holds {prefix}" if self.holder else f"nobody holds {prefix}"

    def _renewed(self) -> None:
        if self._term is not None:
            self._term.renewed()

    def _failed(self, error: ConsulfwdError) -> None:
        self.fault = str(error)
        if self._alarms.wrong(self.form.prefix, self._clock(), self.fault):
            again = duration(self.form.retry)
            log.error("%s: not active, tried again in %s: %s", self.form.prefix, again, error)
        self._changed()

    def _well(self) -> None:
        if self.fault:
            self.fault = ""
            self._changed()
        if self._alarms.well(self.form.prefix):
            log.info("%s: Consul answers again", self.form.prefix)

    async def _wait(self, seconds: float) -> None:
        """Sleep, until stopped."""
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({sleeping, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopped.cancel()


async def _within(seconds: float, work: Awaitable[None]) -> None:
    # Before Python 3.12 `wait_for` loses a cancellation that comes as work ends.
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled():
        task.result()
