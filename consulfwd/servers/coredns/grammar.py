"""The grammar of a Corefile: server blocks, plugins one a line, blocks within them, snippets."""

from __future__ import annotations

import re

from consulfwd.errors import LintError
from consulfwd.servers.syntax import Opened, SyntaxNode

_TOKEN = re.compile(
    r"(?P<blank>[^\S\n]+)|(?P<newline>\n)|(?P<comment>#[^\n]*)"
    r'|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<word>[^\s"]\S*)',
    re.DOTALL,
)

# Caddy's own files have words behind the name, and {args[0]} for them (run with 1.15).
_IMPORT = (
    "import takes one word, and these are more",
    "write what the snippet has in place of the import",
)


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return the server blocks and snippets of a Corefile, or the lines of a file it imports."""
    opened = Opened(file)
    words: list[str] = []
    start, line, place = 1, 1, 0
    while place <= len(text):
        match = _TOKEN.match(text, place)
        if match is None and place < len(text):
            raise LintError(file, line, "a quoted text is not ended", "end it")
        kind, token = (match.lastgroup, match[0]) if match else ("newline", "\n")
        place += len(token)
        if kind in {"quoted", "word"}:
            if not words:
                start = line
            words.append(token[1:-1] if kind == "quoted" else token)
        line += token.count("\n")
        if kind != "newline" or not words or words[-1].endswith(","):
            continue
        if words == ["}"]:
            begun, begin, body = opened.close(start)
            opened.add(begin, begun, body)
        elif words[-1] == "{":
            opened.open(start, words[:-1])
        elif words[-1] == "}" and "{" in words:
            _one_line(opened, start, words)
        elif words[0] == "import" and len(words) > 2:
            opened.add(start, words, (), *_IMPORT)
        else:
            opened.add(start, words)
        words = []
    if words:
        opened.add(start, words)
    nodes = opened.done()
    if nodes and not nodes[0].body and _is_zone(nodes[0]):
        # A single server block may go without braces.
        return [SyntaxNode(file, nodes[0].line, nodes[0].words, tuple(nodes[1:]))]
    return nodes


def _one_line(opened: Opened, line: int, words: list[str]) -> None:
    """Put a block on one line where it would be if it had three."""
    at = words.index("{")
    within = words[at + 1 : -1]
    body = [SyntaxNode(opened.file, line, tuple(within))] if within else []
    fault = "a block stands on one line, and CoreDNS takes its } for a word"
    mend = f"{' '.join(words[:at])} {{\n    {' '.join(within)}\n}}"
    opened.add(line, words[:at], body, fault, mend)


def _is_zone(node: SyntaxNode) -> bool:
    first = node.words[0].rstrip(",")
    return len(node.words) == 1 and (first == "." or first.rpartition(":")[2].isdigit())


def included(node: SyntaxNode) -> str | None:
    """Return what an import names: a snippet, a file or a pattern."""
    return node.value if node.name == "import" and len(node.words) == 2 else None
