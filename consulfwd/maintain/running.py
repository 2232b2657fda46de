"""One run: what an earlier one left is taken up, the locks are had, and one after the other is out.

What belongs here: the order of all that, and what is kept in the journal. What is done with one is
in `turn`, what is decided in `plan`. Must not know options.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from consulfwd.config import Recursor, Settings
from consulfwd.locking.command import Command
from consulfwd.maintain import plan
from consulfwd.maintain.asked import PATIENCE, Asking, Dns, records
from consulfwd.maintain.holding import Holding, free
from consulfwd.maintain.instances import Unit
from consulfwd.maintain.journal import Book, Journal, Out, stem
from consulfwd.maintain.mark import Mark
from consulfwd.maintain.recovering import TAKEN_UP, clear, others
from consulfwd.maintain.requests import Requests
from consulfwd.maintain.selecting import Selected, select
from consulfwd.maintain.surely import surely
from consulfwd.maintain.turn import Commands, Turn, out_of, put_back
from consulfwd.maintain.waiting import Waiting
from consulfwd.maintain.wanted import BUSY, Event, Stopped, Tell, Times, Wanted
from consulfwd.words import moment

# How often (seconds) is looked whether another run on this host is over.
_LOOK = 0.2


class Running:
    """One run, from the beginning to its end."""

    def __init__(
        self,
        wanted: Wanted,
        settings: Settings,
        folder: Path,
        environ: Mapping[str, str],
        tell: Tell,
        *,
        requests: Requests | None = None,
        servers: Sequence[Recursor] = (),
        dns: Dns = records,
        times: Times | None = None,
        commands: Commands = Command,
    ) -> None:
        self._wanted = wanted
        self._folder = folder
        self._environ = environ
        self._tell = tell
        self._times = times or Times()
        self._requests = requests or Requests(settings.consul.agents)
        views = self._requests.views(PATIENCE)
        self._asking = Asking(views, servers, settings.consul.domain, dns=dns)
        self._commands = commands
        self._turn: Turn | None = None
        self._stopped = False
        self._endings: list[asyncio.Task[None]] = []
        self._journal = Journal(os.urandom(8).hex(), "", "", (), 0.0)
        self._book: Book | None = None

    def stop(self, number: int) -> None:
        """Have a command that runs now be ended by this signal, once this is cancelled.

        The second time that this is called nothing is put back any more.
        """
        if self._turn is not None:
            self._turn.signal = number
            if self._stopped:
                self._turn.abandon()
        for task in self._endings if self._stopped else ():
            task.cancel()
        self._stopped = True

    async def planned(self) -> plan.Plan:
        """Return what would be done now; nothing is. Raises Refused, ConsulError, UsageError."""
        try:
            selected = await select(self._wanted, self._requests)
            return await self._plan(selected, ())
        finally:
            await self._requests.close()

    async def run(self) -> None:
        """Do it. Raises Stopped, ConsulError, UsageError, StartError, ApplyError."""
        holding = Holding(self._requests.several, self._wanted.prefix, self._tell, self._times)
        try:
            selected = await select(self._wanted, self._requests)
            book = self._book = Book(self._folder, stem(selected.kind, selected.name))
            until = self._times.boot() + self._wanted.wait
            await self._take(book, until)
            await others(self._folder, book, self._requests, self._tell, self._times)
            before = book.load()
            await self._begin(selected, before)
            session = await holding.begin()
            self._note(session=session, locks=holding.keys(selected.names))
            await holding.take(selected.names, max(until - self._times.boot(), 0.0))
            self._tell(Event("locked", f"{selected.name}: has the lock"))
            await self._turns(selected, before, holding)
            self._journal = replace(self._journal, done=())
        finally:
            try:
                await surely(holding.end(), self._endings.append)
                self._end()
            finally:
                if self._book is not None:
                    self._book.close()
                await self._requests.close()

    async def _take(self, book: Book, until: float) -> None:
        """Have the journal: no other run on this host goes on with the same."""
        told = False
        while not book.take():
            if self._times.boot() >= until:
                raise Stopped(f"{self._wanted.name}: another run on this host has it", BUSY)
            if not told:
                told = True
                text = f"{self._wanted.name}: waits for another run on this host"
                self._tell(Event("waits", text, {"name": self._wanted.name}))
            await self._times.sleep(_LOOK)

    async def _begin(self, selected: Selected, before: Journal | None) -> None:
        """Take up what the last run of the same left: its locks, its number, what it had done."""
        now = self._times.wall()
        self._journal = Journal(
            before.run if before is not None else self._journal.run,
            selected.kind,
            selected.name,
            self._wanted.command,
            now,
            out=before.out if before is not None else None,
        )
        if before is None:
            return
        await free(self._requests.several, before)
        self._note(session="", locks=())
        same = before.command == self._wanted.command and not self._wanted.anew
        if same and before.done and now - before.begun < TAKEN_UP:
            self._note(done=before.done, begun=before.begun)
            text = f"goes on where the run of {moment(before.begun)} ended (--anew: not)"
            done = {"done": [list(one) for one in before.done]}
            self._tell(Event("taken up", f"{selected.name}: {text}", done))

    async def _clear(self, journal: Journal) -> None:
        assert self._book is not None
        await clear(journal, self._book, self._requests, self._tell, self._times)
        self._out(None)

    async def _plan(self, selected: Selected, done: Sequence[tuple[str, str]]) -> plan.Plan:
        limits = plan.Limits(self._wanted.keep, self._wanted.force)
        return plan.make(
            selected.units,
            selected.services,
            limits,
            run=self._journal.run,
            now=self._times.wall(),
            done=done,
        )

    async def _turns(
        self, selected: Selected, before: Journal | None, holding: Holding
    ) -> None:
        # Others may have worked on it while the lock was waited for.
        selected = await select(self._wanted, self._requests, selected)
        if self._wanted.back:
            await self._all_back(selected)
            return
        try:
            made = await self._plan(selected, self._journal.done)
        except plan.Refused as refused:
            await self._stray(selected, before, ())
            raise Stopped(str(refused), BUSY if refused.busy else 1) from None
        await self._stray(selected, before, [one.unit for one in made.turns])
        for unit, why in made.left:
            self._tell(Event("left", f"{unit}: left alone: {why}", bad=True))
        if made.left and not made.turns and not made.done:
            raise Stopped("; ".join(why for _, why in made.left))
        for unit in made.done:
            self._tell(Event("done", f"{unit}: was done by the run before"))
        for number, one in enumerate(made.turns, 1):
            await self._one(one, selected, holding, number, len(made.turns))
        count = len(made.turns)
        text = f"{selected.name}: {count} done" + (f", {len(made.left)} left" if made.left else "")
        self._tell(Event("end", text, {"done": count, "left": len(made.left)}))

    async def _one(
        self, one: plan.Turn, selected: Selected, holding: Holding, number: int, of: int
    ) -> None:
        """Have one its turn, as it is now. Raises Stopped."""
        if number > 1:
            selected = await select(self._wanted, self._requests, selected)
            found = {unit.key: unit for unit in selected.units}.get(one.unit.key)
            if found is None:
                self._tell(Event("gone", f"{one.unit}: is not registered any more", bad=True))
                return
            try:
                limits = plan.Limits(self._wanted.keep, self._wanted.force)
                taken = plan.owner(
                    found, limits, run=self._journal.run, now=self._times.wall()
                )
            except plan.Refused as refused:
                if refused.busy:
                    raise Stopped(str(refused), BUSY) from None
                self._tell(Event("left", f"{found}: left alone: {refused}", bad=True))
                return
            one = plan.Turn(found, taken)
            few = plan.too_few(found, selected.services, self._wanted.keep)
            if few and taken is None and not self._wanted.force:
                raise Stopped(few)
        if why := await holding.check():
            raise Stopped(f"{one.unit}: not taken out: {why}", BUSY)
        until = self._times.wall() + self._wanted.limit
        mark = Mark(self._journal.run, socket.gethostname(), until)
        waiting = Waiting(one.unit, self._requests, self._asking, self._tell, self._times)
        turn = self._turn = Turn(
            self._wanted, mark, one.taken, waiting, self._requests, self._out, self._tell,
            self._times, commands=self._commands,
        )  # fmt: skip
        instances = [each for found in selected.services.values() for each in found]
        environ = {"MAINTAIN_TURN": str(number), "MAINTAIN_TURNS": str(of)}
        try:
            await turn.run({**self._environ, **environ}, instances)
        finally:
            self._turn = None
        self._note(done=(*self._journal.done, one.unit.key))
        if missing := await waiting.named():
            text = f"{one.unit}: is put back and not named again: {', '.join(missing)}"
            if number < of:
                raise Stopped(text)
            self._tell(Event("unseen", text, {"by": list(missing)}, bad=True))
            return
        self._tell(Event("named", f"{one.unit}: is named again by all"))

    async def _stray(
        self, selected: Selected, before: Journal | None, units: Sequence[Unit]
    ) -> None:
        """Put back who was left out before and has no turn now."""
        if before is None or before.out is None:
            return
        if before.out not in [out_of(one) for one in units]:
            await self._clear(before)

    async def _all_back(self, selected: Selected) -> None:
        """Put back all that runs of ours left out: of this host, or whose time is over."""
        count = 0
        if self._journal.out is not None:
            await self._clear(self._journal)
            count = 1
            selected = await select(self._wanted, self._requests, selected)
        limits = plan.Limits(force=self._wanted.force)
        for unit in selected.units:
            try:
                taken = plan.owner(unit, limits, run=self._journal.run, now=self._times.wall())
            except plan.Refused as refused:
                self._tell(Event("left", f"{unit}: left alone: {refused}", bad=True))
                continue
            if taken is not None:
                await put_back(
                    out_of(unit), str(unit), {taken.run}, self._requests, self._tell, self._times
                )
                count += 1
        self._tell(Event("end", f"{selected.name}: {count} put back", {"back": count}))

    def _out(self, out: Out | None, left: bool = False) -> None:
        self._note(out=out, left=left)

    def _note(self, **changes: object) -> None:
        """Have the journal say something else, on disk before it is so."""
        assert self._book is not None
        self._journal = replace(self._journal, **changes)  # type: ignore[arg-type]
        self._book.save(self._journal)

    def _end(self) -> None:
        """Keep of the journal what the next run has to know, if that is anything."""
        journal, book = self._journal, self._book
        if book is None or not journal.name:
            return
        if journal.out is None and not journal.done:
            book.remove()
        else:
            self._note(session="", locks=())
