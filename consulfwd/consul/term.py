"""One time that a lock is held: what may be done in it, and until when.

What belongs here: the answer, for whoever works meanwhile, on the event loop or in threads. Must
not know what is done.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable

from consulfwd.consul.lock import Held, Lock
from consulfwd.consul.session import Session

# So long (seconds) is asked whether the lock is held, by `Term.may`.
MAY_S = 6.0


class Term:
    """One time that the lock is held. `number` and `modify_index` are those of `lock.Held`."""

    def __init__(self, lock: Lock, held: Held, session: Session, since: float) -> None:
        self.key = lock.key
        self.number, self.modify_index = held
        self.session = session.id
        self.since = since
        # Set once nothing may be done any more, whoever said so.
        self.over = asyncio.Event()
        # Called each time that `until` moves on.
        self.renewed: Callable[[], None] = lambda: None
        self._lock = lock
        self._session = session
        self._ending = ""
        self._loop = asyncio.get_running_loop()

    @property
    def until(self) -> float:
        """Until when the lock is surely held, by the clock of `session.boot_time`."""
        return self._session.until

    def why(self) -> str:
        """Return why nothing may be done any more, "" if it may: by the clock, asking nobody.

        May be called from any thread.
        """
        return self._ending or self.lost

    @property
    def lost(self) -> str:
        """Why the lock is not held any more, "" if it is: also by one that is to stop."""
        return f"the lock is lost: {said}" if (said := self._lock.missing) else ""

    async def check(self) -> str:
        """Return the same after having asked Consul."""
        if self._ending:
            return self._ending
        said = await self._lock.check()
        return self.why() or said

    def may(self) -> str:
        """Return the same as `check`, from a thread that may block; not from the event loop's."""
        if why := self.why():
            return why
        asking = self.check()
        try:
            asked = asyncio.run_coroutine_threadsafe(asking, self._loop)
        except RuntimeError:
            asking.close()
            return "this program is ending"
        try:
            why = asked.result(MAY_S)
        except concurrent.futures.TimeoutError:
            asked.cancel()
            why = f"it is not known within {MAY_S:g} s whether the lock is held"
        except Exception as error:
            why = f"it is not known whether the lock is held: {error!r}"
        return why or self.why()

    def end(self, why: str) -> None:
        """Nothing may be done any more, and others get the lock; from the event loop."""
        self._ending = self._ending or why
        self.over.set()
