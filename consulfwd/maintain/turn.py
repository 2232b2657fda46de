"""One that is taken out, worked on, and put back, whatever happens meanwhile.

What belongs here: those steps in their order, and the way back from each. Must not know: who else
has a turn, locks.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from consulfwd.errors import ConsulError
from consulfwd.locking.command import Command, Ended
from consulfwd.maintain import mark as marks
from consulfwd.maintain.instances import Instance, Unit
from consulfwd.maintain.journal import Out
from consulfwd.maintain.mark import Mark
from consulfwd.maintain.requests import Denied, Requests
from consulfwd.maintain.surely import surely
from consulfwd.maintain.waiting import Waiting
from consulfwd.maintain.wanted import LATE, Event, Stopped, Tell, Times, Wanted
from consulfwd.words import duration, printable

# So long (seconds) putting back is tried, and how often it is looked after who is out.
PATIENCE, LOOK = 30.0, 1.0


class Runs(Protocol):
    """What of a `locking.command.Command` is needed."""

    async def start(self, environ: Mapping[str, str], until: float) -> int:
        """Start it."""

    async def wait(self) -> Ended:
        """Return how it ended."""

    async def end(self, number: int = signal.SIGTERM) -> Ended:
        """End it."""


Commands = Callable[[Sequence[str], float], Runs]


class Turn:
    """One unit.

    `note` keeps in the journal who is out, from before it is until it surely is not any more, and
    whether it is to stay so.
    """

    def __init__(
        self,
        wanted: Wanted,
        mark: Mark,
        taken: Mark | None,
        waiting: Waiting,
        requests: Requests,
        note: Callable[[Out | None, bool], None],
        tell: Tell,
        times: Times,
        *,
        commands: Commands = Command,
    ) -> None:
        self.unit = waiting.unit
        self.out = out_of(self.unit)
        self._wanted = wanted
        self._mark = mark
        self._runs = {mark.run} | ({taken.run} if taken is not None else set())
        self._taken = taken
        self._waiting = waiting
        self._requests = requests
        self._note = note
        self._told = tell
        self._times = times
        self._commands = commands
        self._back: asyncio.Task[None] | None = None
        # By which signal a command is ended that is to stop.
        self.signal: int = signal.SIGTERM

    async def run(self, environ: Mapping[str, str], instances: Sequence[Instance]) -> None:
        """Do it all. Raises Stopped, ConsulError, StartError; whatever it is, it is put back."""
        until = self._times.boot() + self._wanted.limit
        await self._waiting.before(instances)
        self._note(self.out, False)
        back = True
        try:
            await self._take_out()
            await self._waiting.unnamed(until, self._wanted.settle)
            try:
                await self._work(environ, until)
            except Stopped:
                back = not self._wanted.leave_out
                raise
            await self._waiting.well(until, self._wanted.recheck)
            self._tell("well", "is well")
        finally:
            if back:
                await surely(self._put_back(), self._backing)
            else:
                self._note(self.out, True)
                hint = "is left out (--leave-out); consulfwd maintain --back puts it back"
                self._tell("left", hint, bad=True)

    def abandon(self) -> None:
        """Do not put it back, where that is what is done now: the next run does."""
        if self._back is not None:
            self._back.cancel()

    def _backing(self, task: asyncio.Task[None]) -> None:
        self._back = task

    async def _put_back(self) -> None:
        name = str(self.unit)
        await put_back(self.out, name, self._runs, self._requests, self._told, self._times)
        self._note(None, False)

    async def _take_out(self) -> None:
        if self._taken is not None:
            self._tell("out", f"is out already, by consulfwd maintain on {self._taken.host}")
            return
        # One that was sent and is not waited for may take effect after it was looked for.
        reason = self._mark.reason(self._wanted.reason)
        await surely(self._requests.switch(self.out, reason))
        # The agent says nothing of a maintenance that was there before.
        said = await self._requests.reason(self.out)
        found = marks.read(said)
        if found is None or found.run not in self._runs:
            raise Stopped(f"{self.unit} was taken out by somebody else just now: {_shown(said)}")
        self._tell("out", "taken out; waits until nobody names it")

    async def _work(self, environ: Mapping[str, str], until: float) -> None:
        words = self._wanted.command
        command = self._commands(words, self._wanted.kill_after)
        self._waiting.failed.clear()
        begun = self._times.boot()
        await command.start({**environ, **told(self.unit)}, until)
        self._tell("started", f"runs {printable(words[0])}")
        guard = asyncio.ensure_future(self._guard())
        try:
            ended = await command.wait()
        except asyncio.CancelledError:
            await surely(command.end(self.signal))
            raise
        finally:
            guard.cancel()
            with suppress(asyncio.CancelledError):
                await guard
        took = duration(self._times.boot() - begun)
        code = ended.code if ended.code >= 0 else 128 - ended.code
        if ended.by == "time":
            raise Stopped(f"{self.unit}: the command was ended after all of --for ({took})", LATE)
        if code:
            raise Stopped(f"{self.unit}: the command has ended with {code} after {took}", code)
        self._tell("ended", f"the command has ended with 0 after {took}")

    async def _guard(self) -> None:
        """Have it stay out while the command runs: whoever registers it anew has it be named."""
        while True:
            await self._times.sleep(LOOK)
            with suppress(ConsulError):
                there = self._waiting.mine(await self._waiting.now())
                if not there or any(one.notes(self.unit.check) is not None for one in there):
                    continue
                if await self._requests.reason(self.out) is None:
                    reason = self._mark.reason(self._wanted.reason)
                    await surely(self._requests.switch(self.out, reason))
                    text = "its maintenance was ended by somebody else meanwhile: taken out again"
                    self._tell("again", text, bad=True)

    def _tell(self, name: str, text: str, *, bad: bool = False) -> None:
        fields = {"node": self.unit.node, "id": self.unit.key[1]}
        self._told(Event(name, f"{self.unit}: {text}", fields, bad))


def out_of(unit: Unit) -> Out:
    """Return a unit as it is noted."""
    return Out(unit.node, unit.node_address, unit.key[1])


def told(unit: Unit) -> dict[str, str]:
    """Return what a command's environment tells of whom it is to work on."""
    found = {"MAINTAIN_NODE": unit.node, "MAINTAIN_NODE_ADDRESS": unit.node_address}
    if not unit.whole:
        one = unit.instances[0]
        found |= {
            "MAINTAIN_SERVICE": one.service,
            "MAINTAIN_ID": one.id,
            "MAINTAIN_ADDRESS": one.address,
            "MAINTAIN_PORT": str(one.port),
        }
    return found


async def put_back(
    out: Out, name: str, runs: set[str], requests: Requests, tell: Tell, times: Times
) -> None:
    """End the maintenance of one if it is of these runs. Raises Stopped where that fails."""
    until = times.boot() + PATIENCE
    fields = {"node": out.node, "id": out.id}
    while True:
        try:
            said = await requests.reason(out)
            found = marks.read(said)
            if said is None:
                tell(Event("back", f"{name}: is not in maintenance any more", fields))
            elif found is None or found.run not in runs:
                text = f"{name}: is in maintenance by somebody else, and left so: {_shown(said)}"
                tell(Event("left", text, fields, bad=True))
            else:
                await requests.switch(out, None)
                tell(Event("back", f"{name}: put back", fields))
            return
        except ConsulError as error:
            if isinstance(error, Denied) or times.boot() >= until:
                hint = "it stays out until consulfwd maintain --back, or the next run"
                raise Stopped(f"{name}: could not be put back: {error}; {hint}", 3) from None
            text = f"{name}: cannot be put back yet: {error}"
            tell(Event("waits", text, fields, bad=True))
            await times.sleep(1.0)


def _shown(reason: str | None) -> str:
    return printable((reason or "no reason is given")[:200])
