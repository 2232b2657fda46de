"""The tasks of failover records: checks, what several checkers tell each other, memory on disk.

What belongs here: which tasks there are, and that they follow other settings without losing a turn.
How a check is made is passed in; what is found goes to the book.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from consulfwd.config import Agent
from consulfwd.config.failover import CheckerSettings, FailoverSettings
from consulfwd.consul.several import Asked, Several
from consulfwd.failover.book import Book
from consulfwd.failover.keeping import InThread, Keeping
from consulfwd.failover.model import Address, Check, Outcome, Result
from consulfwd.failover.votes import Votes

log = logging.getLogger("consulfwd.failover")

MakeCheck = Callable[[str, FailoverSettings], Check]
# A check begins this part of its interval sooner at most, so that not all keep in step.
JITTER = 0.1
# Between two looks at what is due by time alone (seconds).
TURN = 1.0


class _Target(NamedTuple):
    name: str
    address: Address
    settings: FailoverSettings


def checker_name(checker: CheckerSettings, host: str) -> str:
    """Return who this host is among `checkers`, "" where it only follows them, or there are none.

    Unless it has a name of its own, that is the host's, or the first label of it: one file of
    settings does for those who check, and for all others.
    """
    if not checker.checks or not checker.checkers:
        return ""
    names = [checker.name] if checker.name is not None else [host, host.partition(".")[0]]
    return next((one for one in names if one in checker.checkers), "")


class Running:
    """All that runs for a book: make it, `start` it, have it `use` another book, `stop` it.

    `make_check` makes the check of a record. What is remembered is restored by `start`, before
    anything is checked, and written down unless `writes` is false. All of it belongs to one event
    loop.
    """

    def __init__(
        self,
        book: Book,
        make_check: MakeCheck,
        agents: Sequence[Agent],
        *,
        environ: Mapping[str, str] = os.environ,
        host: str = "",
        rng: random.Random | None = None,
        connect: Callable[[Sequence[Agent]], Asked] = Several,
        in_thread: InThread = asyncio.to_thread,
        writes: bool = True,
    ) -> None:
        self.book = book
        self._make_check, self._agents, self._connect = make_check, agents, connect
        self._in_thread, self._writes = in_thread, writes
        self._environ, self._host = environ, host or socket.gethostname()
        self._rng = rng or random.Random()
        self._process = secrets.token_hex(8)
        self._checks: dict[_Target, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._places = asyncio.Semaphore(book.checker.parallel)
        self._keeping: Keeping | None = None
        self._votes: Votes | None = None
        self._connection: Asked | None = None
        # What of it decides who runs beside the checks.
        self._by: object = None
        self._role = ""

    @property
    def me(self) -> str:
        """Who this host is among the checkers; "": it follows them, or there are none."""
        return checker_name(self.book.checker, self._host)

    @property
    def checks_here(self) -> bool:
        """Whether this host checks."""
        return bool(self.me) or not self.book.checker.checkers

    async def start(self) -> None:
        """Restore what is remembered and begin."""
        self._keeping = self._kept(self.book.checker)
        memory = await self._keeping.load()
        if memory is not None:
            self.book.restore(memory)
        self._begin()

    async def use(
        self, book: Book, make_check: MakeCheck, agents: Sequence[Agent]
    ) -> None:
        """Go on with another book, which took over what was known.

        Checks whose settings are the same keep their turn.
        """
        before = self.book.checker
        # What is found from now on goes there.
        self.book, self._make_check, self._agents = book, make_check, agents
        await self._end_beside(keep=(book.checker, tuple(agents)) == self._by)
        if book.checker.parallel != before.parallel:
            self._places = asyncio.Semaphore(book.checker.parallel)
        if self._keeping is None or book.checker.state != before.state:
            self._keeping = self._kept(book.checker)
        self._begin()

    async def stop(self) -> None:
        """End all of it, and write down what is known."""
        checks = list(self._checks.values())
        self._checks.clear()
        await _ended(checks)
        await self._end_beside(keep=False)
        if self._keeping is not None and self._writes:
            await self._keeping.save(self.book)

    def _kept(self, checker: CheckerSettings) -> Keeping:
        return Keeping(checker.state, self._environ, in_thread=self._in_thread)

    def _begin(self) -> None:
        assert self._keeping is not None
        book = self.book
        self._tell_role()
        if self._keeping.note not in book.listeners:
            book.listeners.append(self._keeping.note)
        wanted = {
            _Target(name, address, book.settings(name))
            for name, address in (book.targets() if self.checks_here else ())
        }
        for target in self._checks.keys() - wanted:
            self._checks.pop(target).cancel()
        made: dict[str, Check] = {}
        for target in sorted(wanted - self._checks.keys(), key=_order):
            if target.name not in made:
                made[target.name] = self._make_check(target.name, target.settings)
            self._checks[target] = self._task(self._look(target, made[target.name]))
        self._begin_beside()

    def _tell_role(self) -> None:
        """Have the log say who checks here: nothing else tells of a name that is amiss."""
        checkers, role = self.book.checker.checkers, ""
        if self.me:
            role = f"this host checks as {self.me}, one of {len(checkers)}"
        elif checkers:
            role = f"this host ({self._host}) does not check: it follows {', '.join(checkers)}"
        if role and role != self._role and self.book.names:
            log.info("failover: %s; %d must agree", role, self.book.checker.wanted)
        self._role = role

    def _begin_beside(self) -> None:
        assert self._keeping is not None
        checker = self.book.checker
        by = checker, tuple(self._agents)
        if by != self._by or self._votes is None:
            self._connection = self._votes = None
            if checker.checkers and self._agents:
                self._connection = self._connect(self._agents)
                self._votes = Votes(
                    self._connection,
                    self.me,
                    self._process,
                    rng=self._rng,
                    in_thread=self._in_thread,
                )
        self._by = by
        if self._votes is not None:
            self.book.listeners.append(self._votes.note)
            self._tasks.append(self._task(self._votes.run(self.book)))
        if self._writes:
            self._tasks.append(self._task(self._keeping.run(self.book)))
        self._tasks.append(self._task(self._turn()))

    async def _end_beside(self, *, keep: bool) -> None:
        """End what runs beside the checks; `keep` what is known of others, and the connection."""
        tasks, self._tasks = self._tasks, []
        await _ended(tasks)
        if not keep:
            if self._connection is not None:
                await self._connection.close()
            self._connection = self._votes = None

    async def _look(self, target: _Target, check: Check) -> None:
        """Check one address for ever: the next time an interval after the last at the latest."""
        loop = asyncio.get_running_loop()
        name, address, settings = target
        begins = loop.time()
        while True:
            async with self._places:
                begins = max(begins, loop.time())
                outcome = await _checked(check, address)
            self.book.noted(name, address, outcome)
            if self._votes is not None:
                self._votes.note()
            begins += settings.interval * (1.0 - JITTER * self._rng.random())
            await asyncio.sleep(max(begins - loop.time(), 0.0))

    async def _turn(self) -> None:
        while True:
            due = self.book.turn()
            await asyncio.sleep(TURN if due is None else min(max(due, 0.01), TURN))

    def _task(self, run: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(run)
        task.add_done_callback(_told)
        return task


def _order(target: _Target) -> tuple[str, str]:
    return target.name, str(target.address.ip)


async def _checked(check: Check, address: Address) -> Outcome:
    """Return what a check found; an error of ours in it says nothing of the target."""
    try:
        return await check(address)
    except Exception as error:
        log.exception("failover: a check of %s failed by an error of ours", address.ip)
        return Outcome(Result.ERROR, f"an error of consulfwd: {type(error).__name__}", 0.0)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("failover: an error of ours ended a task", exc_info=error)
