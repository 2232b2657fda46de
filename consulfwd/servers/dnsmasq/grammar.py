"""The grammar of dnsmasq.conf: one option a line, with or without `=value`."""

from __future__ import annotations

import re

from consulfwd.errors import LintError
from consulfwd.servers.dnsmasq.names import OPTIONS
from consulfwd.servers.syntax import SyntaxNode

_CAPITALS = frozenset({"filter-A", "filter-AAAA"})
_OPTION = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)\s*(?:=\s*(.*))?", re.DOTALL)


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return one statement per line that has an option: its name, and its value if it has one."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        shown = _without_comment(line, file, number).strip()
        if not shown:
            continue
        match = _OPTION.fullmatch(shown)
        unknown = match and "_" in match[1] and match[1].replace("_", "-").lower() not in OPTIONS
        if match is None or unknown:
            what = f"{shown[:60]!a} is not an option"
            mend = "without the dashes of the command line" if shown.startswith("-") else ""
            raise LintError(file, number, what, mend or "write option or option=value")
        name, value = match[1].replace("_", "-").lower(), match[2]
        words = (name,) if value is None else (name, value.strip())
        fault = ""
        if name != match[1] and name in OPTIONS and match[1] not in _CAPITALS:
            fault = f"dnsmasq does not know {match[1]!a}"
        mend = "=".join(words) if fault else ""
        found.append(SyntaxNode(file, number, words, (), fault, mend))
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
    names = {"conf-file", "conf-dir", "servers-file"}
    return node.value if node.name in names and node.value else None
