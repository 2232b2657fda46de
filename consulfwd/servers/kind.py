"""What is known of a server whose files are looked at: grammar, rules, and how they are told apart.

Pure. What belongs here: the form of these facts, one `ServerKind` for each server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
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
    of a line. `groups` says who gets names under given domains, and reverse names; asked for the
    root (the empty domain), who gets any name. `spell` writes an agent, `stanza` a zone with its
    agents, as something to paste.
    `included`, `directory` and `joined` serve reading: what a statement includes, where relative
    names start from, and the last step to a tree. Without a `directory` they start where the
    process does, which no file tells, or with `from_file` in the folder of the file that has them.
    With `read_once` a file named again is passed over; `only_first` are the statements that count
    in the file that is read first, and not in those it includes.
    `beside` is whether the files of a folder ending in .conf.d are one configuration, whoever
    includes them. `together` is the option that has all agents of a zone asked at once. `unseen`
    are the statements by which zones come from elsewhere than files: a directory, a program.
    """

    target: Target
    parse: Callable[[str, str], list[SyntaxNode]]
    groups: Callable[[tuple[SyntaxNode, ...], tuple[str, ...]], list[ZoneUpstreams]]
    rules: tuple[LintRule, ...]
    spell: Callable[[str, int], str]
    stanza: Callable[[str, Sequence[tuple[str, int]]], str]
    looks: re.Pattern[str]
    included: Callable[[SyntaxNode], str | None] = _nothing
    directory: Callable[[list[SyntaxNode]], str | None] = _nowhere
    joined: Callable[[Iterable[SyntaxNode]], list[SyntaxNode]] = field(default=_same)
    from_file: bool = False
    read_once: bool = False
    only_first: frozenset[str] = frozenset()
    beside: bool = False
    together: str = ""
    unseen: frozenset[str] = frozenset()

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
