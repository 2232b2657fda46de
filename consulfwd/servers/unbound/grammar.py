"""The grammar of unbound.conf: sections and `name: value` in a row, wherever lines end."""

from __future__ import annotations

import re
from collections.abc import Iterable

from consulfwd.errors import LintError
from consulfwd.servers.syntax import SyntaxNode, last

SECTIONS = frozenset(
    {"server", "stub-zone", "forward-zone", "auth-zone", "view", "rpz", "remote-control"}
    | {"python", "dynlib", "dnscrypt", "dnstap", "cachedb", "ipset"}
)
_TOKEN = re.compile(
    r"""(?P<blank>[^\S\n]+)|(?P<newline>\n)|(?P<comment>\#[^\n]*)
    |(?P<quoted>"[^"\n]*"|'[^'\n]*')
    |(?P<name>[A-Za-z][A-Za-z0-9-]*:(?=[\s"']|$))|(?P<word>[^\s"']+)""",
    re.VERBOSE,
)
_GLUED = re.compile(r"([A-Za-z][A-Za-z0-9-]*):(.+)", re.DOTALL)


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return sections and attributes in one row, as they stand; `joined` puts them in order."""
    found: list[tuple[int, list[str]]] = []
    line, place = 1, 0
    begins = True  # nothing stands before on this line
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise LintError(file, line, "a quoted text is not ended on its line", "end it")
        kind, token = match.lastgroup, match[0]
        place = match.end()
        first, begins = begins, kind == "newline" or (begins and kind == "blank")
        if kind == "newline":
            line += 1
        elif kind == "name":
            found.append((line, [token[:-1].lower()]))
        elif kind in {"quoted", "word"}:
            value = token[1:-1] if kind == "quoted" else token
            fresh = not found or len(found[-1][1]) > 1 or found[-1][1][0] in SECTIONS
            glued = _GLUED.fullmatch(token) if kind == "word" and fresh and first else None
            if glued:
                found.append((line, [glued[1].lower(), glued[2]]))
            elif not found or (found[-1][1][0] in SECTIONS and kind == "word"):
                what = f"{value[:60]!a} is not the value of anything"
                raise LintError(file, line, what, "write name: value")
            else:
                found[-1][1].append(value)
    return [SyntaxNode(file, line, tuple(words)) for line, words in found]


def included(node: SyntaxNode) -> str | None:
    """Return the file or pattern an include names."""
    return node.value if node.name in {"include", "include-toplevel"} and node.value else None


def joined(nodes: Iterable[SyntaxNode]) -> list[SyntaxNode]:
    """Return the sections, each with its attributes. An included file goes on with the section."""
    sections: list[tuple[SyntaxNode, list[SyntaxNode]]] = []
    for node in nodes:
        if node.name in SECTIONS and len(node.words) == 1:
            sections.append((node, []))
        elif sections:
            sections[-1][1].append(node)
        elif not included(node):
            what = f"{node.words[0]}: stands before any section"
            raise LintError(node.file, node.line, what, "put server: or its section before it")
    return [SyntaxNode(one.file, one.line, one.words, tuple(body)) for one, body in sections]


def directory(nodes: list[SyntaxNode]) -> str | None:
    """Return the folder relative names start from, where the file says so."""
    found = last(nodes, "directory")
    return found.value if found else None
