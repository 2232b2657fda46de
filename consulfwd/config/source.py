"""Reads a configuration file (YAML 1.2's plain forms, of which JSON is one) into a tree.

The parser's events are used, not its objects: nothing is constructed, nothing recurses, and
every value keeps its line. Anchors, aliases and tags are refused: a configuration has no use
for them, and they are how a small file grows without bounds. What keys exist is not known here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consulfwd.config.objections import KeyPath, dotted
from consulfwd.config.tree import Place, PlacedProblem, Scalar, Source, TreeNode, canonical_key
from consulfwd.config.wording import printable

if TYPE_CHECKING:
    from yaml import MarkedYAMLError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 12

# Compiled when they are used first: without a file and variables, nothing here is.
_INT = r"-?(0|[1-9][0-9]*)"
_FLOAT = r"-?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,4})?"
_NOT_YAML = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]"
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null"), None),
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
UNUSABLE = ("holds a character that cannot be used", "take out control characters and line ends")


class _Stop(Exception):
    """Reading cannot go on; what to report is in `found` already."""


class _TooDeep(_Stop):
    """There are more mappings and lists in each other than a configuration has."""


def scalar(text: str) -> Scalar:
    """Return what an unquoted text means: nothing, true or false, a number, or itself."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if re.fullmatch(_INT, text):
        # Longer ones are beyond every limit whatever their digits are.
        return int(text[:19])
    if re.fullmatch(_FLOAT, text):
        return float(text)
    return text


def unusable(text: str) -> bool:
    """Return whether `text` holds what no name, address or path has: control characters etc."""
    return not text.isprintable()


def read(path: Path, rank: int) -> Source:
    """Return the tree of a file, and everything wrong in its form. Raises nothing."""
    name = printable(str(path))
    source = Source(TreeNode({}, Place(rank, 0, 0, name), ()))
    try:
        text = _text(path, name, source)
        _Reader(name, rank, source).read(text)
    except _Stop:
        pass
    return source


