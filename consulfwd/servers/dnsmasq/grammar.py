"""The grammar of dnsmasq.conf: one option a line, with or without `=value`."""

from __future__ import annotations

import re

from consulfwd.errors import LintError
from consulfwd.servers.syntax import SyntaxNode

_OPTION = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)\s*(?:=\s*(.*))?", re.DOTALL)


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return one statement per line that has an option: its name, and its value if it has one."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        shown = _without_comment(line, file, number).strip()
        if not shown:
            continue
        match = _OPTION.fullmatch(shown)
        if match is None:
            what = f"{shown[:60]!a} is not an option"
            mend = "without the dashes of the command line" if shown.startswith("-") else ""
            raise LintError(file, number, what, mend or "write option or option=value")
        name, value = match[1].lower(), match[2]
        found.append(SyntaxNode(file, number, (name,) if value is None else (name, value.strip())))
    return found


def _without_comment(line: str, file: str, number: int) -> str:
    """Return a line without quotes and comment: # at its start or after a blank."""
    kept: list[str] = []
    quoted = False
    before = " "
    for one in line:
        if one == '"' and before != "\\":
            quoted = not quoted
        elif one == "#" and not quoted and before.isspace():
            break
        else:
            kept.append(one)
        before = one
    if quoted:
        raise LintError(file, number, "a quoted text is not ended on its line", "end it")
    return "".join(kept)


def included(node: SyntaxNode) -> str | None:
    """Return the file or folder an option names; of a folder, with the suffixes after commas."""
    return node.value if node.name in {"conf-file", "conf-dir"} and node.value else None
