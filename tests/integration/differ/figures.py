"""The table of figures of a run, for docs/conformance-differences.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from tests.integration.differ.run import Found
from tests.integration.differ.servers import OURS, PEERS


def text(found: Found, command: str, versions: Mapping[str, str]) -> str:
    """Markdown: what ran, then for each server its kinds with their numbers and reasons."""
    known = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        f"{found.queries:,} queries to each of {1 + len(PEERS)} servers, by",
        f"`{command}`; {known}.",
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
