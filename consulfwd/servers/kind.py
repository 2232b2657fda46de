"""What is known of a server whose files are looked at: grammar, rules, and how they are told apart.

Pure. What belongs here: the form of these facts, one `ServerKind` for each server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from consulfwd.servers.findings import LintRule, ZoneUpstreams
from consulfwd.servers.syntax import SyntaxNode
from consulfwd.servers.target import Target


def _same(nodes: Iterable[SyntaxNode]) -> list[SyntaxNode]:
    return list(nodes)


def _nowhere(_: list[SyntaxNode]) -> str | None:
    return None


def _nothing(_: SyntaxNode) -> str | None:
    return None


@dataclass(frozen=True)
class ServerKind:
    """All about one kind of server.

    `target` is what is known of its name and versions. `looks` is what its files have at the start
    of a line.
    `included`, `directory` and `joined` serve reading: what a statement includes, where relative
    names start from, and the last step to a tree.
    """

    target: Target
    parse: Callable[[str, str], list[SyntaxNode]]
    groups: Callable[[tuple[SyntaxNode, ...], tuple[str, ...]], list[ZoneUpstreams]]
    rules: tuple[LintRule, ...]
    spell: Callable[[str, int], str]
    looks: re.Pattern[str]
    included: Callable[[SyntaxNode], str | None] = _nothing
    directory: Callable[[list[SyntaxNode]], str | None] = _nowhere
    joined: Callable[[Iterable[SyntaxNode]], list[SyntaxNode]] = field(default=_same)

    @property
    def title(self) -> str:
        """What people call it."""
        return self.target.title


def bracketed(address: str, port: int) -> str:
    """Return an endpoint with IPv6 in brackets, as most servers have it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


# Blanks and a comment may end a line.
END = r"[ \t]*(?:#[^\n]*)?$"


def looks_like(pattern: str) -> re.Pattern[str]:
    """Return what finds a line that begins so."""
    return re.compile(rf"^[ \t]*(?:{pattern})", re.MULTILINE)
