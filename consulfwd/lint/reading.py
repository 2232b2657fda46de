"""Reads configuration files, and those they include, within bounds.

This is where files are touched. What stands in them is for the grammars.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from stat import S_ISREG

from consulfwd.config.wording import printable
from consulfwd.errors import LintError
from consulfwd.lint.folders import MAX_LOOKED_AT, MAX_PATTERN, Looker, TooMuch
from consulfwd.servers.kind import ServerKind
from consulfwd.servers.syntax import SyntaxNode

MAX_FILE = 4 << 20
MAX_ALL = 16 << 20
MAX_FILES = 500
MAX_INCLUDES = 10
MAX_STATEMENTS = 500_000
MAX_NOTES = 100
MAX_IMPORTED = 100_000  # statements of snippets


def read_text(path: Path) -> str:
    """Return the text of a file. Raises LintError for what is not one."""
    shown = printable(str(path))
    try:
        # To open a device may be enough to set it off.
        if not S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise LintError(shown, 0, "is not a file", "name a configuration file")
        with open(path, "rb", opener=_at_once) as file:
            found = os.fstat(file.fileno())
            if not S_ISREG(found.st_mode):
                raise LintError(shown, 0, "is not a file", "name a configuration file")
            # What the kernel makes up has size 0; to read it may wait, or take something away.
            data = file.read(min(found.st_size, MAX_FILE + 1)) or b""
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise LintError(shown, 0, f"cannot be read: {why}", "check path and permissions") from None
    if len(data) > MAX_FILE:
        raise LintError(shown, 0, f"is larger than {MAX_FILE >> 20} MiB", "name the part of it"
                        " that concerns Consul")  # fmt: skip
    if (nul := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise LintError(shown, line, "holds binary data", "name a configuration file")
    return data.decode("utf-8", "replace").replace("\r\n", "\n").removeprefix("\ufeff")


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for somebody who writes to a pipe."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


class FileReader:
    """Reads one configuration with all it includes.

    `notes` says what was not read and why; `files` is how many were.
    """

    def __init__(self, server: ServerKind) -> None:
        self._server = server
        self._size = 0
        self._statements_seen = 0
        self._imported = 0
        self._looker = Looker()
        self._directory: str | None = None
        self.files = 0
        self.notes: list[str] = []

    def read(self, path: Path, text: str) -> tuple[SyntaxNode, ...]:
        """Return the statements of a file whose text is given, and of those it includes."""
        return tuple(self._server.joined(self._statements(path, text, ())))

    def _statements(self, path: Path, text: str, above: tuple[Path, ...]) -> list[SyntaxNode]:
        self.files += 1
        self._size += len(text)
        self._statements_seen += text.count("\n") + text.count(";")
        shown = printable(str(path))
        if self.files > MAX_FILES or self._size > MAX_ALL:
            raise LintError(shown, 0, "is one included file too many", "lint parts of it")
        if self._statements_seen > MAX_STATEMENTS:
            what = f"makes it more than {MAX_STATEMENTS} lines and statements"
            raise LintError(shown, 0, what, "lint the part that concerns Consul")
        nodes = self._server.parse(text, printable(str(path)))
        self._directory = self._server.directory(nodes) or self._directory
        snippets = {node.name: node.body for node in nodes if node.name[:1] == "("}
        return self._expanded(nodes, (*above, path), snippets)

    def _expanded(
        self,
        nodes: Sequence[SyntaxNode],
        way: tuple[Path, ...],
        snippets: dict[str, tuple[SyntaxNode, ...]],
        inside: tuple[str, ...] = (),
    ) -> list[SyntaxNode]:
        """Replace what includes something by what is included, in blocks too."""
        found: list[SyntaxNode] = []
        for node in nodes:
            target = self._server.included(node)
            if target is None:
                body = self._expanded(node.body, way, snippets, inside) if node.body else ()
                found.append(SyntaxNode(node.file, node.line, node.words, tuple(body)))
                continue
            snippet = f"({target.lower()})"
            if snippet in snippets:
                if snippet in inside:
                    raise LintError(node.file, node.line, f"{target[:60]!a} imports itself",
                                    "take the import out")  # fmt: skip
                found += self._expanded(snippets[snippet], way, snippets, (*inside, snippet))
                self._bound(node, len(found))
                continue
            for path in self._paths(node, target, way[-1]):
                found += self._included(node, path, way)
        return found

    def _bound(self, node: SyntaxNode, statements: int) -> None:
        """Snippets within snippets must not multiply without end."""
        self._imported += statements
        if self._imported > MAX_IMPORTED:
            raise LintError(node.file, node.line, "too much is imported", "lint parts of it")

    def _included(self, node: SyntaxNode, path: Path, way: tuple[Path, ...]) -> list[SyntaxNode]:
        if any(_same(path, one) for one in way):
            what = f"{printable(str(path))} includes itself"
            raise LintError(node.file, node.line, what, "take the include out")
        if len(way) >= MAX_INCLUDES:
            what = f"files are included more than {MAX_INCLUDES} deep"
            raise LintError(node.file, node.line, what, "lint the inner ones by themselves")
        try:
            text = read_text(path)
        except LintError as error:
            if error.line:
                raise
            self._note(f"{node.file}:{node.line}: {error.file} {error.what}")
            return []
        return self._statements(path, text, way)

    def _paths(self, node: SyntaxNode, target: str, source: Path) -> list[Path]:
        """Return the files an include names that exist; those that do not are noted."""
        target, _, suffixes = target.partition(",") if node.name == "conf-dir" else (target, "", "")
        folders = [Path(self._directory)] if self._directory else []
        for folder in (*folders, source.parent):
            full = folder / target
            try:
                if node.name == "conf-dir":
                    names = [one for one in self._looker.names(full) if _wanted(one, suffixes)]
                    return [full / one for one in names if (full / one).is_file()]
                if any(one in target for one in "*?["):
                    if matched := self._looker.matches(full):
                        return matched
                elif full.exists():
                    return [full]
            except (OSError, ValueError):
                continue
            except TooMuch:
                what = f"looks for files among more than {MAX_LOOKED_AT}"
                mend = "name the files it includes, or their folder"
                raise LintError(node.file, node.line, what, mend) from None
        self._note(
            f"{node.file}:{node.line}: {printable(target[:MAX_PATTERN])} is not there to be read"
        )
        return []

    def _note(self, text: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(text)
        elif len(self.notes) == MAX_NOTES:
            self.notes.append("and more that is not there to be read")


def _wanted(name: str, suffixes: str) -> bool:
    """Does dnsmasq read this file of a folder?"""
    if name.startswith((".", "#")) or name.endswith(("~", "#")):
        return False
    listed = [one for one in suffixes.split(",") if one]
    only = [one[1:] for one in listed if one.startswith("*")]
    never = [one for one in listed if not one.startswith("*")]
    return not name.endswith(tuple(never)) and (not only or name.endswith(tuple(only)))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other