def _text(path: Path, name: str, source: Source) -> str:
    def stop(line: int, what: str, mend: str) -> _Stop:
        rank = source.root.place.rank
        text = f"{name}:{line}" if line else name
        source.found.append(PlacedProblem(Place(rank, line, 0, text), "", what, mend))
        return _Stop()

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise stop(0, "there is no such file", "check the path") from None
    except IsADirectoryError:
        raise stop(0, "is a directory", "name the file in it") from None
    except PermissionError:
        user = os.geteuid()
        raise stop(0, "may not be read", f"let user {user} read it: chmod, chgrp") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise stop(0, f"cannot be read: {reason}", "check the path") from None
    if len(data) > MAX_BYTES:
        raise stop(0, f"is larger than {MAX_BYTES} bytes", "name a configuration file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise stop(line, "is not UTF-8 text", "save the file as UTF-8") from None
    if control := re.search(_NOT_YAML, text):
        line = text.count("\n", 0, control.start()) + 1
        raise stop(line, f"holds the control character {control.group()!a}", "take it out")
    if text.lstrip().startswith("{"):
        # JSON may be indented with tabs; inside its texts a bare tab is not allowed anyway.
        text = text.replace("\t", " ")
    return text


class _Open:
    """A mapping or list being read: the key that waits for its value, the keys so far."""

    __slots__ = ("key", "lines", "node")

    def __init__(self, node: TreeNode) -> None:
        self.node = node
        self.key: tuple[str, Place] | None = None
        self.lines: dict[str, int] = {}  # by key as `canonical_key` has it


class _Reader:
    """Turns events into nodes; `_open` are the mappings and lists around the current one."""

    def __init__(self, name: str, rank: int, source: Source, *, ahead: bool = False) -> None:
        self._ahead = ahead  # of an error: its own errors are of no interest
        self._name = name
        self._rank = rank
        self._source = source
        self._root: TreeNode | None = None
        self._open: list[_Open] = []

    def read(self, text: str) -> None:
        """Put the tree of `text` into the source, or stop with what is wrong."""
        # Imported late: without a file there is nothing to parse.
        import yaml

        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            for event in yaml.parse(text, Loader=loader):
                if isinstance(event, yaml.NodeEvent):
                    self._node(event, yaml)
                elif isinstance(event, yaml.CollectionEndEvent):
                    self._open.pop()
                elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
                    raise self._fatal(self._place(event), "a second document begins", "join them")
        except yaml.MarkedYAMLError as error:
            if error.problem_mark is not None and not self._ahead:
                self._look_back(text[: error.problem_mark.index])
            raise self._syntax(error, text) from None
        except yaml.YAMLError as error:
            place = Place(self._rank, 1, 1, f"{self._name}:1")
            raise self._fatal(place, f"is not valid YAML: {error}", "save it as text") from None
        root = self._root
        if root is None or root.content is None:
            return
        if not isinstance(root.content, dict):
            raise self._fatal(root.place, "must be a mapping", "such as listen: [127.0.0.1:53]")
        self._source.root = root

    def _look_back(self, before: str) -> None:
        """Stop as our bound has it, if what comes before an error of the parser's goes beyond it.

        Parsers look ahead of what they tell, and newer ones have a bound of their own: theirs is
        met first unless they see no more than they take.
        """
        source = Source(self._source.root)
        try:
            _Reader(self._name, self._rank, source, ahead=True).read(before)
        except _TooDeep:
            self._source.found[:] = source.found
            raise
        except _Stop:
            pass

    def _node(self, event: Any, yaml: Any) -> None:
        place = self._place(event)
        around = self._open[-1] if self._open else None
        if around is not None and isinstance(around.node.content, dict) and around.key is None:
            if not isinstance(event, yaml.ScalarEvent):
                raise self._fatal(place, "a key must be a word", "put [...] and {...} in quotes")
            around.key = (event.value, place)
            self._refuse(event, place, (*around.node.path, event.value), yaml)
            return
        path: KeyPath = ()
        if around is not None and around.key is not None:
            path, place = (*around.node.path, around.key[0]), around.key[1]
        elif around is not None and isinstance(around.node.content, list):
            path = (*around.node.path, len(around.node.content))
        content: Any = None
        if isinstance(event, yaml.MappingStartEvent):
            content = {}
        elif isinstance(event, yaml.SequenceStartEvent):
            content = []
        elif isinstance(event, yaml.ScalarEvent):
            content = event.value if event.style else scalar(event.value)
        node = TreeNode(content, place, path)
        self._refuse(event, place, path, yaml)
        self._put(node, around)
        if isinstance(event, yaml.CollectionStartEvent):
            if len(self._open) == MAX_DEPTH:
                self._fatal(self._place(event), "is nested too deeply", "see the examples")
                raise _TooDeep
            self._open.append(_Open(node))

    def _put(self, node: TreeNode, around: _Open | None) -> None:
        if around is None:
            self._root = node
        elif isinstance(around.node.content, list):
            around.node.content.append(node)
        elif isinstance(around.node.content, dict) and around.key is not None:
            key, around.key = around.key[0], None
            name = canonical_key(key)
            if name in around.lines:
                what = f"is given twice, first on line {around.lines[name]}"
                self._report(node.place, node.path, what, "keep one of them")
                return
            around.lines[name] = node.place.line
            around.node.content[key] = node

    def _refuse(self, event: Any, place: Place, path: KeyPath, yaml: Any) -> None:
        """Report what cannot be a value, or could be something else than it looks like."""
        if isinstance(event, yaml.AliasEvent):
            what, mend = f"is the alias *{event.anchor}", "write the value out"
        elif event.anchor:
            what, mend = f"has the anchor &{event.anchor}", "take it out: aliases are not supported"
        elif event.tag:
            what, mend = f"has the tag {event.tag}", "take it out, or put a text in quotes"
        elif isinstance(event, yaml.ScalarEvent) and unusable(event.value):
            what, mend = UNUSABLE
        else:
            return
        self._source.dropped.add(path)
        self._report(place, path, what, mend)

    def _report(self, place: Place, path: KeyPath, what: str, mend: str) -> None:
        self._source.found.append(PlacedProblem(place, dotted(path), what, mend))

    def _place(self, event: Any) -> Place:
        line = event.start_mark.line + 1
        return Place(self._rank, line, event.start_mark.column + 1, f"{self._name}:{line}")

    def _fatal(self, place: Place, what: str, mend: str) -> _Stop:
        exact = place._replace(text=f"{self._name}:{place.line}:{place.column}")
        self._source.found.append(PlacedProblem(exact, "", what, mend))
        return _Stop()

    def _syntax(self, error: MarkedYAMLError, text: str) -> _Stop:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        lines = text.splitlines() or [""]
        if line > len(lines):
            # What is missing is missed at the end.
            line, column = len(lines), len(lines[-1]) + 1
        written = lines[line - 1]
        if "\t" in written:
            mend = "indent with spaces, not tabs"
        elif "::" in written:
            mend = "put IPv6 addresses in quotes"
        else:
            mend = "check the indentation, brackets and quotes here and above"
        said = ", ".join(part for part in (error.context, error.problem) if part)
        place = Place(self._rank, line, column, "")
        return self._fatal(place, f"is not valid YAML: {said}", mend)
