"""The grammar of Knot Resolver's configuration: Lua, or from version 6 on YAML that comes to it."""

from __future__ import annotations

from consulfwd.servers import lua
from consulfwd.servers.kresd import written
from consulfwd.servers.syntax import SyntaxNode


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return the calls of a file, in either language."""
    return written.parse(text, file) if written.LOOKS.search(text) else lua.parse(text, file)


def included(node: SyntaxNode) -> str | None:
    """Return the file another one is run from."""
    if node.words[:1] == ("dofile",) and node.body:
        return next(iter(lua.texts(node.body[0])), None)
    return None
