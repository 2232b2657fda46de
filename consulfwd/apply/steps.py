"""Changes brought into force: checked, put in place, made known and verified, or none of it.

What belongs here: the order of the steps, and the way back from each. What a change does is its
own (`change`), how a command is run is in `commands`, what becomes of reload commands in
`reloading`; must not know files, servers, templates or Consul.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import NamedTuple, TypeVar

from consulfwd.apply import commands
from consulfwd.apply.change import Applied, Change, Command, Work
from consulfwd.apply.commands import Waiting
from consulfwd.apply.interrupts import Interrupts
from consulfwd.apply.reloading import Reloading
from consulfwd.errors import ApplyError, ConsulfwdError

# Seconds a checker and a reload command may take.
CHECK_TIMEOUT, RELOAD_TIMEOUT = 30.0, 60.0
# A server that ends by a signal to read its files again does so within this (seconds): unbound has
# read a bad one in a few ms. Its reload succeeds before.
ENDS_WITHIN = 0.3
# For how long `verify` is tried again (seconds), and the pauses between: a reload takes a moment.
VERIFY_FOR, VERIFY_PAUSE, VERIFY_PAUSE_MAX = 5.0, 0.1, 1.0

AnyWork = TypeVar("AnyWork", bound=Work)


class _Ready(NamedTuple):
    """Work whose changes are planned and checked: all that are due."""

    number: int
    work: Work
    changes: list[Change]


def apply(
    work: Work,
    *,
    checks: bool = True,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Applied:
    """Bring work into force; nothing is done, and nothing reloaded, if nothing is due.

    Without `checks` neither `check` nor `whole` is run. Raises ApplyError; what stood in the
    places before stands there again then, and was reloaded, unless the error says otherwise.
    KeyboardInterrupt and SIGTERM leave the old state in the same way.
    """
    ((_, result),) = apply_all([work], checks=checks, sleep=sleep, clock=clock)
    if isinstance(result, ApplyError):
        raise result
    return result


def apply_all(
    works: Sequence[AnyWork],
    *,
    checks: bool = True,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[tuple[AnyWork, Applied | ApplyError]]:
    """Apply several; return what became of each, in their order.

    Those that share a reload command are applied together, and each command is run once for them
    all. One that fails before anything is put in place fails alone; from then on all or none of
    those that share commands come into force.
    """
    results: dict[int, Applied | ApplyError] = {}
    left: list[_Ready] = []
    seen: set[Hashable] = set()
    for number, work in enumerate(works):
        changes = list(work.changes())
        try:
            _claim(changes, seen)
        except ApplyError as error:
            results[number] = error
        else:
            left.append(_Ready(number, work, changes))
    for group in _sharing(left):
        results |= _Applying(checks, sleep, clock).run(group)
    return [(work, results[number]) for number, work in enumerate(works)]


class _Applying:
    """One run through the steps, for work that shares reload commands."""

    def __init__(
        self, checks: bool, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._checks = checks
        self._sleep = sleep
        self._clock = clock
        self._waiting: Waiting = nullcontext
        self._reloading = Reloading(lambda words: self._command(words, RELOAD_TIMEOUT))

    def run(self, group: list[_Ready]) -> dict[int, Applied | ApplyError]:
        start = self._clock()
        results: dict[int, Applied | ApplyError] = {}
        with Interrupts() as interrupts, ExitStack() as stack:
            self._waiting = interrupts.waiting
            ready: list[_Ready] = []
            for one in group:
                results[one.number] = Applied()
                try:
                    if due := self._prepare(one, stack):
                        ready.append(one._replace(changes=due))
                except ApplyError as error:
                    results[one.number] = error
            if not ready:
                return results
            try:
                self._bring_into_force(ready)
            except ApplyError as error:
                return results | {one.number: error for one in ready}
            for one in ready:
                results[one.number] = self._done(one)._replace(seconds=self._clock() - start)
        return results

    def _prepare(self, one: _Ready, stack: ExitStack) -> list[Change]:
        """Plan and check what is due; nothing is in place yet, and nothing left on failure."""
        due = [change for change in one.changes if change.due()]
        if not due:
            return []
        self._look_for_programs(one.work, due[0].where)
        with ExitStack() as own:
            planned = []
            for change in due:
                own.enter_context(change)
                if change.plan():
                    planned.append(change)
            if self._checks:
                for change in planned:
                    change.check(one.work.check, self._check)
            stack.push(own.pop_all())
        return planned

    def _look_for_programs(self, work: Work, where: str) -> None:
        if self._checks:
            for command in filter(None, (work.check, work.whole)):
                if commands.find(command[0]) is None:
                    raise ApplyError(
                        where,
                        f"cannot be checked: {command[0]} is not installed",
                        "install it, or write unchecked with --no-check",
                    )
        for command in filter(None, work.reload):
            if commands.find(command[0]) is None:
                what = f"cannot be brought into force: {command[0]} is not installed"
                raise ApplyError(where, what, "install it; nothing was changed")

    def _check(self, words: Command, folder: Path | None) -> commands.Ran:
        return self._command(words, CHECK_TIMEOUT, folder)

    def _command(
        self, words: Command, timeout_s: float, folder: Path | None = None
    ) -> commands.Ran:
        return commands.run(words, timeout_s=timeout_s, folder=folder, waiting=self._waiting)

    def _bring_into_force(self, ready: list[_Ready]) -> None:
        """Put in place, check the whole, reload, verify; on any failure go all the way back."""
        changes = [change for one in ready for change in one.changes]
        where = ", ".join(change.where for change in changes)
        try:
            for change in changes:
                change.put()
            if self._checks:
                for whole in dict.fromkeys(one.work.whole for one in ready if one.work.whole):
                    _or_raise(where, self._command(whole, CHECK_TIMEOUT))
            for command in _reloads(ready):
                self._reloading.tell(where, command)
            if self._reloading.to_be_seen():
                with self._waiting():
                    self._sleep(ENDS_WITHIN)
                self._reloading.see(where)
            for verify in self._to_verify(ready):
                self._verify(where, verify)
        except BaseException as error:
            self._waiting = nullcontext  # the way back is not interrupted
            lost = _put_back(changes)
            failed = self._reloading.tell_again(_reloads(ready))
            if failed and self._reloading.took:
                # The new text may be in force without standing there: the old one is told again.
                for change in changes:
                    change.leave()
            if isinstance(error, ApplyError):
                raise _told(error, lost, failed) from error
            if lost or failed:
                interrupted = ApplyError(where, f"interrupted ({type(error).__name__})")
                raise _told(interrupted, lost, failed) from error
            raise

    def _to_verify(self, ready: list[_Ready]) -> Iterable[Callable[[], str]]:
        """Return what finds out whether all is in force, each once; not where nobody runs."""
        heard = [one for one in ready if not self._reloading.idle & set(one.work.reload)]
        return dict.fromkeys(
            verify
            for one in heard
            for verify in (one.work.verify, *(change.verify for change in one.changes))
        )

    def _verify(self, where: str, verify: Callable[[], str]) -> None:
        until = self._clock() + VERIFY_FOR
        pause = VERIFY_PAUSE
        while wrong := self._wrong(verify):
            if self._clock() + pause > until:
                mend = "see whether the server runs and reads this file, and whom it asks is there"
                raise ApplyError(where, f"not in force after the reload: {wrong}", mend)
            with self._waiting():
                self._sleep(pause)
            pause = min(2 * pause, VERIFY_PAUSE_MAX)

    def _wrong(self, verify: Callable[[], str]) -> str:
        try:
            with self._waiting():
                return verify()
        except (ConsulfwdError, OSError) as error:
            return str(error) or type(error).__name__

    def _done(self, one: _Ready) -> Applied:
        """Settle what is in force; what waits for its server's start keeps its way back."""
        places = tuple(change.where for change in one.changes)
        found_nobody = [each for each in one.work.reload if each in self._reloading.idle]
        if found_nobody:
            # The server may be starting, and may have read the old one: it is told the next time.
            for change in one.changes:
                change.leave()
            return Applied(places, idle=tuple(map(commands.shown, found_nobody)))
        kept = tuple(filter(None, [change.settle() for change in one.changes]))
        return Applied(places, kept, bool(self._reloading.took))


