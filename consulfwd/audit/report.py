"""What an audit comes to: findings, what falls with what, what was looked at and what was not.

What belongs here: putting a site and the rules together, what is ignored, what is new. Must not
know: how Consul is asked, how a report is shown. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from consulfwd.audit.finding import SEVERITIES, Context, Finding, Severity, counted, run
from consulfwd.audit.graph import Fall
from consulfwd.audit.rules import RULES
from consulfwd.audit.site import Limits, Site, Unseen


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new against a baseline, and which of it is gone (ID:SUBJECT)."""

    new: frozenset[str]
    gone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """An audit of a site.

    `findings` are the gravest first, `ignored` those that somebody gave a reason for. `unseen` is
    what could not be looked at. `changes` is there where there is a baseline.
    """

    site: Site
    findings: tuple[Finding, ...]
    falls: tuple[Fall, ...]
    unseen: tuple[Unseen, ...]
    ignored: tuple[tuple[Finding, str], ...] = ()
    changes: Changes | None = None

    def count(self, severity: Severity) -> int:
        """Return how many findings of a severity there are."""
        return sum(1 for one in self.findings if one.severity == severity)

    @property
    def news(self) -> tuple[Finding, ...]:
        """The findings that count: where there is a baseline, the new ones."""
        if self.changes is None:
            return self.findings
        return tuple(one for one in self.findings if one.key in self.changes.new)

    def fails(self, severity: Severity) -> bool:
        """Return whether there is a finding that counts, as grave or graver."""
        grave = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return any(one.severity in grave for one in self.news)

    @property
    def looked_at(self) -> str:
        """What was looked at, in words."""
        site = self.site
        instances = sum(len(one.instances) for one in site.services.values())
        counts = [
            counted(len(site.services), "service"),
            counted(instances, "instance"),
            counted(len(site.nodes), "node"),
            counted(len(site.servers or ()), "server"),
            counted(len(site.needs), "dependency", "dependencies"),
            f"the configuration of {counted(len(site.configs), 'agent')}",
        ]
        return ", ".join(counts)


def audit(site: Site, limits: Limits) -> Report:
    """Return the report on a site."""
    context = Context(site, limits)
    findings = run(RULES, context)
    falls = context.falls
    unseen = list(site.unseen)
    if context.work.over:
        unseen.append(Unseen("a part of what falls with what", "there are too many dependencies"))
    return Report(site, tuple(findings), tuple(falls), tuple(unseen))


def without(report: Report, ignored: Mapping[str, str]) -> Report:
    """Return the report without the findings of these keys, ID:SUBJECT or ID:*, with reasons."""
    kept, left = [], []
    for one in report.findings:
        reason = ignored.get(one.key, ignored.get(f"{one.id}:*"))
        if reason is None:
            kept.append(one)
        else:
            left.append((one, reason))
    return replace(report, findings=tuple(kept), ignored=tuple(left))


def against(report: Report, baseline: Collection[str]) -> Report:
    """Return the report with what is new against an earlier one, and what is gone of that."""
    known = set(baseline)
    found = {one.key for one in report.findings}
    ignored = {one.key for one, _ in report.ignored}
    changes = Changes(frozenset(found - known), tuple(sorted(known - found - ignored)))
    return replace(report, changes=changes)
