"""What is brought into force: changes, of whatever kind, and the work they belong to.

What belongs here: what `steps` asks of a change, and what it needs to know of the work. Must not
know any kind of change, nor carry one out.

| | a file (`file_sink`) | a zone by RFC 2136 | records by a WAPI |
|---|---|---|---|
| the context | a lock beside it | none: updates say what must be there | none |
| `due` | differs, or not known to be in force | a transfer differs | its records differ |
| `plan` | a candidate beside it | the update, and its inverse | what to add, alter, delete |
| `check` | a checker reads the candidate | the budget of changes | the same |
| `put` | a renaming | one update, or none of it | one request after the other |
| `verify` | nothing: the server is asked | the serial, the records | the records |
| `put_back` | a renaming | the inverse, if the serial is ours | the inverse of what was done |
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

from consulfwd.apply.commands import Ran

Command = tuple[str, ...]
# Runs a checker in a folder, bounded in time; what it says comes back, good or bad.
Run = Callable[[Command, Path | None], Ran]


class Change(Protocol):
    """One thing to be brought into force, and the way back from it. All may raise ApplyError.

    The context keeps others off as far as that is needed, and leaves nothing behind, but after
    `leave`, or if the process is killed: then the next one finds it `due`. Within the context the
    order is `plan`, `check`, `put`, `verify`, and then one of `settle`, `leave` and `put_back`.
    """

    @property
    def where(self) -> str:
        """Its place, as the user named it."""

    @property
    def target(self) -> Hashable:
        """What is changed, whatever its place is called: no two changes may have the same."""

    def due(self) -> bool:
        """Return whether there is something to do, or to be told again. Changes nothing."""

    def __enter__(self) -> Change: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

    def plan(self) -> bool:
        """Make ready what is to be put in place. Return whether it is still `due`."""

    def check(self, command: Command, run: Run) -> None:
        """Refuse what is wrong with it; `command` is the work's checker, empty if it has none."""

    def put(self) -> None:
        """Put it in place. If this fails half-way, `put_back` takes back what was done."""

    def verify(self) -> str:
        """Return what is wrong with what is in place now, "" if nothing."""

    def put_back(self) -> None:
        """Let what stood there before stand there again; does nothing where nothing was done."""

    def settle(self) -> str | None:
        """It is in force: there is no way back any more. Return where the old one is kept."""

    def leave(self) -> None:
        """What stands there now stays, but may not be in force: it is `due` again next time."""


class Work(Protocol):
    """Changes that come into force together, or not at all, and what it takes.

    `check` is the checker of one change, `whole` checks all that is in place; `reload` are the
    commands that make it known, in order; `verify` returns what is wrong then, "" if nothing.
    """

    @property
    def check(self) -> Command: ...

    @property
    def whole(self) -> Command: ...

    @property
    def reload(self) -> tuple[Command, ...]: ...

    @property
    def verify(self) -> Callable[[], str]: ...

    def changes(self) -> Sequence[Change]:
        """Return the changes, made anew; nothing is done yet."""


class Applied(NamedTuple):
    """What was done: the places that changed (none if all was as it should be), their backups.

    `reloaded` says whether reload commands were run; `seconds` is what it took. `idle` are the
    reload commands, as typed, that found nobody running: what was put in place stays there, and
    comes into force when its server starts.
    """

    places: tuple[str, ...] = ()
    backups: tuple[str, ...] = ()
    reloaded: bool = False
    seconds: float = 0.0
    idle: tuple[str, ...] = ()