def _claim(changes: Sequence[Change], seen: set[Hashable]) -> None:
    """Refuse what is changed twice: each time would undo the other."""
    targets = [change.target for change in changes]
    for change, target in zip(changes, targets, strict=True):
        if target in seen or targets.count(target) > 1:
            raise ApplyError(change.where, "is written twice", "name another place for one")
    seen.update(targets)


def _sharing(works: Iterable[_Ready]) -> list[list[_Ready]]:
    """Put together the work that shares a reload command, directly or through others."""
    groups: list[tuple[set[Command], list[_Ready]]] = []
    for one in works:
        reloads = set(one.work.reload)
        joined = [group for group in groups if group[0] & reloads]
        groups = [group for group in groups if not group[0] & reloads]
        members = [member for group in joined for member in group[1]]
        groups.append((reloads.union(*(group[0] for group in joined)), [*members, one]))
    return [sorted(members, key=lambda one: one.number) for _, members in groups]


def _reloads(ready: Iterable[_Ready]) -> Iterable[Command]:
    """Return the reload commands of all, each once, in the order they are first named."""
    return dict.fromkeys(command for one in ready for command in one.work.reload if command)


def _or_raise(where: str, ran: commands.Ran) -> None:
    if ran.wrong:
        raise ApplyError(where, str(ran), output=ran.output)


def _put_back(changes: Sequence[Change]) -> list[str]:
    """Put back what stood there before; return what went wrong."""
    faults = []
    for change in reversed(changes):
        try:
            change.put_back()
        except ApplyError as error:
            faults.append(str(error))
    return faults


def _told(error: ApplyError, lost: list[str], failed: list[str]) -> ApplyError:
    """Return the error with how the way back went."""
    mend = "put the files right by hand, then reload the server"
    if lost:
        back = "THE ROLL BACK FAILED, not every old file is in its place again"
    elif failed:
        back = "the old files are in their places again, but THE ROLL BACK FAILED to reload them"
        mend = "see whether the server runs, and reload it by hand"
    else:
        back = "rolled back, what stood there before is in force again"
        mend = error.mend or "see what is wrong with the rendered text"
    output = "\n".join([*filter(None, [error.output]), *lost, *failed])
    rolled_back = not (lost or failed)
    what = f"{error.what}; {back}"
    return ApplyError(error.where, what, mend, output=output, rolled_back=rolled_back)
