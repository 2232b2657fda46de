"""A report as a table for people, and as plain data.

What belongs here: words and columns. Must not know: how anything was found. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from consulfwd.audit.finding import SEVERITIES, Finding, names
from consulfwd.audit.graph import Fall
from consulfwd.audit.report import Report
from consulfwd.audit.rules import RULES
from consulfwd.audit.wording import MOST_TOLD, counted, cut, plain, summary

MOST_FALLS = 20


def table(report: Report) -> Iterator[tuple[str, str]]:
    """Yield the lines of a report, each with what it is: a severity, "head", "dim" or ""."""
    for severity in SEVERITIES:
        found = [one for one in report.findings if one.severity == severity]
        if not found:
            continue
        yield severity, counted(len(found), severity)
        for one in found[:MOST_TOLD]:
            new = "  (new)" if report.changes and one.key in report.changes.new else ""
            yield "head", f"  {one.id}: {cut(plain(one.subject))}{new}"
            yield "", f"      {plain(one.what)}"
            yield "dim", f"      mend: {plain(one.mend)}"
        if (more := len(found) - MOST_TOLD) > 0:
            yield "dim", f"  and {more} more (--json has all)"
        yield "", ""
    several = [one for one in report.falls if one.total > 1]
    if several:
        yield "head", "what falls with what"
        for fall in several[:MOST_FALLS]:
            yield "", f"  {plain(fall_text(fall))}"
        if (more := len(several) - MOST_FALLS) > 0:
            yield "dim", f"  and {more} more (--json has all)"
        yield "", ""
    if report.changes is not None and report.changes.gone:
        yield "head", "gone since the baseline"
        for key in report.changes.gone[:MOST_TOLD]:
            yield "", f"  {cut(plain(key))}"
        yield "", ""
    if report.ignored:
        yield "head", "ignored"
        for one, reason in report.ignored[:MOST_TOLD]:
            yield "", f"  {cut(plain(one.key))}: {plain(reason) or 'no reason given'}"
        yield "", ""
    if report.unseen:
        yield "head", "not looked at"
        for unseen in report.unseen:
            yield "", f"  {plain(unseen.what)}: {plain(unseen.why)}"
        yield "", ""
    yield "head", summary(report)
    yield "", f"looked at {plain(report.looked_at)}, by {len(RULES)} rules"


def fall_text(fall: Fall) -> str:
    """Return what falls with a place, in a sentence."""
    kind = "" if fall.kind == "node" else "rack "
    said = f"{kind}{fall.label}: {names(fall.direct)}"
    return f"{said}; and what needs them: {names(fall.through)}" if fall.through else said


def data(report: Report) -> dict[str, Any]:
    """Return all of a report as plain data: for JSON."""
    changes = report.changes
    return {
        "datacenter": report.site.datacenter,
        "summary": {one: report.count(one) for one in SEVERITIES},
        "findings": [_finding(report, one) for one in report.findings],
        "falls": [
            {
                "kind": one.kind,
                "place": one.place,
                "name": one.label,
                "only_here": list(one.direct),
                "through_them": list(one.through),
            }
            for one in report.falls
        ],
        "dependencies": [
            {"from": one.source, "to": one.target, "told_by": one.origin}
            for one in report.site.needs
        ],
        "ignored": [{"finding": one.key, "reason": reason} for one, reason in report.ignored],
        "gone": None if changes is None else list(changes.gone),
        "not_looked_at": [one._asdict() for one in report.unseen],
        "looked_at": report.looked_at,
    }


def _finding(report: Report, one: Finding) -> dict[str, Any]:
    found: dict[str, Any] = one._asdict()
    if report.changes is not None:
        found["new"] = one.key in report.changes.new
    return found
