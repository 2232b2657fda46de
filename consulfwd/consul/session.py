"""A session of Consul's: kept alive while it is needed, and given up before Consul gives it up.

What belongs here: creating it, renewing it, destroying it; until when it is surely there. Must not
know: what hangs on it (see `lock`).

Consul ends a session its TTL after it took the last renewal at the soonest, mostly twice as long.
We count from when we sent that, by a clock that goes on while the host sleeps: whoever goes by it
has stopped before anybody else may begin, whatever was lost on the way. Of a virtual machine that
is paused with its clocks nobody knows this: what then protects is `lock.Held`.

https://developer.hashicorp.com/consul/docs/dynamic-app-config/sessions
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Literal

from consulfwd.consul.kv import Connection
from consulfwd.errors import ConsulError

Behavior = Literal["release", "delete"]

TIMEOUT = 5.0
# Renewed after a part of the TTL, up to half of it; after a failure so soon (a part of it too).
EARLIEST, LATEST = 0.4, 0.5
AGAIN = 1 / 20
# A sleep of the event loop may last longer than that of the clock: the host slept, too.
STEP = 1.0


def boot_time() -> float:
    """Return the time in seconds by a clock that goes on while the host sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Lease:
    """Until when a session is surely there, and when it is to be renewed. Pure."""

    def __init__(self, ttl: float, rng: random.Random) -> None:
        self.until = self.renew_at = float("-inf")
        self._ttl = ttl
        self._rng = rng

    def renewed(self, sent: float) -> None:
        """Note that Consul took a renewal, which was sent then."""
        self.until = max(self.until, sent + self._ttl)
        self.renew_at = sent + self._ttl * self._rng.uniform(EARLIEST, LATEST)

    def failed(self, now: float) -> None:
        """Note that it took none, or may not have."""
        self.renew_at = now + self._ttl * AGAIN * self._rng.uniform(0.5, 1.0)

    def left(self, now: float) -> float:
        """Return for how long (seconds) it is surely there yet; 0 and less is no more."""
        return self.until - now


class Session:
    """One session, from `begin` until it is lost or ended; then it is of no further use.

    `ttl` and `lock_delay` are in seconds; Consul allows a `ttl` of 10 s to 24 h. It ends as well
    with any of `checks` of its node; without any, a network that is away for less than the `ttl`
    does not end it. `lost` is set when it is lost or ended, and `why` says how. `renewed` is called
    each time that `until` moves on.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        ttl: float = 15.0,
        lock_delay: float = 15.0,
        behavior: Behavior = "release",
        checks: Sequence[str] = (),
        name: str = "consulfwd",
        renewed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = boot_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        self.id = ""
        self.ttl = ttl
        self.lost = asyncio.Event()
        self._connection = connection
        self._form = {
            "Name": name,
            "TTL": f"{ttl * 1000:.0f}ms",
            "LockDelay": f"{lock_delay * 1000:.0f}ms",
            "Behavior": behavior,
            # By both names: an empty list under one alone stands for what is usual, serfHealth.
            "Checks": list(checks),
            "NodeChecks": list(checks),
        }
        self._renewed = renewed
        self._clock = clock
        self._sleep = sleep
        self._lease = Lease(ttl, rng or random.Random())
        self._failure = ""
        self._why = "it was not begun"
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def there(self) -> bool:
        """Whether it is surely there: to be looked at before each thing that depends on it."""
        return not self.lost.is_set() and self._lease.left(self._clock()) > 0

    @property
    def why(self) -> str:
        """How it was lost or ended, also where nothing has run yet since; "" while it is there."""
        return self._why or ("" if self.there else self._expired())

    @property
    def until(self) -> float:
        """Until when it is surely there by the clock, if it is not lost before."""
        return self._lease.until

    async def begin(self) -> None:
        """Create it, once. Raises ConsulError; one that was created unseen ends by its TTL.

        One that took its whole TTL to come is none: Consul may have ended it already.
        """
        sent = self._clock()
        body = json.dumps(self._form).encode()
        reply = await self._connection.put("/v1/session/create", body=body, timeout=TIMEOUT)
        parsed = reply.json()
        found = parsed.get("ID") if isinstance(parsed, dict) else None
        if not isinstance(found, str) or not found:
            raise ConsulError(reply.agent, 0, "the reply is not a session")
        self.id, self._why = found, ""
        self._lease.renewed(sent)
        if not self.there:
            what = f"the session came after its {self.ttl:g} s"
            self._lose(what)
            raise ConsulError(reply.agent, 0, what)
        self._renewed()
        for work in (self._keep(), self._expire()):
            task = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(self._done)
            self._tasks.append(task)

    async def end(self) -> None:
        """Destroy it, and with it what hangs on it, once who depends on it has stopped.

        Where that fails it ends by itself, after its TTL.
        """
        self._lose("it was ended")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.id:
            with suppress(ConsulError):
                await self._connection.put(f"/v1/session/destroy/{self.id}", timeout=TIMEOUT)

    async def _keep(self) -> None:
        """Renew it again and again."""
        while True:
            await self._until(self._lease.renew_at)
            sent = self._clock()
            if (left := self._lease.left(sent)) <= 0:
                break
            try:
                path = f"/v1/session/renew/{self.id}"
                await self._connection.put(path, timeout=min(TIMEOUT, left))
            except ConsulError as error:
                if error.status == 404:
                    self._lose("Consul has ended it")
                    return
                self._failure = str(error)
                self._lease.failed(self._clock())
            else:
                # What was given up is not taken up again: somebody may have gone by it.
                if self._lease.left(self._clock()) <= 0:
                    break
                self._failure = ""
                self._lease.renewed(sent)
                self._renewed()
        self._lose_expired()

    async def _expire(self) -> None:
        """Give it up when it is not surely there any more, whatever a renewal waits for."""
        while self._lease.left(self._clock()) > 0:
            await self._until(self._lease.until)
        self._lose_expired()

    def _lose_expired(self) -> None:
        self._lose(self._expired())

    def _expired(self) -> str:
        because = f": {self._failure}" if self._failure else ""
        return f"it was not renewed for {self.ttl:g} s{because}"

    async def _until(self, at: float) -> None:
        while (left := at - self._clock()) > 0:
            await self._sleep(min(left, STEP))

    def _lose(self, why: str) -> None:
        if self.lost.is_set():
            return
        self._why = why
        self.lost.set()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            context = {"message": "keeping a session failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
        # Whatever ended it: without both there is nobody who would give it up in time.
        self._lose("an error of consulfwd's own" if error else "nobody keeps it any more")
