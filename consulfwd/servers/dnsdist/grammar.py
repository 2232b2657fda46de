"""The grammar of dnsdist's configuration: Lua, or from 2.0 on YAML that comes to it."""

from __future__ import annotations

from consulfwd.servers import lua
from consulfwd.servers.dnsdist import written
from consulfwd.servers.syntax import SyntaxNode


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return the calls of a file, in either language."""
    return written.parse(text, file) if written.LOOKS.search(text) else lua.parse(text, file)


def included(node: SyntaxNode) -> str | None:
    """Return the file another one is run from, or those of a folder."""
    if not node.body or node.words[:1] not in {("dofile",), ("includeDirectory",)}:
        return None
    named = next(iter(lua.texts(node.body[0])), None)
    if named is None:
        return None
    return f"{named.rstrip('/')}/*.conf" if node.words[0] == "includeDirectory" else named
