"""What agents are shown and trusted with, as files say now: looked at again every few seconds.

What belongs here: when files are looked at, which reading of them is in use, what the log says of
that and of tokens that are refused. What is in the files is read in `identity`. Must not know:
requests, connections. Whoever shows the same on an event loop shares it: one look at the files, one
line in the log.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from consulfwd.config import Agent
from consulfwd.consul import identity
from consulfwd.consul.identity import Reading
from consulfwd.core.alarms import Alarms

# Called with whether it is the token that is another one.
Renewed = Callable[[bool], None]

log = logging.getLogger("consulfwd.consul")

# Between two looks (seconds) at the files; and where an agent refuses what is in use.
EVERY, AT_ONCE = 10.0, 1.0
# So long (seconds) a request waits for one.
PATIENCE = 5.0


class Shown:
    """One reading: a token ("" for none), and how TLS is spoken (None where it is not).

    It has no text of its own, and is not to get one: nothing that prints it may tell the token.
    """

    __slots__ = ("tls", "token")

    def __init__(self, token: str, tls: ssl.SSLContext | None) -> None:
        self.token = token
        self.tls = tls


class Identity:
    """What agents with the same settings are shown: `shown`, None where it was never to be had.

    `fault` says why not.
    """

    def __init__(
        self, agent: Agent, alarms: Alarms, clock: Callable[[], float], wake: Callable[[], None]
    ) -> None:
        self.shown: Shown | None = None
        self.fault = "what to show it was not read yet"
        files = [agent.ca_file, agent.cert_file, agent.key_file]
        self._token = Reading([agent.token_file], functools.partial(identity.token, agent), "")
        self._tls: Reading[ssl.SSLContext | None] = Reading(
            files, functools.partial(identity.tls, agent), None
        )
        self._parts: tuple[Reading[Any], ...] = (self._token, self._tls)
        self._where = str(agent.token_file or agent.token_variable or "")
        self._alarms = alarms
        self._clock = clock
        self._wake = wake
        self._renewed: list[Renewed] = []
        # Agents by name that do not know the token, and what they say.
        self._refusing: dict[str, str] = {}
        # Whether one that was refused has been replaced, and nobody has taken the new one yet.
        self._replaced = False
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def join(self, renewed: Renewed) -> None:
        """Call `renewed` whenever something else is to be shown; files are looked at meanwhile."""
        self._renewed.append(renewed)
        if self._timer is None and (self._where or self._tls.files):
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._due)

    def leave(self, renewed: Renewed, agent: str) -> bool:
        """Call that no more; return whether nobody is left who shows this to any agent."""
        self._renewed.remove(renewed)
        self._refusing.pop(agent, None)
        if self._renewed:
            return False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return True

    async def look(self, *, apart: float = 0.0) -> None:
        """Look at the files, unless that was done `apart` seconds ago; return once it is done.

        Where a file system hangs, what comes of it is taken later.
        """
        if self._looking is None and self._clock() - self._looked_at >= apart:
            self._begin()
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=PATIENCE)

    def refused(self, agent: str, why: str) -> None:
        """Note that an agent does not know the token."""
        self._replaced = False
        self._refusing[agent] = why
        self._tell_refused()

    def accepted(self, agent: str) -> None:
        """Note that an agent takes the token."""
        refused = self._refusing.pop(agent, None) is not None or self._replaced
        if not refused or self._refusing:
            return
        self._replaced = False
        if self._alarms.well(("refused", self._where)):
            log.info("the token of %s is accepted again", self._where)

    def faults(self) -> list[str]:
        """Return what is wrong now, for people."""
        found = [self._refusal()] if self._refusing else []
        if self.shown is not None:
            kept = "what was read before stays in use"
            found += [f"{part.fault}: {kept}" for part in self._parts if part.fault]
        return found

    def _due(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._due)
        if self._looking is None:
            self._begin()
        self._tell_refused()

    def _begin(self) -> None:
        self._looked_at = self._clock()
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        try:
            await asyncio.to_thread(self._read)
        finally:
            self._looking = None
        self._take()

    def _read(self) -> None:
        for part in self._parts:
            part.look()

    def _take(self) -> None:
        """Put into use what was read, and tell what could not be."""
        before = self.shown
        if before is None:
            self.fault = self._token.fault or self._tls.fault
            if not self.fault:
                # Nobody has been shown another one.
                self._show(token=False)
            return
        for part in self._parts:
            self._tell_fault(part)
        another = self._token.value != before.token
        if not another and self._tls.value is before.tls:
            return
        log.info("%s was read anew", f"the token of {self._where}" if another else "a certificate")
        if another and self._refusing:
            # That was the old one; who is not asked any more never says so of this one.
            self._refusing.clear()
            self._replaced = True
        self._show(token=another)

    def _show(self, *, token: bool) -> None:
        self.shown = Shown(self._token.value, self._tls.value)
        for renewed in list(self._renewed):
            renewed(token)
        self._wake()

    def _tell_fault(self, part: Reading[Any]) -> None:
        thing = ("unreadable", *part.files)
        if part.fault:
            if self._alarms.wrong(thing, self._clock()):
                log.warning("%s: what was read before stays in use", part.fault)
        elif self._alarms.well(thing):
            log.info("%s can be read again", ", ".join(map(str, part.files)))

    def _tell_refused(self) -> None:
        if self._refusing and self._alarms.wrong(("refused", self._where), self._clock()):
            new = "in the file is used within 10 s" if self._token.files else "needs a restart"
            log.warning("%s: was it revoked? A new one %s", self._refusal(), new)

    def _refusal(self) -> str:
        agent, why = next(reversed(self._refusing.items()))
        others = len(self._refusing) - 1
        who = f"agent {agent}" + (f" and {others} more" if others else "")
        return f"{who} refuse{'' if others else 's'} the token of {self._where}: {why}"


class Identities:
    """Those of one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._alarms = Alarms()
        self._found: dict[tuple[object, ...], Identity] = {}
        self._sleeping: set[asyncio.Future[None]] = set()

    def join(self, agent: Agent, renewed: Renewed) -> Identity:
        """Return what an agent is shown; `renewed` is called whenever that becomes another."""
        kind = _kind(agent)
        found = self._found.get(kind)
        if found is None:
            found = Identity(agent, self._alarms, self._clock, self._wake)
            self._found[kind] = found
        found.join(renewed)
        return found

    def leave(self, agent: Agent, renewed: Renewed) -> None:
        """Call that no more."""
        kind = _kind(agent)
        if self._found[kind].leave(renewed, agent.name):
            del self._found[kind]

    def faults(self) -> list[str]:
        """Return what is wrong now, for people."""
        return [fault for one in self._found.values() for fault in one.faults()]

    async def sleep(self, seconds: float) -> bool:
        """Sleep, but not past a renewal of anything shown; return whether there was one."""
        woken = asyncio.get_running_loop().create_future()
        self._sleeping.add(woken)
        try:
            await asyncio.wait({woken}, timeout=max(seconds, 0.0))
            return woken.done()
        finally:
            self._sleeping.discard(woken)

    def _wake(self) -> None:
        for woken in self._sleeping:
            if not woken.done():
                woken.set_result(None)


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Identities] = WeakKeyDictionary()


def here() -> Identities:
    """Return those of the running event loop."""
    return _by_loop.setdefault(asyncio.get_running_loop(), Identities())


async def sleep(seconds: float) -> None:
    """Sleep, but not past a renewal: whoever was refused asks again at once."""
    await here().sleep(seconds)


def _kind(agent: Agent) -> tuple[object, ...]:
    """Return what agents have in common that are shown the same."""
    files = agent.ca_file, agent.cert_file, agent.key_file
    return agent.http_scheme, *files, agent.token_file, agent.token_variable
