"""Files as changes: one text in one place.

What belongs here: what the steps of any change are for a file. How a file is replaced is in
`files`; must not know the order of the steps, nor other files.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from consulfwd.apply import commands
from consulfwd.apply.change import Command, Run
from consulfwd.apply.files import Replacement
from consulfwd.apply.places import Links, installed, target_of, unfinished
from consulfwd.errors import ApplyError


class FileChange:
    """A file that is to hold `data`, at `path` (see `change.Change`)."""

    def __init__(self, path: Path, data: bytes, links: Links) -> None:
        self._path = path
        self._data = data
        self._links = links
        self._replacement: Replacement | None = None

    @property
    def where(self) -> str:
        return str(self._path)

    @property
    def target(self) -> Path:
        """The file that is meant, whether or not a link to it is refused later."""
        return target_of(self._path, "replace" if self._links == "replace" else "follow")

    def due(self) -> bool:
        """Whether it differs, or may not be known to its server."""
        target = self.target
        return unfinished(target) or self.differs()

    def differs(self) -> bool:
        """Whether what stands there is not, to the byte, what is wanted."""
        return installed(self._path) != self._data or self.target.is_symlink()

    def __enter__(self) -> FileChange:
        self._replacement = Replacement(self._path, self._links).__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def plan(self) -> bool:
        if not (self._file.unfinished or self.differs()):
            return False
        self._file.stage(self._data)
        return True

    def check(self, command: Command, run: Run) -> None:
        """Have the checker read the candidate, in the directory it is for."""
        if not command:
            return
        candidate, target = self._file.candidate, self._file.target
        ran = run(tuple(word.replace("{file}", str(candidate)) for word in command), target.parent)
        if ran.wrong:
            name = commands.shown([word.replace("{file}", target.name) for word in command])
            raise ApplyError(
                self.where,
                f"not replaced, as its check `{name}` {ran.wrong}",
                "see what it says; the line numbers are those of the rendered text",
                output=ran.output.replace(str(candidate), str(target)),
            )

    def put(self) -> None:
        self._file.replace()

    def verify(self) -> str:
        """What was renamed into its place is there; the server is asked by the work."""
        return ""

    def put_back(self) -> None:
        self._file.put_back()

    def settle(self) -> str | None:
        backup = self._file.settle()
        return None if backup is None else str(backup)

    def leave(self) -> None:
        self._file.leave()

    @property
    def _file(self) -> Replacement:
        assert self._replacement is not None, "outside of its context"
        return self._replacement
