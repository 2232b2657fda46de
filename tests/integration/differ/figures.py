"""The figures of a run as tables, for docs/conformance-differences.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.integration.differ.run import Found
from tests.integration.differ.servers import OURS, PEERS

# What stands before it in the page is left as it is.
MARK = "<!-- What follows is written by a run. -->\n"


def write(page: Path, figures: str) -> None:
    """Put the figures into the page, in place of those of an earlier run."""
    before = page.read_text().partition(MARK)[0] if page.exists() else ""
    page.write_text(before + MARK + "\n" + figures)


def text(found: Found, command: str, versions: Mapping[str, str]) -> str:
    """Markdown: what ran, then for each server its kinds with their numbers and reasons."""
    known = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        f"{found.queries:,} queries to each of {1 + len(PEERS)} servers ({known}):",
        *("", "```", command, "```"),
    ]
    for server in (OURS, *PEERS):
        lines += ["", f"### {server}", "", "| What is different | Queries | Why |", "|---|---|---|"]
        lines += _rows(found, server)
    return "\n".join(lines) + "\n"


def _rows(found: Found, server: str) -> Iterable[str]:
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for (kind, reason), count in found.explained.items():
        if reason.server == server:
            kinds[reason.why][kind] += count
    rows = [
        (counted.total(), ", ".join(sorted(counted)), why) for why, counted in kinds.items()
    ]
    rows += [
        (len(some), kind, "not looked into: such as " + f"`{some[0].query}`")
        for (name, kind), some in found.unexplained.items()
        if name == server
    ]
    for count, kind, why in sorted(rows, reverse=True):
        yield f"| {kind} | {count:,} | {why} |".replace("*", r"\*")
