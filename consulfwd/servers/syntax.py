"""What a configuration file becomes when it is read: statements with their places.

One form for every server, so that files are read, joined and looked at the same way. Pure: nothing
here knows a server, and nothing reads a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from consulfwd.errors import LintError

MAX_DEPTH = 32


@dataclass(frozen=True)
class SyntaxNode:
    """One statement: where it stands, its words without quotes, and the statements within it.

    `file` and `line` (from 1) are those of the first word. `fault` is why the server would refuse
    what was read all the same, `mend` how it is written.
    """

    file: str
    line: int
    words: tuple[str, ...]
    body: tuple[SyntaxNode, ...] = ()
    fault: str = ""
    mend: str = ""

    @cached_property
    def name(self) -> str:
        """The first word in lower case, or nothing."""
        return self.words[0].lower() if self.words else ""

    @property
    def value(self) -> str:
        """The second word, or nothing."""
        return self.words[1] if len(self.words) > 1 else ""

    def find(self, *names: str) -> Iterator[SyntaxNode]:
        """Yield the statements directly within this one that have one of the names."""
        return find(self.body, *names)

    def last(self, *names: str) -> SyntaxNode | None:
        """Return the last of them, which is the one in force where one may be repeated."""
        return last(self.body, *names)


def find(nodes: Iterable[SyntaxNode], *names: str) -> Iterator[SyntaxNode]:
    """Yield the statements that have one of the names."""
    return (node for node in nodes if node.name in names)


def everything(nodes: Iterable[SyntaxNode]) -> Iterator[SyntaxNode]:
    """Yield all statements, those within others too, in order."""
    todo = [iter(tuple(nodes))]
    while todo:
        node = next(todo[-1], None)
        if node is None:
            todo.pop()
            continue
        yield node
        if node.body:
            todo.append(iter(node.body))


def last(nodes: Iterable[SyntaxNode], *names: str) -> SyntaxNode | None:
    """Return the last statement that has one of the names."""
    found = None
    for node in find(nodes, *names):
        found = node
    return found


def word_set(*lines: str) -> frozenset[str]:
    """Return the words of some lines: long lists of names, as they are read best."""
    return frozenset(word for line in lines for word in line.split())


class Opened:
    """Blocks within blocks while a file is read, without recursion and not endlessly deep."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._stack: list[tuple[tuple[str, ...], int]] = []
        self._bodies: list[list[SyntaxNode]] = [[]]

    @property
    def depth(self) -> int:
        """How many blocks are open."""
        return len(self._stack)

    def add(
        self,
        line: int,
        words: Iterable[str],
        body: Iterable[SyntaxNode] = (),
        fault: str = "",
        mend: str = "",
    ) -> None:
        """Put a statement into the innermost block."""
        node = SyntaxNode(self.file, line, tuple(words), tuple(body), fault, mend)
        self._bodies[-1].append(node)

    def open(self, line: int, words: Iterable[str]) -> None:
        """Open a block that these words begin."""
        if self.depth >= MAX_DEPTH:
            what = f"blocks are nested more than {MAX_DEPTH} deep"
            raise LintError(self.file, line, what, "no server's configuration is; check the braces")
        self._stack.append((tuple(words), line))
        self._bodies.append([])

    def close(self, line: int) -> tuple[tuple[str, ...], int, list[SyntaxNode]]:
        """Close the innermost block; return its words, its line, what is in it."""
        if not self._stack:
            raise LintError(self.file, line, "a } without a {", "take it out")
        words, start = self._stack.pop()
        return words, start, self._bodies.pop()

    def done(self) -> list[SyntaxNode]:
        """Return the statements of the whole file."""
        if self._stack:
            line = self._stack[-1][1]
            raise LintError(self.file, line, "the { is never closed", "close it with a }")
        return self._bodies[0]
