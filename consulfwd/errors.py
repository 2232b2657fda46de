"""The errors of consulfwd: one small tree, each with the exit code its command ends with.

What belongs here: error classes with structured fields. What does not: messages built from
sockets or files; those are put together where the error is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# What a command that Ctrl-C ended ends with, as shells count it: 128 and SIGINT.
INTERRUPTED = 130


class ConsulfwdError(Exception):
    """Base of every error a user may see; `exit_code` is what the command line ends with."""

    exit_code: int = 1


class Problem(NamedTuple):
    """One thing wrong in the configuration: where it stands, what is wrong, how to mend it."""

    where: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        mend = f" ({self.mend})" if self.mend else ""
        return f"{self.where}: {self.what}{mend}"


class ConfigError(ConsulfwdError):
    """The configuration cannot be used; `problems` holds every fault found, in file order."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UsageError(ConsulfwdError):
    """The command was called with something it cannot use (a name, a type, an option)."""

    exit_code = 2


class StartError(ConsulfwdError):
    """The server cannot start or cannot take a new configuration; the old state is kept.

    `no_right` says that a right is what it lacks: this process will not come to have it.
    """

    exit_code = 3

    def __init__(self, message: str, *, no_right: bool = False) -> None:
        self.no_right = no_right
        super().__init__(message)


class ResolveError(ConsulfwdError):
    """A name could not be resolved; `ede` is the extended DNS error (RFC 8914) or None."""

    exit_code = 3

    def __init__(self, message: str, ede: int | None = None) -> None:
        self.ede = ede
        super().__init__(message)


class TemplateError(ConsulfwdError):
    """A template cannot be rendered: which `template`, its `line` (None if unknown), `what`."""

    def __init__(self, template: str, line: int | None, what: str) -> None:
        self.template = template
        self.line = line
        self.what = what
        super().__init__(f"{template}{'' if line is None else f':{line}'}: {what}")


class ApplyError(ConsulfwdError):
    """Files could not be brought to their places: `where`, `what` is wrong, how to `mend` it.

    `output` is what a checker or reload command printed. `rolled_back` says whether what stood
    there before is in force again; None when nothing had been replaced yet.
    """

    def __init__(
        self,
        where: str,
        what: str,
        mend: str = "",
        *,
        output: str = "",
        rolled_back: bool | None = None,
    ) -> None:
        self.where = where
        self.what = what
        self.mend = mend
        self.output = output
        self.rolled_back = rolled_back
        first = str(Problem(where, what, mend))
        super().__init__(f"{first}\n{output}" if output else first)


class WireError(ConsulfwdError):
    """Bytes that are not a usable DNS message; the only error the wire code lets out.

    `rcode` is what a server should answer (FORMERR, NOTIMP, ...), or None for silence.
    """

    def __init__(self, message: str, rcode: int | None = None) -> None:
        self.rcode = rcode
        super().__init__(message)


class ConsulError(ConsulfwdError):
    """An agent's HTTP API gave no usable reply: which `agent`, the HTTP `status`, the `reason`.

    `status` is 0 when there was no reply to speak of (unreachable, silent, not HTTP, bad JSON).
    """

    exit_code = 3

    def __init__(self, agent: str, status: int, reason: str) -> None:
        self.agent = agent
        self.status = status
        self.reason = reason
        super().__init__(f"{agent}: HTTP {status}: {reason}" if status else f"{agent}: {reason}")


class UnknownOutcome(ConsulError):
    """Something was sent to be written, and whether that took effect is not known.

    The reply was lost, or is an error of the servers' that may have come after the fact.
    """

    def __init__(self, agent: str, status: int, reason: str) -> None:
        super().__init__(agent, status, reason)
        self.args = (f"{self.args[0]} (whether it took effect is not known)",)


class LintError(ConsulfwdError):
    """Another server's configuration that cannot be read or parsed: which file, line, and why.

    `line` counts from 1; 0 is the file as a whole.
    """

    exit_code = 2

    def __init__(self, file: str, line: int, what: str, mend: str = "") -> None:
        self.file = file
        self.line = line
        self.what = what
        self.mend = mend
        super().__init__(str(Problem(f"{file}:{line}" if line else file, what, mend)))
