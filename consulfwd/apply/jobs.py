"""Files that are to be brought into force, and the commands that go with them.

What belongs here: jobs of files, and how they differ from what is installed. Must not change
anything; that is `steps`'.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from consulfwd.apply.file_sink import FileChange
from consulfwd.apply.places import Links, installed


class File(NamedTuple):
    """A place, and the text that belongs there (written as UTF-8).

    `links` says what is done where the place is a link into another directory.
    """

    path: Path
    text: str
    links: Links = "refuse"

    @property
    def data(self) -> bytes:
        """The octets of the file; what is no character, as hostile JSON may hold, becomes "?"."""
        return self.text.encode("utf-8", "replace")

    def change(self) -> FileChange:
        """Return what brings it into force."""
        return FileChange(self.path, self.data, self.links)


def nothing_to_verify() -> str:
    """Find nothing wrong."""
    return ""


@dataclass(frozen=True)
class Job:
    """Files that come into force together, or not at all, and what it takes.

    `check` is run for each changed file before anything is replaced, in the directory of its
    place, with "{file}" standing for the candidate's path; `whole` once all are replaced: a check
    of the server's whole configuration. `reload` are the commands after that, in order; what they
    tell by failing is in `running`. `verify` returns what is wrong with the server then, "" if
    nothing; it is tried again for 5 s. Commands are argument lists, run without a shell
    (`commands.shell` makes one of a user's text); an empty one is not run.
    """

    files: tuple[File, ...]
    check: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    reload: tuple[tuple[str, ...], ...] = ()
    verify: Callable[[], str] = nothing_to_verify

    @property
    def where(self) -> str:
        """The places, as the user named them."""
        return ", ".join(str(file.path) for file in self.files)

    def changes(self) -> tuple[FileChange, ...]:
        """Return the changes, made anew."""
        return tuple(file.change() for file in self.files)


def changed(job: Job) -> list[File]:
    """Return the files that differ, to the byte, from what is installed. Raises ApplyError."""
    return [file for file in job.files if file.change().differs()]


def untold(job: Job) -> list[File]:
    """Return the files that stand there as they should, but may not be known to their server.

    Whoever put them there was killed, or found nobody running. Raises ApplyError.
    """
    changes = [(file, file.change()) for file in job.files]
    return [file for file, change in changes if change.due() and not change.differs()]


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
