"""Reads configuration files, and those they include, within bounds.

This is where files are touched. What stands in them is for the grammars.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
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


def read_texts(paths: Sequence[Path]) -> list[str]:
    """Return the texts of files that are one configuration. Raises as `read_text` does."""
    texts: list[str] = []
    for path in paths:
        texts.append(read_text(path))
        if sum(map(len, texts)) > MAX_ALL:
            raise LintError(printable(str(path)), 0, "is one file too many", "lint parts of it")
    return texts


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for somebody who writes to a pipe."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def together(path: Path, *, beside: bool = False) -> list[Path]:
    """Return the files that are one configuration: those of a folder, by name, else the file.

    With `beside`, those that stand beside it in a folder ending in .conf.d, too, and what such a
    folder belongs to.
    """
    folder = path
    if beside and path.parent.name.endswith(".conf.d"):
        folder = path.parent
    main = folder.parent / folder.name.removesuffix(".d")
    if beside and folder == path:
        main, folder = path, path.parent / f"{path.name}.d"
    try:
        found = [folder / one for one in Looker().names(folder) if one.endswith(".conf")]
        found = [one for one in found if one.is_file()]
        if beside and found and main.is_file():
            found.insert(0, main)
        if beside and path not in found:
            return [path]
    except (OSError, ValueError, TooMuch):
        return [path]
    return found[:MAX_FILES] or [path]


class FileReader:
    """Reads one configuration with all it includes.

    `notes` says what was not read and why; `files` is how many were, `paths` which.
    """

    def __init__(self, server: ServerKind) -> None:
        self._server = server
        self._size = 0
        self._statements_seen = 0
        self._imported = 0
        self._looker = Looker()
        self._directory: str | None = None
        # Where the process stands, as far as a file was found there.
        self._stands: Path | None = None
        self.files = 0
        self.paths: list[Path] = []
        self.notes: list[str] = []

    def read(self, path: Path, text: str) -> tuple[SyntaxNode, ...]:
        """Return the statements of a file whose text is given, and of those it includes."""
        return self.read_all([path], [text])

    def read_all(self, paths: Sequence[Path], texts: Sequence[str]) -> tuple[SyntaxNode, ...]:
        """Return the statements of files that are one configuration, and of those they include."""
        found: list[SyntaxNode] = []
        for path, text in zip(paths, texts, strict=True):
            found += self._statements(path, text, ())
        return tuple(self._server.joined(found))

    def _statements(self, path: Path, text: str, above: tuple[Path, ...]) -> list[SyntaxNode]:
        self.files += 1
        self.paths.append(path)
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
            if node.name in self._server.unseen:
                self._note(f"{node.file}:{node.line}: what {node.name} brings cannot be read")
            if target is None:
                body = self._expanded(node.body, way, snippets, inside) if node.body else ()
                found.append(replace(node, body=tuple(body)) if node.body else node)
                continue
            if node.name in self._server.only_first and len(way) > 1:
                continue
            snippet = f"({target.lower()})"
            if snippet in snippets:
                if snippet in inside:
                    raise LintError(node.file, node.line, f"{target[:60]!a} imports itself",
                                    "take the import out")  # fmt: skip
                found += self._expanded(snippets[snippet], way, snippets, (*inside, snippet))
                self._bound(node, len(found))
                continue
            noted = len(self.notes)
            for path in self._paths(node, target, way):
                found += self._included(node, path, way)
            if len(self.notes) > noted:
                found.append(node)  # so that rules see where something is missing
        return found

    def _bound(self, node: SyntaxNode, statements: int) -> None:
        """Snippets within snippets must not multiply without end."""
        self._imported += statements
        if self._imported > MAX_IMPORTED:
            raise LintError(node.file, node.line, "too much is imported", "lint parts of it")

    def _included(self, node: SyntaxNode, path: Path, way: tuple[Path, ...]) -> list[SyntaxNode]:
        if self._server.read_once and _among(path, self.paths):
            return []
        if _among(path, way):
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

    def _paths(self, node: SyntaxNode, target: str, way: tuple[Path, ...]) -> list[Path]:
        """Return the files an include names that exist; those that do not are noted."""
        target, _, suffixes = target.partition(",") if node.name == "conf-dir" else (target, "", "")
        for folder, sure in self._folders(target, way):
            full = folder / target
            try:
                if node.name == "conf-dir":
                    names = [one for one in self._looker.names(full) if _wanted(one, suffixes)]
                    return [full / one for one in names if (full / one).is_file()]
                if any(one in target for one in "*?["):
                    found = self._looker.matches(full)
                else:
                    found = [full] if full.exists() else []
            except (OSError, ValueError):
                continue
            except TooMuch:
                what = f"looks for files among more than {MAX_LOOKED_AT}"
                mend = "name the files it includes, or their folder"
                raise LintError(node.file, node.line, what, mend) from None
            if not sure:
                found = [one for one in found if not _among(one, way)]
            if found:
                if not sure:
                    self._stands = folder
                return found
        self._note(
            f"{node.file}:{node.line}: {printable(target[:MAX_PATTERN])} is not there to be read"
        )
        return []

    def _folders(self, target: str, way: tuple[Path, ...]) -> list[tuple[Path, bool]]:
        """Return where a name may start from, and whether it is sure that it does."""
        own, first = way[-1].parent, way[0].parent
        if self._server.from_file or target.startswith("/"):
            return [(own, True)]
        told = [Path(self._directory)] if self._directory else []
        stands = [self._stands] if self._stands else []
        return [*((one, True) for one in (*told, *stands)), (first, False), (own, False)]

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


def _among(path: Path, paths: Sequence[Path]) -> bool:
    try:
        own = path.stat()
    except OSError:
        return path in paths
    return any(_is(one, own) for one in paths)


def _is(path: Path, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), found)
    except OSError:
        return False
