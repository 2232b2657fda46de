"""Rendered files brought into force: checked, replaced, reloaded and verified, or none of it.

What belongs here: the order of the steps, and the way back from each. How a file is replaced is in
`files`, how a command is run in `commands`; must not know servers, templates or Consul.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path

from consulfwd.apply import commands
from consulfwd.apply.commands import Waiting
from consulfwd.apply.files import Replacement, installed
from consulfwd.apply.interrupts import Interrupts
from consulfwd.apply.jobs import (
    Applied,
    File,
    Job,
    changed,
    claim,
    difference,
    reloads,
    sharing,
    to_do,
)
from consulfwd.errors import ApplyError, ConsulfwdError

__all__ = ["Applied", "File", "Job", "apply", "apply_all", "changed", "difference"]

# Seconds a checker and a reload command may take.
CHECK_TIMEOUT, RELOAD_TIMEOUT = 30.0, 60.0
# For how long `verify` is tried again (seconds), and the pauses between: a reload takes a moment.
VERIFY_FOR, VERIFY_PAUSE, VERIFY_PAUSE_MAX = 5.0, 0.1, 1.0


def apply(
    job: Job,
    *,
    checks: bool = True,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Applied:
    """Bring a job's files into force; nothing is done, and nothing reloaded, if none changed.

    Without `checks` neither `check` nor `whole` is run. Raises ApplyError; what stood in the
    places before stands there again then, and was reloaded, unless the error says otherwise.
    KeyboardInterrupt and SIGTERM leave the old state in the same way.
    """
    ((_, result),) = apply_all([job], checks=checks, sleep=sleep, clock=clock)
    if isinstance(result, ApplyError):
        raise result
    return result


def apply_all(
    jobs: Sequence[Job],
    *,
    checks: bool = True,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[tuple[Job, Applied | ApplyError]]:
    """Apply several jobs; return what became of each, in their order.

    Jobs that share a reload command are applied together, and each command is run once for them
    all. One that fails before anything is replaced fails alone; from then on all or none of those
    that share commands come into force.
    """
    results: dict[int, Applied | ApplyError] = {}
    numbered = list(enumerate(jobs))
    seen: set[Path] = set()
    for number, job in numbered:
        try:
            claim(job, seen)
        except ApplyError as error:
            results[number] = error
    left = [(number, job) for number, job in numbered if number not in results]
    for group in sharing(left):
        results |= _Applying(checks, sleep, clock).run(group)
    return [(job, results[number]) for number, job in numbered]


class _Applying:
    """One run through the steps, for jobs that share reload commands."""

    def __init__(
        self, checks: bool, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._checks = checks
        self._sleep = sleep
        self._clock = clock
        self._waiting: Waiting = nullcontext

    def run(self, jobs: list[tuple[int, Job]]) -> dict[int, Applied | ApplyError]:
        start = self._clock()
        results: dict[int, Applied | ApplyError] = {}
        with Interrupts() as interrupts, ExitStack() as stack:
            self._waiting = interrupts.waiting
            ready: list[tuple[int, Job, list[Replacement]]] = []
            for number, job in jobs:
                results[number] = Applied()
                try:
                    if replacements := self._prepare(job, stack):
                        ready.append((number, job, replacements))
                except ApplyError as error:
                    results[number] = error
            if not ready:
                return results
            together = [job for _, job, _ in ready]
            try:
                self._bring_into_force(together, [one for *_, each in ready for one in each])
            except ApplyError as error:
                return results | {number: error for number, *_ in ready}
            for number, job, replacements in ready:
                backups = [one.settle() for one in replacements]
                results[number] = Applied(
                    tuple(one.path for one in replacements),
                    tuple(one for one in backups if one is not None),
                    any(job.reload for job in together),
                    self._clock() - start,
                )
        return results

    def _prepare(self, job: Job, stack: ExitStack) -> list[Replacement]:
        """Make and check the candidates; nothing is replaced yet, and nothing left on failure."""
        files = [file for file in job.files if to_do(file)]
        if not files:
            return []
        self._look_for_programs(job, files[0])
        ready = []
        with ExitStack() as own:
            for file in files:
                one = own.enter_context(Replacement(file.path))
                if one.unfinished or installed(file.path) != file.data:
                    one.stage(file.data)
                    ready.append(one)
            if self._checks and job.check:
                for one in ready:
                    self._check(job.check, one)
            stack.push(own.pop_all())
        return ready

    def _look_for_programs(self, job: Job, file: File) -> None:
        if self._checks:
            for command in filter(None, (job.check, job.whole)):
                if commands.find(command[0]) is None:
                    raise ApplyError(
                        str(file.path),
                        f"cannot be checked: {command[0]} is not installed",
                        "install it, or write unchecked with --no-check",
                    )
        for command in filter(None, job.reload):
            if commands.find(command[0]) is None:
                what = f"cannot be brought into force: {command[0]} is not installed"
                raise ApplyError(str(file.path), what, "install it; nothing was changed")

    def _check(self, command: tuple[str, ...], one: Replacement) -> None:
        words = tuple(word.replace("{file}", str(one.candidate)) for word in command)
        ran = self._command(words, CHECK_TIMEOUT, one.target.parent)
        if ran.wrong:
            name = commands.shown([word.replace("{file}", one.target.name) for word in command])
            raise ApplyError(
                str(one.path),
                f"not replaced, as its check `{name}` {ran.wrong}",
                "see what it says; the line numbers are those of the rendered text",
                output=ran.output.replace(str(one.candidate), str(one.target)),
            )

    def _command(
        self, words: tuple[str, ...], timeout_s: float, folder: Path | None = None
    ) -> commands.Ran:
        return commands.run(words, timeout_s=timeout_s, folder=folder, waiting=self._waiting)

    def _bring_into_force(self, jobs: list[Job], replacements: list[Replacement]) -> None:
        """Replace, check the whole, reload, verify; on any failure go all the way back."""
        where = ", ".join(str(one.path) for one in replacements)
        try:
            for one in replacements:
                one.replace()
            if self._checks:
                for whole in dict.fromkeys(job.whole for job in jobs if job.whole):
                    folder = replacements[0].target.parent
                    _or_raise(where, self._command(whole, CHECK_TIMEOUT, folder))
            for command in reloads(jobs):
                _or_raise(where, self._command(command, RELOAD_TIMEOUT))
            for verify in dict.fromkeys(job.verify for job in jobs):
                self._verify(where, verify)
        except BaseException as error:
            self._waiting = nullcontext  # the way back is not interrupted
            lost = _put_back(replacements)
            failed = self._reload_again(jobs)
            if isinstance(error, ApplyError):
                raise _told(error, lost, failed) from error
            if lost or failed:
                interrupted = ApplyError(where, f"interrupted ({type(error).__name__})")
                raise _told(interrupted, lost, failed) from error
            raise

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

    def _reload_again(self, jobs: list[Job]) -> list[str]:
        """Reload what was put back; return what went wrong."""
        ran = [self._command(command, RELOAD_TIMEOUT) for command in reloads(jobs)]
        return [f"{one}\n{one.output}".strip() for one in ran if one.wrong]


def _or_raise(where: str, ran: commands.Ran) -> None:
    if ran.wrong:
        raise ApplyError(where, str(ran), output=ran.output)


def _put_back(replacements: list[Replacement]) -> list[str]:
    """Put back what stood there before; return what went wrong."""
    faults = []
    for one in reversed(replacements):
        try:
            one.put_back()
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
