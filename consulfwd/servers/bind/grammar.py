"""The grammar of named.conf: words, statements that end in `;`, blocks in braces."""

from __future__ import annotations

import re

from consulfwd.errors import LintError
from consulfwd.servers.syntax import Opened, SyntaxNode

_TOKEN = re.compile(
    r"""(?P<blank>[^\S\n]+)|(?P<newline>\n)|(?P<comment>\#[^\n]*|//[^\n]*|/\*.*?\*/)
    |(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<mark>[{};])|(?P<word>(?:[^\s{};"\#/]|/(?![/*]))+)""",
    re.VERBOSE | re.DOTALL | re.ASCII,  # a blank from a web page is none
)

_MAX_BLOCKS = 16


# 127.0.0.1#8600, as others write a port
_HASHED = re.compile(r"^(?!\s*(?:#|//))[^\n#]*?([0-9a-f.:]{3,45})#(\d+)", re.MULTILINE)


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return the statements of a named.conf, or of a file it includes.

    Where a statement has several blocks, what is in them is joined.
    """
    try:
        return _parsed(text, file)
    except LintError as error:
        found = _HASHED.search(text)
        if found is None or text.count("\n", 0, found.start(1)) + 1 > max(error.line, 1):
            raise
        line = text.count("\n", 0, found.start(1)) + 1
        what = f"{found[1]}#{found[2][:10]}: what is behind the # is a comment here"
        raise LintError(file, line, what, f"{found[1]} port {found[2][:10]};") from None


def _parsed(text: str, file: str) -> list[SyntaxNode]:
    opened = Opened(file)
    line, place = 1, 0
    words: list[str] = []
    start = 1
    body: list[SyntaxNode] = []
    closed = 0  # complete blocks of the statement at hand
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            what = "a comment is" if text[place] == "/" else "a quoted text is"
            raise LintError(file, line, f"{what} not ended", "end it")
        kind, token, here = match.lastgroup, match[0], line
        line += token.count("\n")
        place = match.end()
        if kind in {"blank", "newline", "comment"}:
            continue
        if kind in {"word", "quoted"}:
            if closed and not opened.depth:
                raise LintError(file, here, "a ; is missing after the } before", "add it")
            if not words:
                start = here
            words.append(token[1:-1] if kind == "quoted" else token)
        elif token == "{":
            if closed >= _MAX_BLOCKS:
                raise LintError(file, here, "a ; is missing after one of the } before", "add it")
            opened.open(start if words else here, words)
            # The statement goes on after its block; what it had of earlier ones goes along.
            opened.add(closed, (), body)
            words, body, closed = [], [], 0
        elif token == ";":
            if words or closed:
                opened.add(start, words, body)
            words, body, closed = [], [], 0
        else:
            if words or closed:
                raise LintError(file, here, "a ; is missing before the }", "add it")
            begun, start, inner = opened.close(here)
            words, body, closed = list(begun), [*inner[0].body, *inner[1:]], inner[0].line + 1
    if words or closed:
        raise LintError(file, start, "a ; is missing after this statement", "add it")
    return opened.done()


def included(node: SyntaxNode) -> str | None:
    """Return the file or pattern an include statement names."""
    return node.value if node.name == "include" and len(node.words) == 2 else None


def directory(nodes: list[SyntaxNode]) -> str | None:
    """Return the folder relative names start from, where the file says so."""
    for node in nodes:
        if node.name == "options" and (found := node.last("directory")):
            return found.value
    return None
