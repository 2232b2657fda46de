"""The part of Lua that configurations are made of: calls of functions with texts and tables.

What belongs here: Lua's words, and calls with their arguments as statements, wherever they stand.
What is called is for the grammars of the servers; nothing is run, and what a loop or a condition
makes of a call is not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from consulfwd.errors import LintError
from consulfwd.servers.syntax import MAX_DEPTH, SyntaxNode

MAX_VALUES = 300_000
# Of what a variable stands for, so that variables within variables do not multiply.
MAX_KEPT = 1_000
MAX_KEPT_DEPTH = 6
MAX_FILLED_IN = 100_000
# Characters of texts that are put together: a name, or an address.
MAX_JOINED = 1_000
TABLE = "{}"
# An argument that is no text, number, table, call or known name.
UNKNOWN = "?"

_TOKEN = re.compile(
    r"""(?P<blank>[^\S\n]+)|(?P<newline>\n)|(?P<long>(?:--)?\[=*\[)|(?P<comment>--[^\n]*)
    |(?P<quoted>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<name>[A-Za-z_]\w*(?:\s?[.:]\s?[A-Za-z_]\w*)*)|(?P<number>\d[\w.]*)|(?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(\d{1,3}|.)", re.DOTALL)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def _tokens(text: str, file: str) -> Iterator[_Token]:
    line, place = 1, 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        assert match is not None
        kind, token, place = match.lastgroup, match[0], match.end()
        if kind == "long":
            closing = "]" + token.strip("-[") + "]"
            end = text.find(closing, place)
            if end < 0:
                raise LintError(file, line, f"{token} is never closed", f"close it with {closing}")
            if token[0] != "-":
                yield _Token("quoted", text[place:end], line)
            line += text.count("\n", place, end)
            place = end + len(closing)
        elif kind == "mark" and token in "\"'":
            raise LintError(file, line, "a quoted text is not ended on its line", "end it")
        elif kind == "quoted":
            plain = _ESCAPE.sub(lambda one: _character(one[1]), token[1:-1])
            yield _Token(kind, plain, line)
        elif kind in {"name", "number", "mark"}:
            yield _Token(kind, re.sub(r"\s", "", token), line)
        line += token.count("\n")


def _character(code: str) -> str:
    if code.isdigit():
        return chr(min(int(code), 255))
    return {"n": "\n", "t": "\t", "r": "\r"}.get(code, code)


class _Reader:
    """Goes through the words once; `calls` are those that stand in no other one."""

    def __init__(self, tokens: list[_Token], file: str) -> None:
        self._tokens = tokens
        self._file = file
        self._at = 0
        self._known: dict[str, tuple[SyntaxNode, int]] = {}
        self._values = 0
        self._filled_in = 0
        self.calls: list[SyntaxNode] = []

    def read(self) -> list[SyntaxNode]:
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.kind == "name" and self._is("=", 1) and not self._is("=", 2):
                self._assigned(token)
            elif token.kind == "name" and self._is("[", 1):
                # What is in it is changed, for all that is known.
                self._known.pop(token.text, None)
                self._at += 1
            elif token.text == "table.insert" and self._is("(", 1):
                if self._at + 2 < len(self._tokens):
                    self._known.pop(self._tokens[self._at + 2].text, None)
                self.calls.append(self._value(0))
            elif token.kind == "name" and self._begins_call(1):
                self.calls.append(self._value(0))
            else:
                self._at += 1
        return self.calls

    def _assigned(self, name: _Token) -> None:
        """Keep what a name stands for; a call on its right side is one all the same."""
        self._at += 2
        if self._at >= len(self._tokens):
            return
        value = self._value(0)
        size = _size(value)
        self._known.pop(name.text, None)
        if size <= MAX_KEPT:
            self._known[name.text] = value, size
        if value.words[:1] not in {(TABLE,), (UNKNOWN,)} and value.body:
            self.calls.append(value)
        elif "." in name.text or name.text in {"net", "modules"}:
            # Settings are made by assigning, too.
            self.calls.append(SyntaxNode(self._file, name.line, (name.text,), (value,)))

    def _is(self, mark: str, ahead: int = 0) -> bool:
        at = self._at + ahead
        return at < len(self._tokens) and self._tokens[at][:2] == ("mark", mark)

    def _begins_call(self, ahead: int) -> bool:
        at = self._at + ahead
        quoted = at < len(self._tokens) and self._tokens[at].kind == "quoted"
        return quoted or self._is("(", ahead) or self._is("{", ahead)

    def _value(self, depth: int) -> SyntaxNode:
        """Return the expression at hand as a statement, and go behind it."""
        value = self._one(depth)
        while self._joins():
            self._at += 2
            line, behind = value.line, self._one(depth)
            known = _is_text(value) and _is_text(behind)
            text = value.words[0] + behind.words[0] if known else UNKNOWN
            value = SyntaxNode(self._file, line, (text[:MAX_JOINED],))
        return value

    def _joins(self) -> bool:
        """Whether `..` and something comes next; `...` is another thing."""
        if not (self._is(".") and self._is(".", 1)) or self._at + 2 >= len(self._tokens):
            return False
        behind = self._tokens[self._at + 2]
        return behind.kind != "mark" or behind.text in {"(", "{"}

    def _one(self, depth: int) -> SyntaxNode:
        """Return the text, number, table, call or name at hand, and go behind it."""
        if depth > MAX_DEPTH:
            line = self._tokens[self._at].line
            raise LintError(self._file, line, f"is nested more than {MAX_DEPTH} deep", "part it")
        token = self._tokens[self._at]
        self._values += 1
        if self._values > MAX_VALUES:
            what = f"has more than {MAX_VALUES} values"
            raise LintError(self._file, token.line, what, "lint the part that concerns Consul")
        if token[:2] == ("mark", "{"):
            return SyntaxNode(self._file, token.line, (TABLE,), self._list("}", depth))
        if token[:2] == ("mark", "("):
            self._list(")", depth)  # a sum, or the like
            return SyntaxNode(self._file, token.line, (UNKNOWN,))
        self._at += 1
        if token.kind in {"quoted", "number"}:
            return SyntaxNode(self._file, token.line, (token.text,))
        if token.kind != "name":
            return SyntaxNode(self._file, token.line, (UNKNOWN,))
        if not self._begins_call(0):
            value, size = self._known.get(token.text, (None, 0))
            self._filled_in += size
            if value is None or self._filled_in > MAX_FILLED_IN:
                return SyntaxNode(self._file, token.line, (UNKNOWN, token.text))
            return value
        within = self._list(")", depth) if self._is("(") else (self._value(depth + 1),)
        return SyntaxNode(self._file, token.line, (token.text,), within)

    def _list(self, closing: str, depth: int) -> tuple[SyntaxNode, ...]:
        """Return what stands between brackets; `key = value` is a statement of both."""
        start = self._tokens[self._at].line
        self._at += 1
        found: list[SyntaxNode] = []
        fresh = True
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token[:2] == ("mark", closing):
                self._at += 1
                return tuple(found)
            if token.kind == "mark" and token.text in ",;":
                self._at, fresh = self._at + 1, True
            elif token.kind == "name" and self._is("=", 1) and fresh:
                self._at += 2
                if self._at >= len(self._tokens):
                    break
                value = self._value(depth + 1)
                words = (token.text, *value.words)
                found.append(SyntaxNode(self._file, token.line, words, value.body))
                fresh = False
            else:
                value = self._value(depth + 1)
                if fresh:
                    found.append(value)
                fresh = False
        raise LintError(self._file, start, f"no {closing} closes what begins here", "close it")


def _is_text(node: SyntaxNode) -> bool:
    return len(node.words) == 1 and not node.body and node.words[0] not in {TABLE, UNKNOWN}


def _size(node: SyntaxNode) -> int:
    """Return how many statements one is made of, MAX_KEPT + 1 for too many or too deep ones."""
    size, level, depth = 1, [node], 0
    while level and size <= MAX_KEPT:
        depth += 1
        level = [inner for one in level for inner in one.body]
        size += len(level)
        if depth > MAX_KEPT_DEPTH:
            return MAX_KEPT + 1
    return size


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return the calls of a Lua file: the function's name, and within it its arguments."""
    return _Reader(list(_tokens(text, file)), file).read()


def strings(node: SyntaxNode, through: frozenset[str] = frozenset()) -> list[SyntaxNode]:
    """Return the texts that an argument is, or that are in the table it is, each with its line.

    What is given to the functions `through` counts as well.
    """
    if node.words == (TABLE,) or (node.words and node.words[0] in through):
        return [found for one in node.body for found in strings(one, through)]
    return [node] if len(node.words) == 1 and not node.body else []


def texts(node: SyntaxNode, through: frozenset[str] = frozenset()) -> list[str]:
    """Return the texts of `strings`."""
    return [one.words[0] for one in strings(node, through)]


def field(table: SyntaxNode, key: str) -> SyntaxNode | None:
    """Return the field `key = value` of a table, as its two words; a table is in its body."""
    found = (one for one in table.body if len(one.words) > 1 and one.words[0] == key)
    return next(found, None)
