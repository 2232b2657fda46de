"""The grammar of systemd's files: [Section] and Key=value, `\\` joins lines."""

from __future__ import annotations

from consulfwd.errors import LintError
from consulfwd.servers.syntax import SyntaxNode

SECTIONS = ("resolve", "network", "delegate")


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return the sections, each with its keys and the blank-separated words of their values.

    Names of sections and keys are as they are spelled: to systemd that matters.
    """
    sections: list[tuple[int, str, list[SyntaxNode]]] = []
    lines = enumerate(text.split("\n"), 1)
    for number, raw in lines:
        line = raw.strip()
        parts = []
        while line.endswith("\\"):
            parts.append(line[:-1])
            _, following = next(lines, (0, ""))
            line = following.strip()
            if line.startswith(("#", ";")):
                line = "\\"
        line = " ".join([*parts, line]).strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                raise LintError(file, number, "the name of a section has no ]", "add it")
            sections.append((number, line[1:-1].strip(), []))
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            raise LintError(file, number, f"{line[:60]!a} is not Key=value", "write Key=value")
        if not sections:
            what = f"{key.strip()[:60]!a} stands before any section"
            raise LintError(file, number, what, "put [Resolve] before it")
        words = (key.strip(), *value.split())
        sections[-1][2].append(SyntaxNode(file, number, words))
    return [SyntaxNode(file, line, (name,), tuple(body)) for line, name, body in sections]
