"""A command run while a lock is held: backup until then, and backup again when it is lost.

What belongs here: what the command has to know, what its end means, what the service manager and
the log are told. How the lock is had is in `consul.campaign`, how the command is ended in time in
`keeper`. Must not know options.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from consulfwd.config import Agent
from consulfwd.consul.campaign import Campaign, Form
from consulfwd.consul.several import Several
from consulfwd.consul.stages import Outcome
from consulfwd.consul.term import Term
from consulfwd.errors import ConsulError, StartError
from consulfwd.locking.announcing import Announcing, Service
from consulfwd.locking.command import Command, Ended
from consulfwd.notify import Manager, Notifier
from consulfwd.words import duration

log = logging.getLogger("consulfwd.lock")

# What a command ends with that did not get its lock, or lost it (EX_TEMPFAIL of sysexits.h).
NOT_HELD = 75
# So long (seconds) before the lock may be another's the command is surely gone.
MARGIN = 0.5
# How long (seconds) the agent may take to take a service out, while the command ends.
_OUT_S = 2.0
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True)
class Wanted:
    """What is to be run, and how: the lock's prefix and session, the command. Times in seconds.

    A command that is to end has `kill_after` for it. The lock is waited for `wait` seconds at most;
    `once` ends all when it is lost; `service` is what the holder is registered as.
    """

    prefix: str
    words: Sequence[str]
    ttl: float = 15.0
    lock_delay: float = 15.0
    retry: float = 20.0
    checks: Sequence[str] = ()
    kill_after: float = 5.0
    wait: float = float("inf")
    once: bool = False
    service: Service | None = None


class Locking:
    """One command and its lock, until either is over."""

    def __init__(
        self,
        wanted: Wanted,
        agents: Sequence[Agent],
        environ: Mapping[str, str],
        notifier: Notifier,
    ) -> None:
        self._wanted = wanted
        self._environ = environ
        # Checks are those of the first agent's node: a session that has any is made there.
        self._agents = Several(agents[:1] if wanted.checks else agents)
        form = Form(
            wanted.prefix,
            ttl=wanted.ttl,
            lock_delay=wanted.lock_delay,
            retry=wanted.retry,
            checks=wanted.checks,
        )
        self._campaign = Campaign(self._agents, form, changed=self._changed)
        self._manager = Manager(notifier, self._campaign.status)
        self._ready = False
        self._command: Command | None = None
        self._heard = 0
        # How the command ended by itself, or by a signal that was passed on to it.
        self._ended: Ended | None = None
        self._late = False
        self._failed: StartError | None = None

    async def run(self) -> int:
        """Run the command whenever the lock is held; return what this program ends with.

        Raises ConsulError where the lock was not to be had in time because Consul could not be
        asked, StartError where the command cannot be run.
        """
        loop = asyncio.get_running_loop()
        for number in _ENDING:
            loop.add_signal_handler(number, self._stop, number)
        for number in _PASSED_ON:
            loop.add_signal_handler(number, self._pass_on, number)
        self._manager.begin()
        try:
            wanted = self._wanted
            outcome = await self._campaign.run(self._lead, wait=wanted.wait, once=wanted.once)
        finally:
            self._manager.close()
            await self._agents.close()
        if self._failed is not None:
            raise self._failed
        return self._code(outcome)

    def _code(self, outcome: Outcome) -> int:
        if outcome in (Outcome.LATE, Outcome.LOST):
            return NOT_HELD
        ended = self._ended
        if not self._heard and self._late and ended is None:
            return NOT_HELD
        # That it ended by the signal that was passed on to it is what was asked for.
        if self._heard and (ended is None or ended.code in (0, -self._heard)):
            # Whom a person ended at a terminal says so; SIGTERM is how a manager ends anything.
            return 0 if self._heard == signal.SIGTERM else 128 + self._heard
        if ended is None:
            return 0
        return ended.code if ended.code >= 0 else 128 - ended.code

    async def _lead(self, term: Term) -> None:
        """Run the command while the lock is held."""
        command = self._command = Command(self._wanted.words, self._wanted.kill_after)
        announcing = _Announced(self._agents, self._wanted, term)

        def renewed() -> None:
            command.until(self._until(term))
            announcing.renewed()

        term.renewed = renewed
        begun = asyncio.get_running_loop().time()
        ended: Ended | None = None
        try:
            pid = await command.start({**self._environ, **_told(term)}, self._until(term))
            log.info("%s: started %s (process %d)", term.key, self._wanted.words[0], pid)
            async with announcing:
                ended = await command.wait()
        except StartError as error:
            self._failed = error
            return
        except asyncio.CancelledError:
            ended = await command.end(self._heard or signal.SIGTERM)
            if self._heard:
                self._ended = ended
            raise
        finally:
            await announcing.end()
            self._command = None
            if ended is not None:
                took = duration(asyncio.get_running_loop().time() - begun)
                log.info("%s: the command has %s after %s", term.key, _how(ended), took)
        if ended.by == "itself":
            self._ended = ended
        else:
            self._late = True
            if self._wanted.once:
                self._campaign.stop()
            late = ended.by == "time"
            why = "the session was not renewed in time" if late else "the command's keeper is gone"
            raise ConsulError("consulfwd", 0, f"{term.key}: {why}")

    def _until(self, term: Term) -> float:
        """Return until when the command may run, with the time that its end may take."""
        return term.until - self._wanted.kill_after - MARGIN

    def _stop(self, number: int) -> None:
        self._heard = self._heard or number
        self._manager.stopping()
        self._campaign.stop()

    def _pass_on(self, number: int) -> None:
        if self._command is not None:
            self._command.pass_on(number)

    def _changed(self) -> None:
        if self._campaign.heard and not self._ready:
            self._ready = True
            self._manager.ready()
        else:
            self._manager.tell()


class _Announced:
    """The holder as a service, for as long as the command runs; nothing where none is wanted."""

    def __init__(self, agents: Several, wanted: Wanted, term: Term) -> None:
        self._term = term
        self._task: asyncio.Task[None] | None = None
        self._announcing: Announcing | None = None
        if wanted.service is not None:
            self._announcing = Announcing(agents.first, wanted.service, wanted.ttl)

    def renewed(self) -> None:
        if self._announcing is not None:
            self._announcing.renewed()

    async def __aenter__(self) -> None:
        if self._announcing is not None:
            self._task = asyncio.ensure_future(self._announcing.keep(self._term))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # It is taken out while the command ends, and not only after that.
        if self._task is not None and self._announcing is not None:
            self._task = asyncio.ensure_future(self._take_out(self._announcing, self._task))

    async def _take_out(self, announcing: Announcing, keeping: asyncio.Task[None]) -> None:
        # A registration on its way must not come after that.
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await announcing.end()

    async def end(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_OUT_S)
            self._task.cancel()


def _told(term: Term) -> dict[str, str]:
    """Return what the command's environment tells; `consul lock` says the last one alone."""
    return {
        "CONSUL_LOCK_KEY": term.key,
        "CONSUL_LOCK_SESSION": term.session,
        "CONSUL_LOCK_NUMBER": str(term.number),
        "CONSUL_LOCK_MODIFY_INDEX": str(term.modify_index),
        "CONSUL_LOCK_HELD": "true",
    }


def _how(ended: Ended) -> str:
    if ended.by == "time":
        return "been ended, as the session was not renewed in time"
    if ended.code >= 0:
        return f"ended with {ended.code}"
    try:
        return f"been ended by {signal.Signals(-ended.code).name}"
    except ValueError:
        return f"been ended by signal {-ended.code}"
