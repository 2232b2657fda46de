"""Replies and differences as text, for whoever has to find out why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.integration.differ.facts import SECTIONS, Facts, Key, shown
from tests.integration.differ.kinds import SILENT, Difference
from tests.integration.differ.questions import Query

COMMAND = "python -m tests.integration.differ"
# So many records of a section, so many examples of a kind.
RECORDS, EXAMPLES = 6, 3


def told(facts: Facts) -> list[str]:
    """A reply, one line for its head and one for each record."""
    if facts.rcode in SILENT:
        return [f"{facts.rcode} {facts.why}".rstrip()]
    head = [facts.rcode, " ".join(sorted(facts.flags - {"QR"})), f"{facts.size} octets"]
    if facts.edns is not None:
        head.append(f"EDNS {facts.edns[0]}{' DO' if facts.edns[1] else ''}")
    head += [f"option {code}" for code in sorted(facts.options)]
    head += [f"extended error {code} {facts.why}".rstrip() for code in sorted(facts.ede)]
    head += ["a record twice"] * facts.doubled + ["out of order"] * (not facts.in_order)
    lines = [", ".join(word for word in head if word)]
    for section in SECTIONS:
        records = sorted(facts.sections[section])
        lines += [
            f"  {section} {_ttl(facts, section, one)} {shown(one)}" for one in records[:RECORDS]
        ]
        if len(records) > RECORDS:
            lines.append(f"  {section} and {len(records) - RECORDS} more")
    return lines


def _ttl(facts: Facts, section: str, record: tuple[str, int, bytes]) -> str:
    keys: list[Key] = [k for k in facts.ttls if k[:3] == (section, record[0], record[1])]
    return "/".join("..." + str(c) for key in keys for c in facts.ttls[key])


def replies_told(query: Query, replies: Mapping[str, Facts]) -> str:
    """A query, and what each server says."""
    lines = [str(query)]
    for name, facts in replies.items():
        first, *rest = told(facts)
        lines += [f"  {name}: {first}", *(f"    {line}" for line in rest)]
    return "\n".join(lines)


def examples(
    kind: str, found: Iterable[Difference], replies: Mapping[Query, Mapping[str, Facts]]
) -> str:
    """A kind of difference with a few queries that show it, and how to ask them again."""
    some = list(found)
    lines = [f"{some[0].server}: {kind} ({len(some)} queries)"]
    for one in some[:EXAMPLES]:
        lines += [replies_told(one.query, replies[one.query])]
        lines += [f"  again: {COMMAND} --query '{one.query}'"]
    return "\n".join(lines)
