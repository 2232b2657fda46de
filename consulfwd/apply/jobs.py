"""What is to be brought into force: files, and the commands that go with them.

What belongs here: jobs, how they differ from what is installed, and which belong together. Must
not change anything; that is `apply`'s.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from consulfwd.apply.files import installed, target_of, unfinished
from consulfwd.errors import ApplyError


class File(NamedTuple):
    """A place, and the text that belongs there (written as UTF-8)."""

    path: Path
    text: str

    @property
    def data(self) -> bytes:
        """The octets of the file; what is no character, as hostile JSON may hold, becomes "?"."""
        return self.text.encode("utf-8", "replace")


def nothing_to_verify() -> str:
    """Find nothing wrong."""
    return ""


@dataclass(frozen=True)
class Job:
    """Files that come into force together, or not at all, and what it takes.

    `check` is run for each changed file before anything is replaced, in the directory of its
    place, with "{file}" standing for the candidate's path; `whole` once all are replaced: a check
    of the server's whole configuration. `reload` are the commands after that, in order. `verify`
    returns what is wrong with the server then, "" if nothing; it is tried again for 5 s. Commands
    are argument lists, run without a shell (`commands.shell` makes one of a user's text); an
    empty one is not run.
    """

    files: tuple[File, ...]
    check: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    reload: tuple[tuple[str, ...], ...] = ()
    verify: Callable[[], str] = nothing_to_verify


class Applied(NamedTuple):
    """What `apply` did: the files replaced (none if all was as it should be), and their backups.

    `reloaded` says whether reload commands were run; `seconds` is what it took.
    """

    files: tuple[Path, ...] = ()
    backups: tuple[Path, ...] = ()
    reloaded: bool = False
    seconds: float = 0.0


def changed(job: Job) -> list[File]:
    """Return the files that differ, to the byte, from what is installed. Raises ApplyError."""
    return [file for file in job.files if installed(file.path) != file.data]


def difference(job: Job) -> str:
    """Return a unified diff from what is installed to what is rendered, "" if nothing differs.

    Raises ApplyError if what is installed cannot be read.
    """
    return "".join(_difference(file) for file in job.files)


def _difference(file: File) -> str:
    before = installed(file.path)
    if before == file.data:
        return ""
    old = [] if before is None else _lines(before)
    source = "/dev/null" if before is None else str(file.path)
    lines = difflib.unified_diff(old, _lines(file.data), source, f"{file.path} (rendered)")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _lines(data: bytes) -> list[str]:
    # splitlines would split at carriage returns and the like, too.
    *whole, rest = data.decode("utf-8", "backslashreplace").split("\n")
    return [*(f"{line}\n" for line in whole), *filter(None, [rest])]


def to_do(file: File) -> bool:
    """Return whether a file differs from what is installed, or may not be known to its server."""
    return unfinished(file.path) or installed(file.path) != file.data


def claim(job: Job, seen: set[Path]) -> None:
    """Refuse files that are written twice: each time would undo the other."""
    targets = [target_of(file.path) for file in job.files]
    for file, target in zip(job.files, targets, strict=True):
        if target in seen or targets.count(target) > 1:
            raise ApplyError(str(file.path), "is written twice", "name another place for one")
    seen.update(targets)


def sharing(jobs: Iterable[tuple[int, Job]]) -> list[list[tuple[int, Job]]]:
    """Put together the jobs that share a reload command, directly or through others."""
    groups: list[tuple[set[tuple[str, ...]], list[tuple[int, Job]]]] = []
    for number, job in jobs:
        reloads = set(job.reload)
        joined = [group for group in groups if group[0] & reloads]
        groups = [group for group in groups if not group[0] & reloads]
        members = [member for group in joined for member in group[1]]
        groups.append((reloads.union(*(group[0] for group in joined)), [*members, (number, job)]))
    return [sorted(members, key=lambda one: one[0]) for _, members in groups]


def reloads(jobs: Iterable[Job]) -> Iterable[tuple[str, ...]]:
    """Return the reload commands of all, each once, in the order they are first named."""
    return dict.fromkeys(command for job in jobs for command in job.reload if command)
