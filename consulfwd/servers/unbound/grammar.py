"""The grammar of unbound.conf: sections and `name: value` in a row, wherever lines end."""

from __future__ import annotations

import re

from consulfwd.errors import LintError
from consulfwd.servers.syntax import SyntaxNode, last
from consulfwd.servers.unbound.names import ATTRIBUTES, SECTIONS

_TOKEN = re.compile(
    r"""(?P<blank>[^\S\n]+)|(?P<newline>\n)|(?P<comment>\#[^\n]*)
    |(?P<quoted>"[^"\n]*"|'[^'\n]*')
    |(?P<name>[A-Za-z][A-Za-z0-9-]*:(?=[\s"']|$))|(?P<word>[^\s"']+)""",
    re.VERBOSE | re.ASCII,  # a blank from a web page is none
)
_GLUED = re.compile(r"([A-Za-z][A-Za-z0-9-]*):(.+)", re.DOTALL)


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return sections and attributes in one row, as they stand; `written` puts them in order."""
    found: list[tuple[int, list[str]]] = []
    wrong: dict[int, tuple[str, str]] = {}  # what is wrong with those of a place in the row
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
            name = token[:-1].lower()
            if name != token[:-1] and (name in SECTIONS or name in ATTRIBUTES):
                wrong[len(found)] = (f"unbound knows {token} in small letters alone", f"{name}:")
            found.append((line, [name]))
        elif kind in {"quoted", "word"}:
            if token == "=" and len(found) - 1 in wrong:
                continue
            value = token[1:-1] if kind == "quoted" else token
            fresh = not found or len(found[-1][1]) > 1 or found[-1][1][0] in SECTIONS
            if first and kind == "word" and found and token in ATTRIBUTES:
                wrong[len(found)] = (f"a : is missing after {token}", "")
                found.append((line, [token]))
                continue
            glued = _GLUED.fullmatch(token) if kind == "word" and fresh and first else None
            if glued:
                found.append((line, [glued[1].lower(), glued[2]]))
            elif not found or (found[-1][1][0] in SECTIONS and kind == "word"):
                what = f"{value[:60]!a} is not the value of anything"
                raise LintError(file, line, what, "write name: value")
            else:
                found[-1][1].append(value)
    return [
        SyntaxNode(file, line, tuple(words), (), *wrong.get(place, ("", "")))
        for place, (line, words) in enumerate(found)
    ]


def included(node: SyntaxNode) -> str | None:
    """Return the file or pattern an include names."""
    return node.value if node.name in {"include", "include-toplevel"} and node.value else None


def directory(nodes: list[SyntaxNode]) -> str | None:
    """Return the folder relative names start from, where the file says so."""
    found = last(nodes, "directory")
    return found.value if found else None
